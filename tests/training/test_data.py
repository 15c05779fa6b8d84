"""Data sets found in every usual layout, split, cut to a subset, and refused when they are missing or damaged."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from explorer.errors import DataError
from explorer.training.cifar import read_python_batch
from explorer.training.data import describe_data, load_data

PER_SPLIT = {"train": 100, "test": 20}


def pictures(split: str, classes: int = 10, shape=(3, 32, 32)) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels that hold every class alike."""
    count = PER_SPLIT[split] * classes // 10
    images = np.random.RandomState(len(split)).randint(0, 256, (count, *shape)).astype(np.uint8)
    return images, np.arange(count) % classes


def encoded(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(out, "PNG")
    return out.getvalue()


def python_batches(folder: Path, name: str) -> None:
    classes, key = (10, b"labels") if name == "cifar10" else (100, b"fine_labels")
    folder.mkdir(parents=True)
    images, labels = pictures("train", classes)
    names = [f"data_batch_{i}" for i in range(1, 6)] if name == "cifar10" else ["train"]
    parts = [*zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True)]
    for file, part, numbers in [*parts, ("test_batch" if name == "cifar10" else "test", *pictures("test", classes))]:
        batch = {b"data": part.reshape(len(part), -1), key: numbers.tolist(), b"batch_label": b"a batch"}
        (folder / file).write_bytes(pickle.dumps(batch, protocol=2))


