"""Folders of class folders: their splits, their classes, and what is refused in them by name."""

from __future__ import annotations

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from explorer.errors import DataError
from explorer.training.data import describe_data, load_data
from tests.training.layouts import class_folders, encoded


@pytest.fixture
def mine(tmp_path):
    """Three classes of coloured images, 30 for training and 6 for test."""
    class_folders(tmp_path / "mine", classes=3)
    return tmp_path / "mine"


def contents(part) -> set[bytes]:
    return {image.tobytes() for image in part.images}


class TestSplits:
    def test_train_and_test(self, tmp_path):
        """Validation is taken from the training images; classes are numbered by name."""
        class_folders(tmp_path / "mine", classes=3, shape=(3, 20, 24))
        data = load_data(str(tmp_path / "mine"))
        assert (data.name, data.shape, data.classes) == ("mine", (3, 20, 24), 3)
        assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 6)
        assert describe_data("mine", tmp_path) == (data.shape, 3)
        assert data.notes == ()

    @pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "VALID", "Testing")])
    def test_given_validation_is_kept(self, tmp_path, names):
        """With train, val and test, however they are commonly called, nothing is split."""
        class_folders(tmp_path / "mine", classes=3, splits=("train", "val", "test"))
        for plain, name in zip(("train", "val", "test"), names, strict=True):
            (tmp_path / "mine" / plain).rename(tmp_path / "mine" / name)
        data = load_data("mine", tmp_path)
        assert (len(data.train), len(data.validation), len(data.test)) == (30, 6, 6)

    def test_one_level_is_split_by_the_seed(self, tmp_path):
        """A fifth each for validation and test, stratified."""
        class_folders(tmp_path / "mine", classes=3, splits=("",), shape=(1, 16, 16))
        data = load_data("mine", tmp_path)
        assert data.shape == (1, 16, 16)
        parts = (data.train, data.validation, data.test)
        assert [np.bincount(part.labels).tolist() for part in parts] == [[6] * 3, [2] * 3, [2] * 3]
        assert contents(data.test) != contents(load_data("mine", tmp_path, seed=1).test)

    def test_test_is_not_read_before_it_is_asked_for(self, mine):
        """A test image that cannot be decoded, and test classes that are not those of train, matter to test alone."""
        whole = load_data(str(mine))
        (mine / "test" / "class00" / "0000.png").write_bytes(b"")
        assert load_data(str(mine)).fingerprint == whole.fingerprint
        with pytest.raises(DataError, match=r"test/class00/0000\.png: the image is empty: 0 bytes"):
            len(load_data(str(mine)).test)
        (mine / "test" / "class09").mkdir()
        assert load_data(str(mine)).fingerprint == whole.fingerprint
        with pytest.raises(
            DataError, match=r"train: its class folders differ from those of .*test, which has 'class09'"
        ):
            len(load_data(str(mine)).test)

    def test_validation_without_a_class(self, tmp_path):
        """A class folder that only train has is refused, with the split that lacks it."""
        class_folders(tmp_path / "mine", classes=3, splits=("train", "val", "test"))
        (tmp_path / "mine" / "val" / "class01").rename(tmp_path / "mine" / "val" / "class1")
        with pytest.raises(DataError, match=r"its class folders differ from those of"):
            load_data("mine", tmp_path)

    def test_a_class_may_be_called_train(self, tmp_path):
        """Trains, buses and tests are classes where the folder 'train' holds images and no folders."""
        class_folders(tmp_path / "mine", classes=3, splits=("",))
        for label, name in enumerate(("bus", "test", "train")):
            (tmp_path / "mine" / f"class{label:02d}").rename(tmp_path / "mine" / name)
        assert load_data("mine", tmp_path).classes == 3

    def test_splits_without_train(self, mine):
        """Where only test and validation are left, they are not taken for classes."""
        (mine / "train").rename(mine / "val")
        with pytest.raises(DataError, match="mine: has test, val but no folder 'train'"):
            load_data(str(mine))

    def test_too_few_images_to_split(self, tmp_path):
        """Two images cannot be split into five parts."""
        class_folders(tmp_path / "mine", classes=2, splits=("",))
        for path in (tmp_path / "mine").glob("*/*[!01].png"):
            path.unlink()
        with pytest.raises(DataError, match="mine: 4 training images are too few for a validation split"):
            load_data("mine", tmp_path)

    def test_a_rare_class_goes_to_train(self, tmp_path):
        """The only image of a class is trained on; a subset that would lose the class is refused."""
        class_folders(tmp_path / "mine", classes=2, splits=("",), shape=(1, 8, 8))
        for i in range(30):
            (tmp_path / "mine" / "class00" / f"more{i}.png").write_bytes(encoded(np.full((1, 8, 8), i, np.uint8)))
        for path in [*(tmp_path / "mine" / "class01").iterdir()][1:]:
            path.unlink()
        data = load_data("mine", tmp_path)
        parts = (data.train, data.validation, data.test)
        assert [np.count_nonzero(part.labels == 1) for part in parts] == [1, 0, 0]
        with pytest.raises(DataError, match="a subset of 10 of mine: its training images hold 1 of 2 classes"):
            load_data("mine", tmp_path, subset=10)


