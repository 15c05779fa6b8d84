"""Batches are normalised, and the random draws of an epoch are in range, cover each image once, and are
reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.data.dataset import Dataset, load_data
from explorer.data.splits import Split
from explorer.training.augment import draw_epoch, greatest_shift
from explorer.training.batches import Images
from explorer.training.recipe import recipe


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture
def images(data):
    return Images(data.train, data, torch.device("cpu"))


def test_normalised_to_mean_0_and_std_1(images):
    """All training images together have mean 0 and standard deviation 1 in float32."""
    batch, _ = next(images.in_order(len(images)))
    assert batch.dtype == torch.float32
    assert batch.mean().item() == pytest.approx(0, abs=1e-4)
    assert batch.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_channels_last():
    """Colour images are stored in channels-last memory format."""
    data = load_data("digits")
    images = Images(data.train, data, torch.device("cpu"))
    assert images.normalise(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)).is_contiguous(memory_format=torch.channels_last)


def test_in_order_gives_every_image_once(images, data):
    """All labels come in order, and the last batch may be smaller."""
    batches = list(images.in_order(64))
    assert [len(labels) for _, labels in batches] == [64, 64, 64, 8]
    assert torch.cat([labels for _, labels in batches]).tolist() == data.train.labels.tolist()


def test_writable_pixels_are_not_copied(data):
    """On the CPU a writable split is used without a copy, and a memory-mapped one is copied."""
    assert Images(data.train, data, torch.device("cpu")).pixels.data_ptr() == data.train.images.ctypes.data
    frozen = data.train.images.copy()
    frozen.flags.writeable = False
    copied = Images(Split(frozen, data.train.labels), data, torch.device("cpu"))
    assert np.array_equal(copied.pixels.numpy(), frozen)


@pytest.fixture
def colourful(data):
    """The digits, with flips and shifts by 2 allowed."""
    return replace(data, flip=True, shift=2)


EVERYTHING = replace(recipe("quick"), cutout=3, mixup=0.5)


def draw(data: Dataset, settings=EVERYTHING, seed=0, epoch=1):
    return draw_epoch(data, settings, steps=3, batch_size=64, seed=seed, epoch=epoch)


def test_an_epoch_takes_full_batches_of_different_images(data):
    """200 images in batches of 64 give three batches without a repeated image."""
    order = draw(data).order
    assert order.shape == (3, 64)
    assert len(set(order.flatten().tolist())) == 192
    assert order.min() >= 0 and order.max() < 200


def test_draws_are_in_range(colourful):
    """Corners are 0..4 for a shift of 2, cutout centres lie within 8x8, weights are in 0..1, and about half the images
    are flipped."""
    drawn = draw(colourful)
    for corner in (drawn.crop_row, drawn.crop_column):
        assert set(corner.flatten().tolist()) == set(range(5))
    for centre in (drawn.cutout_row, drawn.cutout_column):
        assert set(centre.flatten().tolist()) == set(range(8))
    assert 60 < drawn.flipped.sum() < 130
    assert drawn.mixup_weight.shape == (3,) and (drawn.mixup_weight >= 0).all() and (drawn.mixup_weight <= 1).all()


def test_disabled_augmentation_is_not_drawn(data, colourful):
    """Only augmentation that both recipe and data set allow is drawn, and the order of images does not depend on it."""
    plain = draw(colourful, replace(recipe("quick"), augment=False))
    assert all(drawn is None for drawn in plain[1:])
    assert draw(data, recipe("quick")).flipped is None
    assert torch.equal(plain.order, draw(colourful).order)


def test_seed_and_epoch_fix_the_draws(colourful):
    """The same seed and epoch give the same draws; another seed or epoch gives another order."""
    first, again = draw(colourful, seed=2**40 + 1, epoch=3), draw(colourful, seed=2**40 + 1, epoch=3)
    assert all(map(torch.equal, first, again))
    for other in ({"seed": 1, "epoch": 3}, {"seed": 2**40 + 1, "epoch": 4}, {"seed": -1, "epoch": 3}):
        assert not torch.equal(first.order, draw(colourful, **other).order)


def test_smaller_crop_shifts(colourful):
    """Half of the data set's shift of 2 gives corners 0..2 and none gives no crops; order and flips are drawn."""
    half = draw(colourful, replace(recipe("quick"), crop_shift=0.5))
    assert set(half.crop_row.flatten().tolist()) == set(half.crop_column.flatten().tolist()) == {0, 1, 2}
    none = draw(colourful, replace(recipe("quick"), crop_shift=0))
    assert none.crop_row is none.crop_column is None and none.flipped is not None
    assert torch.equal(half.order, none.order)


def test_greatest_shift(colourful):
    """The share of the data set's shift is rounded to whole pixels; without augmentation it is 0."""
    for share, shift in ((1.0, 2), (0.5, 1), (0.2, 0)):
        assert greatest_shift(colourful, replace(recipe("quick"), crop_shift=share)) == shift
    assert greatest_shift(colourful, replace(recipe("quick"), augment=False)) == 0