def binary_batches(folder: Path, name: str) -> None:
    classes = 10 if name == "cifar10" else 100
    folder.mkdir(parents=True)
    images, labels = pictures("train", classes)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if name == "cifar10" else ["train.bin"]
    parts = [*zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True)]
    for file, part, numbers in [
        *parts,
        ("test_batch.bin" if name == "cifar10" else "test.bin", *pictures("test", classes)),
    ]:
        fields = [numbers[:, None] // 5, numbers[:, None]] if classes == 100 else [numbers[:, None]]
        np.concatenate([*fields, part.reshape(len(part), -1)], axis=1).astype(np.uint8).tofile(folder / file)


def parquet_files(folder: Path, name: str, image: str = "img", shards: int = 2, struct_of_bytes: bool = True) -> None:
    classes, label = (100, "fine_label") if name == "cifar100" else (10, "label")
    shape = (1, 28, 28) if "mnist" in name else (3, 32, 32)
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        images, labels = pictures(split, classes, shape)
        for shard, places in enumerate(np.array_split(np.arange(len(images)), shards)):
            cells = [encoded(images[place]) for place in places]
            column = [{"bytes": cell, "path": "x.png"} for cell in cells] if struct_of_bytes else cells
            table = pyarrow.table({image: column, label: labels[places]})
            parquet.write_table(table, folder / f"{split}-{shard:05d}-of-{shards:05d}.parquet")


def class_folders(folder: Path, name: str = "", classes: int = 10, splits=("train", "test"), shape=(3, 32, 32)) -> None:
    for split in splits:
        images, labels = pictures("test" if split == "val" else split or "train", classes, shape)
        for place, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / f"class{label:02d}" / f"{place:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image))


def idx_files(folder: Path, name: str, zipped: bool = True) -> None:
    folder.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = pictures(split, 10, (1, 28, 28))
        for kind, data in (
            ("images-idx3", struct.pack(">4i", 2051, len(images), 28, 28) + images.tobytes()),
            ("labels-idx1", struct.pack(">2i", 2049, len(labels)) + labels.astype(np.uint8).tobytes()),
        ):
            path = folder / f"{prefix}-{kind}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(data) if zipped else data)


LAYOUTS = {
    "cifar10 python": ("cifar10", "cifar-10-batches-py", python_batches),
    "cifar10 binary": ("cifar10", "cifar-10-batches-bin", binary_batches),
    "cifar10 parquet": ("cifar10", "cifar10", parquet_files),
    "cifar10 hub": ("cifar10", "cifar10/plain_text", parquet_files),
    "cifar10 hub data": ("cifar10", "data", lambda folder, name: parquet_files(folder, name, "image", 1, False)),
    "cifar10 folders": ("cifar10", "cifar10", class_folders),
    "cifar100 python": ("cifar100", "cifar-100-python", python_batches),
    "cifar100 binary": ("cifar100", "cifar-100-binary", binary_batches),
    "cifar100 parquet": ("cifar100", "cifar100/cifar100", parquet_files),
    "mnist idx": ("mnist", "MNIST/raw", idx_files),
    "mnist plain idx": ("mnist", "mnist", lambda folder, name: idx_files(folder, name, zipped=False)),
    "mnist parquet": ("mnist", "mnist", lambda folder, name: parquet_files(folder, name, "image", 1)),
    "fashion_mnist idx": ("fashion_mnist", "fashion_mnist", idx_files),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("given", ["above", "itself", "environment"])
def test_every_layout_gives_the_same_data(layout, given, tmp_path, monkeypatch):
    """Found from the folder above, the folder itself and EXPLORER_DATA; every image with its label, none twice."""
    name, folder, write = LAYOUTS[layout]
    write(tmp_path / folder, name)
    monkeypatch.delenv("EXPLORER_DATA", raising=False)
    if given == "environment":
        monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    data = load_data(name, {"above": tmp_path, "itself": tmp_path / folder, "environment": None}[given])

    assert (data.shape, data.classes) == describe_data(name)
    for split, parts in (("train", (data.train, data.validation)), ("test", (data.test,))):
        images, labels = pictures(split, data.classes, data.shape)
        expected = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        found = [pair for part in parts for pair in zip(part.images, part.labels, strict=True)]
        assert len(found) == len(expected)
        assert {image.tobytes(): label for image, label in found} == expected
    assert len(data.validation) == len(pictures("train", data.classes)[0]) // 10
    assert data.train.labels.dtype == np.int64


def test_layouts_have_one_fingerprint(tmp_path):
    """The same images in two layouts have the same fingerprint: a study may move from one to the other."""
    python_batches(tmp_path / "a" / "cifar-10-batches-py", "cifar10")
    binary_batches(tmp_path / "b" / "cifar-10-batches-bin", "cifar10")
    assert load_data("cifar10", tmp_path / "a").fingerprint == load_data("cifar10", tmp_path / "b").fingerprint


class TestSplits:
    @pytest.fixture
    def folder(self, tmp_path):
        python_batches(tmp_path / "cifar-10-batches-py", "cifar10")
        return tmp_path

    def test_fingerprint_says_what_was_used(self, folder):
        """Name, sizes, seed, subset and a hash of the content; the hash differs with the seed's split."""
        fingerprint = dict(load_data("cifar10", folder, subset=50, seed=4).fingerprint)
        assert len(fingerprint.pop("sha256")) == 16
        assert all(0 <= value <= 1 for value in (*fingerprint.pop("mean"), *fingerprint.pop("std")))
        sizes = {"train": 40, "validation": 10, "test": 20}
        assert fingerprint == {"name": "cifar10", **sizes, "seed": 4, "subset": 50}
        hashes = {load_data("cifar10", folder, seed=seed).fingerprint["sha256"] for seed in (0, 1)}
        assert len(hashes) == 2

    @pytest.mark.parametrize(
        ("subset", "train", "validation"), [(50, 40, 10), (90, 80, 10), (100, 90, 10), (None, 90, 10)]
    )
    def test_subset_sizes(self, folder, subset, train, validation):
        """A fifth of a subset is for validation, but no more than the full split has; test stays whole."""
        data = load_data("cifar10", folder, subset=subset)
        assert (len(data.train), len(data.validation), len(data.test)) == (train, validation, 20)
        assert np.bincount(data.train.labels).tolist() == [train // 10] * 10
        assert np.bincount(data.validation.labels).tolist() == [validation // 10] * 10

    def test_subset_lies_inside_the_full_splits(self, folder):
        """No image that a subset validates on is trained on in the full data set."""
        full, part = load_data("cifar10", folder), load_data("cifar10", folder, subset=50)
        assert contents(part.train) <= contents(full.train)
        assert contents(part.validation) <= contents(full.validation)

    @pytest.mark.parametrize("subset", [0, -5, 49, 101])
    def test_subset_out_of_range(self, folder, subset):
        """A subset too small to hold every class in both parts, or too large, is refused with its bounds."""
        with pytest.raises(DataError, match=f"a subset of cifar10 must lie in 50..100, found {subset}"):
            load_data("cifar10", folder, subset=subset)

    def test_mean_and_std_are_those_of_train(self, folder):
        """Each channel of the training images, so normalised, has mean 0 and std 1."""
        data = load_data("cifar10", folder)
        pixels = data.train.images / 255
        assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-6)
        assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-6)

    def test_unknown_split(self, folder):
        """A misspelt split is answered with the three that exist."""
        with pytest.raises(
            DataError, match="unknown split 'valid'; known: train, validation, test; did you mean 'validation'"
        ):
            load_data("cifar10", folder).split("valid")


class TestFolders:
    def test_train_and_test(self, tmp_path):
        """Validation is taken from the training images; classes are numbered by name."""
        class_folders(tmp_path / "mine", classes=3, shape=(3, 20, 24))
        data = load_data(str(tmp_path / "mine"))
        assert (data.name, data.shape, data.classes) == ("mine", (3, 20, 24), 3)
        assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 6)
        assert describe_data("mine", tmp_path) == (data.shape, 3)

    def test_given_validation_is_kept(self, tmp_path):
        """With train, val and test nothing is split."""
        class_folders(tmp_path / "mine", classes=3, splits=("train", "val", "test"))
        data = load_data("mine", tmp_path)
        assert (len(data.train), len(data.validation), len(data.test)) == (30, 6, 6)

    def test_one_level_is_split_by_the_seed(self, tmp_path):
        """A fifth each for validation and test, stratified."""
        class_folders(tmp_path / "mine", classes=3, splits=("",), shape=(1, 16, 16))
        data = load_data("mine", tmp_path)
        assert data.shape == (1, 16, 16)
        assert [np.bincount(part.labels).tolist() for part in (data.train, data.validation, data.test)] == [
            [6] * 3,
            [2] * 3,
            [2] * 3,
        ]
        assert contents(data.test) != contents(load_data("mine", tmp_path, seed=1).test)

    def test_images_of_two_sizes(self, tmp_path):
        """An image of another size than the first is named with both sizes."""
        class_folders(tmp_path / "mine", classes=2)
        odd = tmp_path / "mine" / "train" / "class01" / "0007.png"
        odd.write_bytes(encoded(np.zeros((3, 16, 8), np.uint8)))
        with pytest.raises(DataError, match=r"0007\.png: the image is 8 x 16 pixels, expected 32 x 32"):
            load_data("mine", tmp_path)

    def test_folder_without_classes(self, tmp_path):
        """A folder that holds no class folders is refused."""
        (tmp_path / "mine").mkdir()
        with pytest.raises(DataError, match="expected two or more class folders of images, found none"):
            describe_data("mine", tmp_path)

    def test_classes_of_test_must_be_those_of_train(self, tmp_path):
        """A class folder that only one split has is refused."""
        class_folders(tmp_path / "mine", classes=3)
        (tmp_path / "mine" / "test" / "class09").mkdir()
        with pytest.raises(DataError, match=r"test: its class folders differ from those of .*train"):
            load_data("mine", tmp_path)


def contents(part) -> set[bytes]:
    return {image.tobytes() for image in part.images}


class TestMissing:
    def test_unknown_name(self):
        """A misspelt data set is answered with the one that was meant."""
        for ask in (load_data, describe_data):
            with pytest.raises(
                DataError, match=r"unknown data set 'cifar-10'.*known: digits, .*did you mean 'cifar10'"
            ):
                ask("cifar-10")

    def test_no_folder_named(self, monkeypatch):
        """Without a folder the message says how to name one and where the data come from."""
        monkeypatch.delenv("EXPLORER_DATA", raising=False)
        with pytest.raises(DataError) as caught:
            load_data("cifar10")
        message = str(caught.value)
        assert "cifar10: no folder to look in" in message
        assert "--data-dir or EXPLORER_DATA" in message
        assert "cifar-10-python.tar.gz" in message
        assert "\n" not in message

    @pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
    def test_not_there(self, name, tmp_path):
        """A folder without the data is named, with what to put there; describing needs no files."""
        describe_data(name, tmp_path)
        with pytest.raises(DataError) as caught:
            load_data(name, tmp_path)
        assert str(caught.value).startswith(f"{name} not found in {tmp_path} (looked there and in its folders")
        assert f" {name}/" in str(caught.value)

    def test_no_such_folder(self, tmp_path):
        """A data folder that does not exist is said not to."""
        with pytest.raises(DataError, match=r"cifar10 not found in .*nowhere \(there is no such folder"):
            load_data("cifar10", tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("write", "folder", "name", "lost"),
        [
            (python_batches, "cifar-10-batches-py", "cifar10", "data_batch_3"),
            (binary_batches, "cifar-10-batches-bin", "cifar10", "test_batch.bin"),
            (parquet_files, "cifar10", "cifar10", "train-00001-of-00002.parquet"),
            (parquet_files, "cifar10", "cifar10", "test-00000-of-00002.parquet"),
            (idx_files, "mnist", "mnist", "t10k-labels-idx1-ubyte.gz"),
        ],
    )
    def test_one_file_missing(self, write, folder, name, lost, tmp_path):
        """Of a layout that is there in part, the missing file is named."""
        write(tmp_path / folder, name)
        (tmp_path / folder / lost).unlink()
        with pytest.raises(DataError, match=f"{lost.removesuffix('.gz')}.*: missing, while .* is there"):
            load_data(name, tmp_path)

    def test_another_data_set_under_the_name(self, tmp_path):
        """CIFAR-10's files under CIFAR-100's name are not taken for it."""
        class_folders(tmp_path / "cifar100", classes=10)
        with pytest.raises(DataError, match="10 class folders, expected the 100 of cifar100"):
            load_data("cifar100", tmp_path)
        (tmp_path / "b").mkdir()
        parquet_files(tmp_path / "b" / "cifar100", "cifar10")
        with pytest.raises(DataError, match="train: found 10 classes, expected 100; is it another data set"):
            load_data("cifar100", tmp_path / "b")


class TestDamage:
    @pytest.mark.parametrize(
        ("write", "folder", "name", "file"),
        [
            (python_batches, "cifar-10-batches-py", "cifar10", "data_batch_2"),
            (binary_batches, "cifar-10-batches-bin", "cifar10", "data_batch_2.bin"),
            (parquet_files, "cifar10", "cifar10", "train-00000-of-00002.parquet"),
            (idx_files, "mnist", "mnist", "train-images-idx3-ubyte.gz"),
            (lambda folder, name: idx_files(folder, name, False), "mnist", "mnist", "train-labels-idx1-ubyte"),
            (class_folders, "cifar10", "cifar10", "train/class03/0013.png"),
        ],
    )
    @pytest.mark.parametrize("keep", [0, 0.07, 0.61, 0.99])
    def test_a_file_cut_short_is_named(self, write, folder, name, file, keep, tmp_path):
        """However much of it is left, the message names the file."""
        write(tmp_path / folder, name)
        path = tmp_path / folder / file
        os.truncate(path, int(keep * path.stat().st_size))
        with pytest.raises(DataError) as caught:
            load_data(name, tmp_path)
        assert str(path) in str(caught.value)

    def test_a_label_out_of_range(self, tmp_path):
        """A label that the data set does not have is refused."""
        binary_batches(tmp_path / "cifar-10-batches-bin", "cifar10")
        with open(tmp_path / "cifar-10-batches-bin" / "test_batch.bin", "r+b") as file:
            file.write(b"\x0a")
        with pytest.raises(DataError, match=r"test: found the label 10, expected 0\.\.9"):
            load_data("cifar10", tmp_path)

    def test_a_damaged_image_in_a_parquet_file(self, tmp_path):
        """The row of an image that cannot be decoded is named."""
        parquet_files(tmp_path / "cifar10", "cifar10", shards=1)
        path = tmp_path / "cifar10" / "train-00000-of-00001.parquet"
        rows = parquet.read_table(path).to_pylist()
        rows[7]["img"]["bytes"] = b"no image"
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet: row 7: the image cannot be decoded"):
            load_data("cifar10", tmp_path)

    def test_a_parquet_file_of_something_else(self, tmp_path):
        """Without a column of images the columns found are named."""
        (tmp_path / "cifar10").mkdir()
        for split in ("train", "test"):
            parquet.write_table(
                pyarrow.table({"text": ["a"], "label": [0]}), tmp_path / "cifar10" / f"{split}-0.parquet"
            )
        with pytest.raises(DataError, match="expected a column img or image, found text, label"):
            load_data("cifar10", tmp_path)


class Evil:
    """Unpickled freely, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


class TestPickles:
    def test_an_evil_pickle_is_refused_and_does_nothing(self, tmp_path):
        """A batch that asks for os.system is refused by that name; its command is not run."""
        done, path = tmp_path / "done", tmp_path / "data_batch_1"
        path.write_bytes(pickle.dumps({b"data": Evil(done), b"labels": []}))
        with pytest.raises(DataError, match=r"data_batch_1: refused: it asks for (posix|nt)\.system"):
            read_python_batch(path, b"labels")
        assert not done.exists()

    @pytest.mark.parametrize("what", [eval, open, getattr, __import__, np.load, np.memmap, np.frombuffer])
    def test_other_callables_are_refused(self, what, tmp_path):
        """Neither builtins nor numpy's other functions can be reached."""
        path = tmp_path / "batch"
        path.write_bytes(pickle.dumps({b"data": what}))
        with pytest.raises(DataError, match="refused: it asks for"):
            read_python_batch(path, b"labels")

    def test_arrays_of_objects_are_refused(self, tmp_path):
        """An array of another type than uint8 is refused before it is built."""
        path = tmp_path / "batch"
        path.write_bytes(pickle.dumps({b"data": np.array([None, None]), b"labels": [0, 0]}, protocol=2))
        with pytest.raises(DataError, match="refused: an array of type"):
            read_python_batch(path, b"labels")

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            ([], "expected a mapping with 'data' and 'labels'"),
            ({b"data": np.zeros((2, 3072), np.uint8)}, "expected a mapping with 'data' and 'labels'"),
            ({b"data": np.zeros((2, 100), np.uint8), b"labels": [0, 1]}, "expected 'data' to be uint8 of N x 3072"),
            ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "expected 'labels' to be a list of 2 whole"),
            (
                {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "1"]},
                "expected 'labels' to be a list of 2 whole",
            ),
        ],
    )
    def test_a_pickle_that_is_no_batch(self, batch, message, tmp_path):
        """What is no batch is refused with what was expected, while a batch beside it is read."""
        bad, good = tmp_path / "bad", tmp_path / "good"
        bad.write_bytes(pickle.dumps(batch, protocol=2))
        good.write_bytes(pickle.dumps({b"data": np.ones((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2))
        with pytest.raises(DataError, match=message):
            read_python_batch(bad, b"labels")
        images, labels = read_python_batch(good, b"labels")
        assert images.shape == (2, 3, 32, 32)
        assert images.all()
        assert labels.tolist() == [0, 1]

    def test_a_damaged_batch_takes_little_memory(self, tmp_path):
        """A batch of nine bytes that numbers an object 2^24 is refused without memory for as many objects."""
        path = tmp_path / "batch"
        path.write_bytes(b"\x80\x02K\x01r\x00\x00\x00\x01.")
        tracemalloc.start()
        with pytest.raises(DataError, match="expected a mapping"):
            read_python_batch(path, b"labels")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10e6

    def test_bit_flips_raise_nothing_else(self, tmp_path):
        """Three hundred damaged batches are read or refused by name, and end in no other way."""
        path = tmp_path / "batch"
        batch = {
            b"batch_label": b"x",
            b"labels": [0, 1],
            b"data": np.zeros((2, 3072), np.uint8),
            b"filenames": [b"a", b"b"],
        }
        good = pickle.dumps(batch, protocol=2)
        random = np.random.RandomState(0)
        ends = list(range(300)) + list(range(len(good) - 100, len(good)))  # the opcodes around the pixels
        refused = 0
        for _ in range(300):
            bad = bytearray(good)
            for place in random.choice(ends, 2):
                bad[place] ^= 1 << random.randint(8)
            path.write_bytes(bad)
            try:
                read_python_batch(path, b"labels")
            except DataError as error:
                assert str(path) in str(error)
                refused += 1
        assert refused > 100


@pytest.fixture(scope="module")
def real_cifar10():
    if not os.environ.get("EXPLORER_DATA"):
        pytest.skip("needs CIFAR-10: set EXPLORER_DATA to the folder above it")
    try:
        return load_data("cifar10")
    except DataError as error:
        pytest.skip(str(error))


class TestRealCifar10:
    def test_sizes_and_classes(self, real_cifar10):
        """45,000, 5,000 and 10,000 images, every class alike in each."""
        parts = (real_cifar10.train, real_cifar10.validation, real_cifar10.test)
        for part, count in zip(parts, (45_000, 5_000, 10_000), strict=True):
            assert np.bincount(part.labels).tolist() == [count // 10] * 10

    def test_channel_means(self, real_cifar10):
        """The well-known means and deviations of CIFAR-10's training images."""
        assert real_cifar10.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.002)
        assert real_cifar10.std == pytest.approx((0.247, 0.2435, 0.2616), abs=0.004)

    def test_loaded_again_alike(self, real_cifar10):
        """From the cache the images are those that were decoded."""
        assert load_data("cifar10").fingerprint == real_cifar10.fingerprint
