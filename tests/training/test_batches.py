"""Batches hold the right images, cropped, mirrored and normalised as they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from explorer.training.batches import Images, crop
from explorer.training.data import load_data


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture
def images(data):
    return Images(data.train, data, torch.device("cpu"))


def test_crop_is_pad_and_slice():
    """Every window is the one that padding and slicing image by image gives."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (50, 3, 9, 7), generator=generator, dtype=torch.uint8)
    down, right = torch.randint(0, 9, (2, 50), generator=generator)
    found = crop(pixels, 4, down, right)
    for image, top, left, window in zip(pixels.numpy(), down.tolist(), right.tolist(), found.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
        assert np.array_equal(window, padded[:, top : top + 9, left : left + 7])


def test_crop_in_the_middle_changes_nothing():
    """The window at the padding's width is the image itself, and a shift of 0 leaves every image."""
    pixels = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    middle = torch.full((5,), 2)
    assert torch.equal(crop(pixels, 2, middle, middle), pixels)
    assert torch.equal(crop(pixels, 0, middle * 0, middle * 0), pixels)


def test_normalised_to_mean_0_and_std_1(images):
    """All training images together have mean 0 and std 1, in float32."""
    batch, _ = next(images.in_order(len(images)))
    assert batch.dtype == torch.float32
    assert batch.mean().item() == pytest.approx(0, abs=1e-4)
    assert batch.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_channels_last():
    """Colour images lie in memory with their channels last."""
    data = load_data("digits")
    images = Images(data.train, data, torch.device("cpu"))
    assert images.normalise(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)).is_contiguous(memory_format=torch.channels_last)


def test_in_order_gives_every_image_once(images, data):
    """All labels come in order, the last batch smaller."""
    batches = list(images.in_order(64))
    assert [len(labels) for _, labels in batches] == [64, 64, 64, 8]
    assert torch.cat([labels for _, labels in batches]).tolist() == data.train.labels.tolist()


def test_an_epoch_takes_full_batches_of_different_images(images, data):
    """200 images in batches of 64 are three batches, with no image twice and each with its own label."""
    known = {
        images.normalise(pixels[None]).numpy().tobytes(): label
        for pixels, label in zip(images.pixels, data.train.labels, strict=True)
    }
    batches = list(images.shuffled(64, torch.Generator().manual_seed(0), shift=0, flip=False))
    assert [len(labels) for _, labels in batches] == [64, 64, 64]
    seen = [
        (image.contiguous().numpy().tobytes(), int(label))
        for batch, labels in batches
        for image, label in zip(batch, labels, strict=True)
    ]
    assert len(set(seen)) == 192
    assert all(known[image] == label for image, label in seen)


def test_epochs_differ_and_the_generator_fixes_them(images):
    """Two epochs have different orders; the same seed repeats both, the next seed does not."""

    def orders(seed):
        generator = torch.Generator().manual_seed(seed)
        return [torch.cat([labels for _, labels in images.shuffled(50, generator, 1, True)]) for _ in range(2)]

    first, again, other = orders(0), orders(0), orders(1)
    assert not torch.equal(first[0], first[1])
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])


def test_about_half_are_mirrored(data):
    """With flip, every image comes either as it is or mirrored, about as often."""
    images = Images(data.train, data, torch.device("cpu"))
    images.labels = torch.arange(len(images))  # to know which image it is
    ((batch, places),) = images.shuffled(len(images), torch.Generator().manual_seed(0), shift=0, flip=True)
    plain = images.normalise(images.pixels[places])
    same = (batch == plain).flatten(1).all(1)
    mirrored = (batch == plain.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 70 < mirrored.sum() < 130