class TestClasses:
    def test_no_class_folders(self, tmp_path):
        """A folder that holds no class folders is refused."""
        (tmp_path / "mine").mkdir()
        with pytest.raises(DataError, match="expected two or more class folders of images, found none"):
            describe_data("mine", tmp_path)

    def test_a_single_class(self, tmp_path):
        """One class alone is refused, and it is said why."""
        class_folders(tmp_path / "mine", classes=1)
        with pytest.raises(DataError, match="found class00; a network is trained to tell classes apart"):
            load_data("mine", tmp_path)

    def test_an_empty_class(self, mine):
        """A class folder without images is named."""
        for path in (mine / "train" / "class02").iterdir():
            path.unlink()
        for ask in (describe_data, load_data):
            with pytest.raises(DataError, match=r"train/class02: no images in it; known kinds: \.bmp"):
                ask(str(mine))

    def test_names_that_differ_in_capitals(self, mine):
        """Two class folders that some disks take for one are refused by name."""
        (mine / "train" / "CLASS01").mkdir()
        with pytest.raises(DataError, match="the class folders 'CLASS01' and 'class01' differ only in spelling"):
            load_data(str(mine))

    def test_names_in_any_script(self, tmp_path):
        """Class names may have any letters, composed in train as one system does it and in test as another."""
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

    def test_grey_when_every_class_begins_with_grey(self, mine):
        """One grey image does not make a coloured data set grey: it is taken as colour, and that is told."""
        path = mine / "train" / "class00" / "0000.png"
        path.write_bytes(encoded(np.zeros((1, 32, 32), np.uint8)))
        data = load_data(str(mine))
        assert data.shape == (3, 32, 32)
        assert data.notes == (f"1 grey images taken as colour; the first is {path}",)
        assert load_data(str(mine)).notes == data.notes  # from the cache too


