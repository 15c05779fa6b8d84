"""Folders of class folders: the classes, and the errors for invalid ones."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from explorer.data.catalogue import describe_data
from explorer.data.dataset import load_data
from explorer.errors import DataError
from tests.data.formats.reading import contents, conversions
from tests.data.layouts import class_folders, encoded


class TestClasses:
    def test_no_class_folders_is_an_error(self, tmp_path):
        """A folder without class folders is rejected."""
        (tmp_path / "mine").mkdir()
        with pytest.raises(DataError, match="expected two or more class folders of images, found none"):
            describe_data("mine", tmp_path)

    def test_a_single_class(self, tmp_path):
        """A single class is rejected with the reason."""
        class_folders(tmp_path / "mine", classes=1)
        with pytest.raises(DataError, match="found class00; a classifier needs at least two classes"):
            load_data("mine", tmp_path)

    def test_an_empty_class(self, mine):
        """A class folder without images is named."""
        for path in (mine / "train" / "class02").iterdir():
            path.unlink()
        for ask in (describe_data, load_data):
            with pytest.raises(DataError, match=r"train/class02: no images in it; known kinds: \.bmp"):
                ask(str(mine))

    def test_names_that_differ_only_in_case(self, mine):
        """Two class folders whose names are equal on some file systems are rejected by name."""
        (mine / "train" / "CLASS01").mkdir()
        with pytest.raises(DataError, match="the class folders 'CLASS01' and 'class01' differ only in spelling"):
            load_data(str(mine))

    def test_names_in_any_script(self, tmp_path):
        """Class names may have any letters, with different Unicode normalisation in train and test."""
        class_folders(tmp_path / "mine", classes=3)
        for label, name in enumerate(("猫", "Bär 1", "zebra's")):
            for split, form in (("train", "NFC"), ("test", "NFD")):
                base = tmp_path / "mine" / split
                (base / f"class{label:02d}").rename(base / unicodedata.normalize(form, name))
        data = load_data("mine", tmp_path)
        assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
        # in the order of their names: Bär, zebra, 猫
        assert contents(data.test.take(np.flatnonzero(data.test.labels == 2))) == {
            np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes()
            for path in (tmp_path / "mine" / "test" / "猫").iterdir()
        }

    def test_colour_if_any_class_has_colour(self, mine):
        """A grey image does not make a coloured data set grey: it is converted to colour with a note."""
        path = mine / "train" / "class00" / "0000.png"
        path.write_bytes(encoded(np.zeros((1, 32, 32), np.uint8)))
        data = load_data(str(mine))
        assert data.shape == (3, 32, 32)
        assert conversions(data) == (f"1 grey images converted to RGB; the first is {path}",)
        assert load_data(str(mine)).notes == data.notes  # from the cache too
