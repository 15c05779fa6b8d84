"""The embedded data sets: their sizes, their splits, and the contents of a cluttered image."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.data.dataset import load_data
from explorer.data.formats import digits


@pytest.mark.parametrize("name", ["digits", "cluttered-digits"])
def test_the_seed_fixes_the_data(name):
    """The same seed gives the same images and fingerprint, another seed gives others."""
    first, again, other = load_data(name), load_data(name), load_data(name, seed=1)
    assert np.array_equal(first.train.images, again.train.images)
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint["sha256"] != other.fingerprint["sha256"]


@pytest.mark.parametrize("name", ["digits", "cluttered-digits"])
def test_splits_are_stratified(name):
    """In every split each of the ten digits has 10% of the images, within one percentage point."""
    data = load_data(name)
    for split in (data.train, data.validation, data.test):
        assert split.images.dtype == np.uint8
        assert split.images.shape == (len(split), *data.shape)
        assert np.abs(np.bincount(split.labels, minlength=10) / len(split) - 0.1).max() < 0.01


def test_digits_use_the_whole_range_and_all_images():
    """The 17 grey levels are spread over 0..255, and the three splits contain all 1,797 digits."""
    data = load_data("digits")
    images = np.concatenate([data.train.images, data.validation.images, data.test.images])
    assert len(images) == 1797
    assert len(np.unique(images)) == 17
    assert (images.min(), images.max()) == (0, 255)


def test_cluttered_splits_share_no_digit(monkeypatch):
    """Without noise and clutter each image is exactly one unchanged digit of its own split."""
    monkeypatch.setattr(digits, "CLUTTER_PIECES", 0)
    monkeypatch.setattr(digits, "NOISE", 0)
    seen = []
    for split in digits.load_cluttered_digits(seed=0):
        contents = {_trimmed(image) for image in split.images[:, 0]}
        plain = {_trimmed(image) for image in digits._digits().images[:, 0]}
        assert contents <= plain
        seen.append(contents)
    duplicated = len(digits._digits()) - len({_trimmed(image) for image in digits._digits().images[:, 0]})
    assert sum(map(len, seen)) - len(set.union(*seen)) <= duplicated


def test_clutter_comes_from_other_digits_of_the_split():
    """Clutter is cut from other digits of the same split, never from the digit of the image."""
    images = np.zeros((3, 1, 8, 8), np.uint8)
    for level, image in enumerate(images, 1):
        image[:] = 80 * level  # the grey level identifies a digit and its parts
    made = digits._clutter(digits.Split(images, np.arange(3)), 50, np.random.RandomState(0))
    for image, label in zip(made.images[:, 0], made.labels, strict=True):
        nearest = np.round(image / 80.0).astype(int)
        assert np.count_nonzero(nearest == label + 1) >= 64 - 2 * digits.CLUTTER_SIDE**2
        assert np.count_nonzero(nearest > 3) == 0
        assert np.count_nonzero(nearest == label + 1) <= 64


def _trimmed(image: np.ndarray) -> bytes:
    rows, columns = np.nonzero(image.any(axis=1))[0], np.nonzero(image.any(axis=0))[0]
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return bytes(part.shape) + part.tobytes()
