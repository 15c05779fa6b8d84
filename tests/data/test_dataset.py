"""Data sets are found in every usual layout, split and subsampled, and rejected if missing or damaged."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from explorer.data.catalogue import describe_data, locate
from explorer.data.dataset import load_data
from explorer.errors import DataError
from tests.data.layouts import (
    archive,
    binary_batches,
    class_folders,
    idx_files,
    parquet_files,
    pictures,
    python_batches,
)

HUB = partial(parquet_files, image="image", shards=1, struct_of_bytes=False)


def converted_by_the_hub(folder, name):
    """Return file names as in the hub's conversion to parquet: train/0000.parquet."""
    parquet_files(folder, name, shards=1)
    for split in ("train", "test"):
        (folder / split).mkdir()
        (folder / f"{split}-00000-of-00001.parquet").rename(folder / split / "0000.parquet")


# The path below the user's folder, and the function that writes the data there.
LAYOUTS = {
    "cifar10 python": ("cifar10", "cifar-10-batches-py", python_batches),
    "cifar10 torchvision": ("cifar10", "cifar10/cifar-10-batches-py", python_batches),
    "cifar10 binary": ("cifar10", "CIFAR_10/cifar-10-batches-bin", binary_batches),
    "cifar10 parquet": ("cifar10", "cifar10", parquet_files),
    "cifar10 hub": ("cifar10", "CIFAR-10/plain_text", parquet_files),
    "cifar10 hub data": ("cifar10", "data", HUB),
    "cifar10 hub converted": ("cifar10", "cifar10/plain_text", converted_by_the_hub),
    "cifar10 folders": ("cifar10", "cifar10", class_folders),
    "cifar10 tar": ("cifar10", "cifar-10-python.tar.gz", archive),
    "cifar10 binary tar": ("cifar10", "cifar-10-binary.tar.gz", partial(archive, write=binary_batches)),
    "cifar10 zip": ("cifar10", "cifar10.zip", partial(archive, inside="a/b")),
    "cifar100 python": ("cifar100", "cifar-100-python", python_batches),
    "cifar100 binary": ("cifar100", "cifar-100-binary", binary_batches),
    "cifar100 parquet": ("cifar100", "cifar100/cifar100", parquet_files),
    "cifar100 tar": ("cifar100", "cifar-100-python.tar.gz", archive),
    "mnist idx": ("mnist", "MNIST/raw", idx_files),
    "mnist plain idx": ("mnist", "mnist", partial(idx_files, zipped=False)),
    "mnist parquet": ("mnist", "mnist/mnist", partial(parquet_files, image="image", shards=1)),
    "fashion_mnist idx": ("fashion_mnist", "FashionMNIST/raw", idx_files),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_data(layout, tmp_path, monkeypatch):
    """Data are found from the parent folder, the folder and EXPLORER_DATA, with every image and label once."""
    name, place, write = LAYOUTS[layout]
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    write(tmp_path / place, name)
    data = load_data(name, tmp_path)

    assert (data.shape, data.classes) == describe_data(name)
    for split, parts in (("train", (data.train, data.validation)), ("test", (data.test,))):
        images, labels = pictures(split, data.classes, data.shape)
        expected = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        found = [pair for part in parts for pair in zip(part.images, part.labels, strict=True)]
        assert len(found) == len(expected)
        assert {image.tobytes(): label for image, label in found} == expected
    assert len(data.validation) == len(pictures("train", data.classes)[0]) // 10
    assert data.train.labels.dtype == np.int64

    itself = tmp_path / place
    assert load_data(name, itself if itself.is_dir() else itself.parent).fingerprint == data.fingerprint
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    assert load_data(name).fingerprint == data.fingerprint


def test_layouts_have_the_same_fingerprint(tmp_path):
    """The same images in two layouts have the same fingerprint, so a study can change the layout."""
    python_batches(tmp_path / "a" / "cifar-10-batches-py", "cifar10")
    binary_batches(tmp_path / "b" / "cifar-10-batches-bin", "cifar10")
    assert load_data("cifar10", tmp_path / "a").fingerprint == load_data("cifar10", tmp_path / "b").fingerprint


def test_another_data_set_beside_it_is_not_used(tmp_path):
    """MNIST is found beside Fashion-MNIST, whose files have the same names, and CIFAR-10 beside class folders."""
    idx_files(tmp_path / "FashionMNIST" / "raw", "fashion_mnist")
    class_folders(tmp_path, classes=3)
    assert locate("mnist", tmp_path) is None
    assert locate("cifar10", tmp_path) is None
    idx_files(tmp_path / "MNIST" / "raw", "mnist")
    assert locate("mnist", tmp_path).where == tmp_path / "MNIST" / "raw"


class TestSplits:
    @pytest.fixture
    def folder(self, tmp_path):
        python_batches(tmp_path / "cifar-10-batches-py", "cifar10")
        return tmp_path

    def test_the_fingerprint_describes_the_data_used(self, folder):
        """The fingerprint has name, sizes, seed, subset and a content hash, which depends on the seed's split."""
        fingerprint = dict(load_data("cifar10", folder, subset=50, seed=4).fingerprint)
        assert len(fingerprint.pop("sha256")) == 16
        assert all(0 <= value <= 1 for value in (*fingerprint.pop("mean"), *fingerprint.pop("std")))
        assert fingerprint == {"name": "cifar10", "train": 40, "validation": 10, "seed": 4, "subset": 50}
        hashes = {load_data("cifar10", folder, seed=seed).fingerprint["sha256"] for seed in (0, 1)}
        assert len(hashes) == 2

    @pytest.mark.parametrize("harm", ["cut", "missing"])
    def test_test_images_are_read_only_on_request(self, folder, harm):
        """With an unreadable test file, train and validation are unchanged and only test fails."""
        whole = load_data("cifar10", folder)
        file = folder / "cifar-10-batches-py" / "test_batch"
        os.truncate(file, 100) if harm == "cut" else file.unlink()
        data = load_data("cifar10", folder)
        assert data.fingerprint == whole.fingerprint
        for ask in (len, lambda split: split.images, lambda split: split.labels, lambda split: split.take([0])):
            with pytest.raises(DataError, match="test_batch"):
                ask(data.test)

    @pytest.mark.parametrize(
        ("subset", "train", "validation"), [(50, 40, 10), (90, 80, 10), (100, 90, 10), (None, 90, 10)]
    )
    def test_subset_sizes(self, folder, subset, train, validation):
        """Validation is a fifth of a subset, at most as large as the full split; test stays complete."""
        data = load_data("cifar10", folder, subset=subset)
        assert (len(data.train), len(data.validation), len(data.test)) == (train, validation, 20)
        assert np.bincount(data.train.labels).tolist() == [train // 10] * 10
        assert np.bincount(data.validation.labels).tolist() == [validation // 10] * 10

    def test_smaller_subsets_are_contained_in_larger_ones(self, folder):
        """Larger subsets and the full data set contain the train and validation images of every smaller subset."""
        smaller = (set(), set())
        for subset in (50, 51, 57, 64, 75, 99, 100, None):
            data = load_data("cifar10", folder, subset=subset)
            larger = (contents(data.train), contents(data.validation))
            assert smaller[0] <= larger[0]
            assert smaller[1] <= larger[1]
            assert not larger[0] & larger[1]
            smaller = larger

    @pytest.mark.parametrize("subset", [0, -5, 9, 49, 101])
    def test_subset_out_of_range(self, folder, subset):
        """A subset that is too small for every class in both parts, or too large, is rejected with the bounds."""
        with pytest.raises(DataError, match=f"a subset of cifar10 must be in 50..100, found {subset}"):
            load_data("cifar10", folder, subset=subset)

    def test_mean_and_std_are_those_of_train(self, folder):
        """Each channel of the normalised training images has mean 0 and standard deviation 1."""
        data = load_data("cifar10", folder)
        pixels = data.train.images / 255
        assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-6)
        assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-6)

    def test_unknown_split(self, folder):
        """A misspelled split gives the three valid ones."""
        with pytest.raises(
            DataError, match="unknown split 'valid'; known: train, validation, test; did you mean 'validation'"
        ):
            load_data("cifar10", folder).split("valid")


def contents(part) -> set[bytes]:
    return {image.tobytes() for image in part.images}


class TestMissing:
    def test_unknown_name(self):
        """A misspelled data set gives the closest name."""
        for ask in (load_data, describe_data):
            with pytest.raises(
                DataError, match=r"unknown data set 'cifar-10'.*known: digits, .*did you mean 'cifar10'"
            ):
                ask("cifar-10")

    def test_no_folder_named(self, monkeypatch, tmp_path):
        """Without a folder the user's own is searched, and the message says so and how to give another."""
        monkeypatch.delenv("EXPLORER_DATA", raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        with pytest.raises(DataError) as caught:
            load_data("cifar10")
        message = str(caught.value)
        assert message.startswith(f"cifar10 not found in {tmp_path / 'explorer' / 'data'} (there is no such folder)")
        assert "'explorer data fetch cifar10' downloads it (170 MB" in message
        assert "--data-dir or EXPLORER_DATA" in message
        assert "cifar-10-python.tar.gz" in message
        assert "\n" not in message

    @pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
    def test_not_there(self, name, tmp_path):
        """A folder without the data is named with the command to fetch them, and a description needs no files."""
        describe_data(name, tmp_path)
        with pytest.raises(DataError) as caught:
            load_data(name, tmp_path)
        assert str(caught.value).startswith(f"{name} not found in {tmp_path} (searched it and its folders")
        assert f"explorer data fetch {name}" in str(caught.value)

    @pytest.mark.parametrize(
        ("write", "folder", "name", "lost"),
        [
            (python_batches, "cifar-10-batches-py", "cifar10", "data_batch_3"),
            (binary_batches, "cifar-10-batches-bin", "cifar10", "test_batch.bin"),
            (parquet_files, "cifar10", "cifar10", "train-00001-of-00002.parquet"),
            (parquet_files, "cifar10", "cifar10", "test-00000-of-00002.parquet"),
            (idx_files, "mnist", "mnist", "t10k-labels-idx1-ubyte.gz"),
            (idx_files, "mnist", "mnist", "train-images-idx3-ubyte.gz"),
        ],
    )
    def test_one_missing_file_is_named(self, write, folder, name, lost, tmp_path):
        """If a layout is incomplete, the missing file is named."""
        write(tmp_path / folder, name)
        (tmp_path / folder / lost).unlink()
        with pytest.raises(DataError, match=f"{lost.removesuffix('.gz')}.*: missing, while .* there"):
            len(load_data(name, tmp_path).test)

    def test_another_data_set_under_the_name(self, tmp_path):
        """CIFAR-10's files under CIFAR-100's name are rejected."""
        class_folders(tmp_path / "cifar100", classes=10)
        with pytest.raises(DataError, match="10 class folders, expected the 100 of cifar100"):
            load_data("cifar100", tmp_path)
        (tmp_path / "b").mkdir()
        parquet_files(tmp_path / "b" / "cifar100", "cifar10")
        with pytest.raises(DataError, match="train hold 10 of 100 classes, none of class 10; is it another data set"):
            load_data("cifar100", tmp_path / "b")


class TestDamage:
    @pytest.mark.parametrize(
        ("write", "folder", "name", "file"),
        [
            (python_batches, "cifar-10-batches-py", "cifar10", "data_batch_2"),
            (binary_batches, "cifar-10-batches-bin", "cifar10", "data_batch_2.bin"),
            (parquet_files, "cifar10", "cifar10", "train-00000-of-00002.parquet"),
            (idx_files, "mnist", "mnist", "train-images-idx3-ubyte.gz"),
            (partial(idx_files, zipped=False), "mnist", "mnist", "train-labels-idx1-ubyte"),
            (class_folders, "cifar10", "cifar10", "train/class03/0013.png"),
            (archive, "cifar-10-python.tar.gz", "cifar10", ""),
            (archive, "cifar10.zip", "cifar10", ""),
        ],
    )
    @pytest.mark.parametrize("keep", [0, 0.07, 0.61, 0.99])
    def test_a_truncated_file_is_named(self, write, folder, name, file, keep, tmp_path):
        """For any remaining length, the message names the file."""
        write(tmp_path / folder, name)
        path = tmp_path / folder / file
        os.truncate(path, int(keep * path.stat().st_size))
        with pytest.raises(DataError) as caught:
            len(load_data(name, tmp_path).test)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "write", "place", "at", "value", "message"),
        [
            (
                "cifar10",
                binary_batches,
                "cifar-10-batches-bin/data_batch_2.bin",
                3 * 3073,
                10,
                "image 3: found the label 10",
            ),
            ("cifar10", binary_batches, "cifar-10-batches-bin/test_batch.bin", 0, 255, "image 0: found the label 255"),
            (
                "mnist",
                partial(idx_files, zipped=False),
                "mnist/train-labels-idx1-ubyte",
                8 + 5,
                77,
                "item 5: found the label 77",
            ),
        ],
    )
    def test_a_label_out_of_range(self, name, write, place, at, value, message, tmp_path):
        """A label that is out of range is rejected with its file and position."""
        write((tmp_path / place).parent, name)
        with open(tmp_path / place, "r+b") as file:
            file.seek(at)
            file.write(bytes([value]))
        with pytest.raises(DataError, match=rf"{(tmp_path / place).name}: {message}, expected 0\.\.9"):
            len(load_data(name, tmp_path).test)

    def test_labels_without_images(self, tmp_path):
        """An idx file with fewer labels than images is rejected with both numbers."""
        idx_files(tmp_path / "mnist", "mnist", zipped=False)
        path = tmp_path / "mnist" / "train-labels-idx1-ubyte"
        path.write_bytes(path.read_bytes()[:4] + (7).to_bytes(4, "big") + bytes(range(7)))
        with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: 7 labels, expected 100"):
            load_data("mnist", tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"img": {"bytes": b"no image", "path": ""}}, "row 7: the image cannot be decoded"),
            ({"img": {"bytes": None, "path": "x.png"}}, "row 7: the image is empty: 0 bytes"),
            ({"label": 10}, r"row 7: found the label 10, expected 0\.\.9"),
            ({"label": -1}, r"row 7: found the label -1, expected 0\.\.9"),
            ({"label": None}, "row 7: has no label"),
        ],
    )
    def test_a_damaged_row_of_a_parquet_file(self, change, message, tmp_path):
        """The row of an undecodable image or an invalid label is named."""
        parquet_files(tmp_path / "cifar10", "cifar10", shards=1)
        path = tmp_path / "cifar10" / "train-00000-of-00001.parquet"
        rows = parquet.read_table(path).to_pylist()
        rows[7] |= change
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        with pytest.raises(DataError, match=rf"train-00000-of-00001\.parquet: {message}"):
            load_data("cifar10", tmp_path)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"text": ["a"], "label": [0]}, "expected a column img or image or images, found text, label"),
            ({"img": [b"a"], "class": [0]}, "expected a column label or labels, found img, class"),
            ({"img": [[1, 2]], "label": [0]}, "expected the column img to hold encoded images, found list"),
            ({"img": [b"a"], "label": ["cat"]}, "expected labels to be whole numbers, found string"),
        ],
    )
    def test_a_parquet_file_of_something_else(self, columns, message, tmp_path):
        """The message names the expected and the found contents."""
        (tmp_path / "cifar10").mkdir()
        for split in ("train", "test"):
            parquet.write_table(pyarrow.table(columns), tmp_path / "cifar10" / f"{split}-0.parquet")
        with pytest.raises(DataError, match=rf"train-0\.parquet: {message}"):
            load_data("cifar10", tmp_path)

    def test_an_archive_of_something_else(self, tmp_path):
        """An archive with the right name but without the batches is rejected with the expected contents."""
        archive(tmp_path / "cifar-10-python.tar.gz", "mnist", write=idx_files)
        with pytest.raises(
            DataError, match=r"cifar-10-python\.tar\.gz: expected data_batch_5 or data_batch_5\.bin in it"
        ):
            load_data("cifar10", tmp_path)


@pytest.fixture(scope="module")
def real_cifar10():
    if not os.environ.get("EXPLORER_DATA"):
        pytest.skip("needs CIFAR-10: set EXPLORER_DATA to its parent folder")
    try:
        return load_data("cifar10")
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.slow
class TestRealCifar10:
    def test_sizes_and_classes(self, real_cifar10):
        """The splits have 45,000, 5,000 and 10,000 images, equally many of each class."""
        parts = (real_cifar10.train, real_cifar10.validation, real_cifar10.test)
        for part, count in zip(parts, (45_000, 5_000, 10_000), strict=True):
            assert np.bincount(part.labels).tolist() == [count // 10] * 10

    def test_channel_means(self, real_cifar10):
        """The means and deviations of CIFAR-10's training images are the well-known ones."""
        assert real_cifar10.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.002)
        assert real_cifar10.std == pytest.approx((0.247, 0.2435, 0.2616), abs=0.004)

    def test_the_cache_gives_the_same_images(self, real_cifar10):
        """Images from the cache equal the decoded ones."""
        assert load_data("cifar10").fingerprint == real_cifar10.fingerprint