class TestFiles:
    def test_what_is_no_image_is_left_out_and_told(self, mine):
        """Other files are counted and the first named; hidden ones are as good as not there."""
        for name in ("readme.txt", "Thumbs.db", ".hidden.png"):
            (mine / "train" / "class01" / name).write_bytes(b"no image")
        (mine / "train" / ".git").mkdir()
        (mine / "train" / "list.csv").write_text("beside the classes")
        data = load_data(str(mine))
        assert len(data.train) + len(data.validation) == 30
        (note,) = data.notes
        assert note.startswith("2 files left out, which are no images by their names; the first is ")
        assert note.endswith("Thumbs.db")

    @pytest.mark.parametrize("content", [b"", b"no image", "cut"])
    def test_an_image_that_is_none_is_named(self, mine, content):
        """A file that calls itself an image and is none is refused by name."""
        path = mine / "train" / "class01" / "0001.png"
        path.write_bytes(path.read_bytes()[:-300] if content == "cut" else content)
        with pytest.raises(DataError, match=r"train/class01/0001\.png: the image (is empty|cannot be)"):
            load_data(str(mine))

    def test_subfolders_of_a_class_belong_to_it(self, mine):
        """Images may lie deeper, as in Tiny ImageNet's train/CLASS/images."""
        whole = load_data(str(mine))
        for name in ("class00", "class01", "class02"):
            images = mine / "train" / name / "images"
            images.mkdir()
            for path in (mine / "train" / name).glob("*.png"):
                path.rename(images / path.name)
        assert load_data(str(mine)).fingerprint == whole.fingerprint

    def test_links(self, mine, tmp_path):
        """Links to images and folders are followed, one to a folder above ends, a broken one is named."""
        whole = load_data(str(mine))
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "test").symlink_to(mine / "test")
        for name in ("class00", "class01", "class02"):
            (tmp_path / "linked" / "train" / name).mkdir(parents=True)
            for path in (mine / "train" / name).iterdir():
                (tmp_path / "linked" / "train" / name / path.name).symlink_to(path)
        (tmp_path / "linked" / "train" / "class01" / "up").symlink_to(tmp_path / "linked" / "train" / "class01")
        assert load_data("linked", tmp_path).fingerprint["sha256"] == whole.fingerprint["sha256"]
        (tmp_path / "linked" / "train" / "class01" / "gone.png").symlink_to(tmp_path / "nowhere")
        with pytest.raises(DataError, match=r"class01/gone\.png: a broken link"):
            load_data("linked", tmp_path)

    def test_a_pipe_is_not_waited_for(self, mine):
        """What is no plain file is refused, not read."""
        os.mkfifo(mine / "train" / "class01" / "pipe.png")
        with pytest.raises(DataError, match=r"pipe\.png: no plain file"):
            load_data(str(mine))

    def test_nothing_is_written_beside_the_images(self, mine):
        """A read-only folder does: what is decoded is kept elsewhere."""
        before = sorted(mine.rglob("*"))
        for path in (mine, *mine.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            load_data(str(mine))
        finally:
            for path in (mine, *mine.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        assert sorted(mine.rglob("*")) == before


class TestSizes:
    def test_two_sizes_are_refused_with_the_way_out(self, mine):
        """Two images are named with their sizes, and so is the spelling that resizes them all; which then works."""
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
        assert data.notes == (
            f"1 images resized to 32 pixels on their shorter side and cut to the middle square; the first is {odd}",
        )

    def test_one_size_is_asked_for(self, mine):
        """All images come in the size that stands behind the folder's name."""
        data = load_data(f"{mine}@20")
        assert data.shape == describe_data(f"{mine}@20")[0] == (3, 20, 20)
        assert data.train.images.shape == (27, 3, 20, 20)
        assert data.fingerprint["name"] == "mine@20"

    def test_a_folder_may_have_such_a_name(self, mine):
        """A folder that is called so is not resized."""
        assert load_data(str(mine.rename(mine.parent / "mine@20"))).shape == (3, 32, 32)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("mine@3", r"mine@3: a size lies in 4\.\.4096 pixels, found 3"),
            ("mine@5000", r"a size lies in 4\.\.4096 pixels, found 5000"),
            ("mine@big", "unknown data set 'mine@big'"),
            ("cifar10@64", "cifar10@64: only folders of images are resized; cifar10 has one size"),
        ],
    )
    def test_sizes_that_cannot_be(self, mine, name, message):
        """A size out of range, no number, or of a data set that is no folder is refused."""
        with pytest.raises(DataError, match=message):
            load_data(name, mine.parent)
