"""Folders of class folders: their splits, their classes, and the errors for invalid ones."""

from __future__ import annotations

import os
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from explorer.data.catalogue import describe_data
from explorer.data.dataset import load_data
from explorer.data.decoding import DamagedImages
from explorer.errors import DataError
from tests.data.layouts import class_folders, encoded


@pytest.fixture
def mine(tmp_path):
    """Three classes of coloured images, 30 for training and 6 for test."""
    class_folders(tmp_path / "mine", classes=3)
    return tmp_path / "mine"


def conversions(data) -> tuple[str, ...]:
    """Return the notes without the one about the small size of these data sets."""
    return tuple(note for note in data.notes if not note.startswith("validation has only"))


def each_holds_classes(folder, *names: str) -> None:
    """Write two classes into each named subfolder of ``folder``."""
    for name in names:
        class_folders(folder / name, classes=2, splits=("",))


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


class TestFiles:
    def test_other_files_are_left_out_with_a_note(self, mine):
        """Other files are counted and the first is named, and hidden files are ignored."""
        for name in ("readme.txt", "Thumbs.db", ".hidden.png"):
            (mine / "train" / "class01" / name).write_bytes(b"no image")
        (mine / "train" / ".git").mkdir()
        (mine / "train" / "list.csv").write_text("beside the classes")
        data = load_data(str(mine))
        assert len(data.train) + len(data.validation) == 30
        (note,) = conversions(data)
        assert note.startswith("2 files were left out because their names are not those of images; the first is ")
        assert note.endswith("Thumbs.db")

    @pytest.mark.parametrize("content", [b"", b"no image", "cut"])
    def test_an_invalid_image_is_named(self, mine, content):
        """A file with an image suffix that is no image is rejected by name."""
        path = mine / "train" / "class01" / "0001.png"
        path.write_bytes(path.read_bytes()[:-300] if content == "cut" else content)
        with pytest.raises(DataError, match=r"train/class01/0001\.png: the image (is empty|cannot be)"):
            load_data(str(mine))

    def test_subfolders_of_a_class_belong_to_the_class(self, mine):
        """Images may be in subfolders, as in Tiny ImageNet's train/CLASS/images."""
        whole = load_data(str(mine))
        for name in ("class00", "class01", "class02"):
            images = mine / "train" / name / "images"
            images.mkdir()
            for path in (mine / "train" / name).glob("*.png"):
                path.rename(images / path.name)
        assert load_data(str(mine)).fingerprint == whole.fingerprint

    def test_links(self, mine, tmp_path):
        """Links to images and folders are followed, a link to a parent folder ends, and a broken link is named."""
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

    def test_a_pipe_is_rejected(self, mine):
        """A file that is not a regular file is rejected without being read."""
        os.mkfifo(mine / "train" / "class01" / "pipe.png")
        with pytest.raises(DataError, match=r"pipe\.png: not a regular file"):
            load_data(str(mine))

    def test_nothing_is_written_beside_the_images(self, mine):
        """A read-only folder works, because decoded images are stored elsewhere."""
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


class TestDamaged:
    @pytest.fixture
    def damaged(self, mine):
        """Thirty training images of which twelve are empty files."""
        for path in sorted(mine.glob("train/*/*.png"))[1::2][:12]:
            path.write_bytes(b"")
        return mine

    def test_all_damaged_images_are_counted(self, damaged):
        """One run counts all damaged images, names ten and lists all in a file."""
        with pytest.raises(DamagedImages) as caught:
            load_data(str(damaged))
        assert len(caught.value.images) == 12
        message = str(caught.value)
        assert message.startswith("12 of 30 images are damaged; replace or remove, or leave out with --skip")
        assert message.count("the image is empty") == 10 and message.endswith("; and 2 more")

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_damaged_images_are_skipped_and_counted(self, damaged, monkeypatch, in_memory):
        """The other images are used, and a note and the fingerprint count the skipped ones, also from the cache."""
        monkeypatch.setattr("explorer.data.formats.folders.fits_in_memory", lambda count, shape: in_memory)
        for _ in range(2):  # the second time from the cache
            data = load_data(str(damaged), skip_damaged=True)
            assert len(data.train) + len(data.validation) == 18
            assert data.fingerprint["damaged"] == 12
            assert "12 of 30 images are damaged and were left out" in " ".join(data.notes)

    def test_an_undamaged_folder_has_the_same_fingerprint_with_the_flag(self, mine):
        """The flag does not change the fingerprint of an undamaged folder, so a study resumes with or without it."""
        assert load_data(str(mine), skip_damaged=True).fingerprint == load_data(str(mine)).fingerprint


class TestLinks:
    def test_double_links_are_listed_once(self, mine):
        """Twenty nested folders, each with two links to the next, are listed in linear time."""
        folder = mine / "train" / "class00"
        for i in range(20):
            inner = mine / f".level{i}"
            inner.mkdir()
            for twin in "ab":
                (folder / twin).symlink_to(inner)
            folder = inner
        (folder / "deep.png").write_bytes((mine / "train" / "class00" / "0000.png").read_bytes())
        data = load_data(str(mine))
        assert len(data.train) + len(data.validation) == 31

    @pytest.mark.parametrize("target", ["/", "/proc", ".."])
    def test_a_link_out_of_the_data_set_is_rejected(self, mine, target):
        """A link to a parent of the class folder or to a system folder gives one line that names it."""
        (mine / "train" / "class00" / "up").symlink_to(target)
        with pytest.raises(DataError, match=r"class00/up/?: a link to .*, which is not a folder of images; remove it"):
            load_data(str(mine))

    def test_a_name_with_control_characters_is_escaped(self, mine):
        """Control characters in a file name are escaped in the one line of a message."""
        (mine / "train" / "class00" / "a\x1b[31m\n.png").write_bytes(b"")
        with pytest.raises(DataError) as caught:
            load_data(str(mine))
        assert r"a\x1b[31m\n.png: the image is empty" in str(caught.value)


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
