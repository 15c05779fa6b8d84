"""Folders of class folders: which image belongs to which split."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from explorer.data.catalogue import describe_data
from explorer.data.dataset import load_data
from explorer.errors import DataError
from tests.data.formats.reading import contents, conversions
from tests.data.layouts import class_folders, encoded


def each_holds_classes(folder, *names: str) -> None:
    """Write two classes into each named subfolder of ``folder``."""
    for name in names:
        class_folders(folder / name, classes=2, splits=("",))


class TestSplits:
    def test_train_and_test(self, tmp_path):
        """Validation is taken from the training images; classes are numbered by name."""
        class_folders(tmp_path / "mine", classes=3, shape=(3, 20, 24))
        data = load_data(str(tmp_path / "mine"))
        assert (data.name, data.shape, data.classes) == ("mine", (3, 20, 24), 3)
        assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 6)
        assert describe_data("mine", tmp_path) == (data.shape, 3)
        assert conversions(data) == ()

    @pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "VALID", "Testing")])
    def test_given_validation_is_kept(self, tmp_path, names):
        """Folders train, val and test, under any of their usual names, are used as they are."""
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

    def test_test_images_are_read_only_on_request(self, mine):
        """An undecodable test image, and test classes that differ from train, affect only test."""
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
        """A class folder that only train has is rejected, with the split that lacks it."""
        class_folders(tmp_path / "mine", classes=3, splits=("train", "val", "test"))
        (tmp_path / "mine" / "val" / "class01").rename(tmp_path / "mine" / "val" / "class1")
        with pytest.raises(DataError, match=r"its class folders differ from those of"):
            load_data("mine", tmp_path)

    @pytest.mark.parametrize("name", ["test", "train", "val", "Testing", "unlabeled"])
    def test_a_class_folder_named_like_a_split_is_rejected(self, tmp_path, name):
        """A folder 'test' beside the classes 'cat' and 'dog' is ambiguous and rejected; below 'train' it is a class."""
        class_folders(tmp_path / "mine", classes=3, splits=("",))
        mine = tmp_path / "mine"
        for old, new in (("class00", "cat"), ("class01", "dog"), ("class02", name)):
            (mine / old).rename(mine / new)
        with pytest.raises(DataError, match=f"mine: is '{name}' a class like 'cat', or a split of the images?"):
            load_data(str(mine))
        inside = mine.rename(tmp_path / "inside")
        mine.mkdir()
        inside.rename(mine / "train")
        assert sorted(load_data(str(mine)).class_names) == sorted(["cat", "dog", name])

    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("training_set", "test_set"),
            ("seg_train/seg_train", "seg_test/seg_test"),
            ("archive/dataset/Train", "archive/dataset/Test"),
            ("trainSet", "testing_set"),
        ],
    )
    def test_usual_names_and_nestings_of_splits(self, tmp_path, train, test):
        """Splits are found under the names and nesting that public data sets use."""
        class_folders(tmp_path / "plain", classes=2, splits=("train", "test"))
        for old, new in (("train", train), ("test", test)):
            (tmp_path / "mine" / new).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "plain" / old).rename(tmp_path / "mine" / new)
        (tmp_path / "mine" / "__MACOSX" / "train").mkdir(parents=True)
        data = load_data(str(tmp_path / "mine"))
        assert data.class_names == ("class00", "class01")
        assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 4)

    def test_images_without_labels_are_left_out(self, mine):
        """Folders beside the splits, and a test folder without class folders, are left out with a note."""
        for path in list((mine / "test").glob("*/*.png")):
            path.rename(mine / "test" / f"{path.parent.name}-{path.name}")
        for path in list((mine / "test").iterdir()):
            if path.is_dir():
                path.rmdir()
        (mine / "seg_pred").mkdir()
        (mine / "notes").mkdir()
        data = load_data(str(mine))
        assert len(data.test) == 6
        assert [note.partition(" left out")[0] for note in conversions(data)] == [
            f"{mine / 'seg_pred'} is",
            f"{mine / 'test'} is",
            f"{mine}: the folders notes are",
        ]

    def test_two_folders_of_one_split_are_rejected(self, mine):
        """If both 'val' and 'validation' exist, neither is used silently."""
        shutil.copytree(mine / "test", mine / "val")
        shutil.copytree(mine / "test", mine / "validation")
        with pytest.raises(DataError, match="both 'val' and 'validation' are names of the validation split"):
            load_data(str(mine))

    def test_a_table_of_labels_is_reported(self, tmp_path):
        """Images beside a table of labels are rejected with advice."""
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "labels.csv").write_text("image,label")
        (tmp_path / "mine" / "a.png").write_bytes(encoded(np.zeros((3, 8, 8), np.uint8)))
        with pytest.raises(
            DataError, match=r"found none; .* labels are not read from labels\.csv: sort the images into"
        ):
            load_data(str(tmp_path / "mine"))

    def test_the_classes_are_reported_with_their_counts(self, mine):
        """A line names each class with its number of images in each split."""
        (line,) = load_data(str(mine)).class_lines(("train", "validation"))
        assert line.startswith("3 classes: class00 9 (train) 1 (validation), class01 9 (train) 1 (validation), ")

    @pytest.mark.parametrize(
        "names",
        [("x_train", "x_test"), ("trainA", "testA"), ("asl_alphabet_train", "asl_alphabet_test"), ("train1", "train2")],
    )
    def test_folder_names_that_contain_split_names(self, tmp_path, names):
        """Folder names with the words of two splits are rejected, and a single class with such a word is accepted."""
        each_holds_classes(tmp_path / "mine", *names)
        with pytest.raises(DataError, match=r"mine: are '.*' and '.*' classes, or splits of the images?"):
            load_data(str(tmp_path / "mine"))
        class_folders(tmp_path / "vehicles", classes=2, splits=("",))
        (tmp_path / "vehicles" / "class00").rename(tmp_path / "vehicles" / "freight_train")
        assert load_data(str(tmp_path / "vehicles")).class_names == ("class01", "freight_train")

    def test_a_copy_of_the_data_set_inside_it_is_rejected(self, tmp_path):
        """A folder beside the classes that contains folders of their names is not a class."""
        each_holds_classes(tmp_path / "mine", "", "mine")
        with pytest.raises(DataError, match="mine/mine: holds a folder 'class00', and so does its parent"):
            load_data(str(tmp_path / "mine"))
        shutil.rmtree(tmp_path / "mine" / "mine")
        (tmp_path / "mine" / "class00").rename(tmp_path / "aside")
        (tmp_path / "mine" / "class00").mkdir()
        (tmp_path / "aside").rename(tmp_path / "mine" / "class00" / "class00")
        assert load_data(str(tmp_path / "mine")).class_names == ("class00", "class01")

    def test_folders_in_all_classes_are_noted(self, tmp_path):
        """Folds that each contain the same class folders give a note."""
        for fold, split in (("fold1", "train"), ("fold2", "test")):
            class_folders(tmp_path / fold, classes=2, splits=(split,))
            (tmp_path / "mine").mkdir(exist_ok=True)
            (tmp_path / fold / split).rename(tmp_path / "mine" / fold)
        notes = load_data(str(tmp_path / "mine")).notes
        assert any("the classes are its folders fold1, fold2, and each of them holds" in note for note in notes)

    def test_validation_images_in_one_folder_have_no_labels(self, mine):
        """Tiny ImageNet's val/images beside class folders in train is left out with a note."""
        (mine / "val" / "images").mkdir(parents=True)
        shutil.copy(mine / "test" / "class00" / "0000.png", mine / "val" / "images")
        data = load_data(str(mine))
        assert len(data.validation) == 3
        assert f"{mine / 'val'} is left out: without class folders its images have no labels" in data.notes

    def test_a_folder_around_the_classes_is_reported(self, tmp_path):
        """If the class folders are one level deeper, the message names that folder."""
        each_holds_classes(tmp_path / "mine", "PetImages")
        with pytest.raises(DataError, match=r"found PetImages; .*; did you mean '.*mine/PetImages'?"):
            load_data(str(tmp_path / "mine"))

    def test_splits_without_train(self, mine):
        """Without train, the folders test and validation are not used as classes."""
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
        """The only image of a class goes to train, and a subset that would lose the class is rejected."""
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


class TestCopies:
    def test_duplicates_stay_in_one_split(self, tmp_path):
        """When validation and test are split off, equal images fall into one split."""
        class_folders(tmp_path / "mine", classes=2, splits=("",))
        for path in list((tmp_path / "mine").glob("*/*.png")):
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
        data = load_data(str(tmp_path / "mine"))
        parts = [contents(part) for part in (data.train, data.validation, data.test)]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 20
        assert "20 images are copies of another image; copies are kept in one split" in data.notes

    def test_duplicates_across_given_splits_are_reported(self, mine):
        """Validation or test images that are also in train are counted."""
        for path in (mine / "train" / "class00").iterdir():
            shutil.copy(path, mine / "test" / "class00" / f"copy-{path.name}")
        data = load_data(str(mine))
        assert data.test.notes == ("10 of 16 test images are copies of training images: its accuracy is too high",)
