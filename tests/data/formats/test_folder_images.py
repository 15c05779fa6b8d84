"""Folders of class folders: sizes of images and grey levels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from explorer.data.catalogue import describe_data
from explorer.data.dataset import load_data
from explorer.errors import DataError
from tests.data.formats.reading import conversions
from tests.data.layouts import encoded


class TestSizes:
    def test_two_sizes_are_rejected_with_the_fix(self, mine):
        """The error names two images with their sizes and the suffix that resizes all images, which works."""
        odd = mine / "train" / "class01" / "0007.png"
        odd.write_bytes(encoded(np.zeros((3, 16, 8), np.uint8)))
        with pytest.raises(DataError) as caught:
            load_data("mine", mine.parent)
        first = mine / "train" / "class00" / "0000.png"
        assert str(caught.value) == (
            f"{odd}: the image is 8 x 16 pixels, expected 32 x 32; {first} is of that size; "
            "to resize all images, add a size to the folder's name, as in --data mine@32"
        )
        data = load_data("mine@32", mine.parent)
        assert (data.name, data.shape) == ("mine@32", (3, 32, 32))
        assert conversions(data) == (
            f"1 images resized to 32 pixels on their shorter side and cut to the middle square; the first is {odd}",
        )

    def test_a_requested_size_is_applied(self, mine):
        """All images are resized to the size after the folder's name."""
        data = load_data(f"{mine}@20")
        assert data.shape == describe_data(f"{mine}@20")[0] == (3, 20, 20)
        assert data.train.images.shape == (27, 3, 20, 20)
        assert data.fingerprint["name"] == "mine@20"

    def test_a_folder_may_have_such_a_name(self, mine):
        """A folder whose own name ends like a size is not resized."""
        assert load_data(str(mine.rename(mine.parent / "mine@20"))).shape == (3, 32, 32)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("mine@3", r"mine@3: a size must be in 4\.\.4096 pixels, found 3"),
            ("mine@5000", r"a size must be in 4\.\.4096 pixels, found 5000"),
            ("mine@big", "unknown data set 'mine@big'"),
            ("cifar10@64", "cifar10@64: only folders of images are resized; cifar10 has one size"),
        ],
    )
    def test_invalid_sizes_are_rejected(self, mine, name, message):
        """A size that is out of range or no number, or a size for a data set that is no folder, is rejected."""
        with pytest.raises(DataError, match=message):
            load_data(name, mine.parent)


def test_twelve_bit_images_are_scaled(tmp_path):
    """12-bit grey levels in 16-bit files are scaled by their maximum, alike in every split."""
    random = np.random.RandomState(0)
    for split, top in (("train", 4096), ("test", 256)):
        for name in ("a", "b"):
            (tmp_path / "mine" / split / name).mkdir(parents=True)
            for i in range(10):
                levels = random.randint(0, top, (16, 16)).astype(np.uint16)
                Image.fromarray(levels).save(tmp_path / "mine" / split / name / f"{i}.png")
    data = load_data(str(tmp_path / "mine"))
    assert len(np.unique(data.train.images)) == 256
    assert data.test.images.max() == 15
    kept = "16 bits, whose levels need 12 bits: the upper 8 of them are kept, which leaves 256 of "
    assert any(kept in note for note in data.notes)


def test_merged_grey_levels_are_reported(tmp_path):
    """Levels with a large offset, as in computed tomography, lose most differences, and a note says so."""
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(20):
            levels = np.random.default_rng(i + 20 * (name == "b")).permutation(4096).astype(np.uint16) + 32768
            Image.fromarray(levels.reshape(64, 64)).save(tmp_path / "mine" / name / f"{i}.png")
    notes = load_data(str(tmp_path / "mine")).notes
    assert any("need 16 bits: the upper 8 of them are kept, which leaves 16 of 4,096 levels" in note for note in notes)
