"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as Python or binary batches, unpacked or in an archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from explorer.data.cache import cached
from explorer.data.formats.archives import read_members
from explorer.data.formats.pickled import load_batch
from explorer.data.reading import read_bytes
from explorer.data.sources import ARCHIVES, Download, PublicDataset, Source, check_labels, is_named
from explorer.data.splits import Split
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape

SHAPE = TensorShape(3, 32, 32)
_SITE = "https://www.cs.toronto.edu/~kriz"

# The SHA-256 of the archives with the MD5 on the authors' page: c58f30108f718f92721af3b95e74349a and
# eb9058c3a382ffc7106e4002c42a8d85. Keras verifies the same SHA-256.
CIFAR10 = PublicDataset(
    name="cifar10",
    shape=SHAPE,
    classes=10,
    images=(50_000, 10_000),
    folders=("cifar10batchespy", "cifar10batchesbin", "cifar10python", "cifar10binary"),
    label_columns=("label", "labels"),
    shift=4,
    flip=True,
    downloads=(
        Download(
            f"{_SITE}/cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            170_498_071,
        ),
    ),
)
CIFAR100 = PublicDataset(
    name="cifar100",
    shape=SHAPE,
    classes=100,
    images=(50_000, 10_000),
    folders=("cifar100python", "cifar100binary"),
    label_columns=("fine_label", "label", "labels"),
    shift=4,
    flip=True,
    downloads=(
        Download(
            f"{_SITE}/cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            169_001_437,
        ),
    ),
)

METADATA_BYTES = 100  # greatest size of an image's name and labels in a batch
ARCHIVE_METADATA_BYTES = 10**6  # greatest size of an archive's other files, such as the names of the classes

Arrays = tuple[np.ndarray, np.ndarray]


class _Layout(NamedTuple):
    """One layout.

    Attributes:
        layout: Its name.
        files: Split -> names of its files.
        read: Returns images and labels for a file's name and bytes.
    """

    layout: str
    files: dict[str, tuple[str, ...]]
    read: Callable[[str, bytes], Arrays]


def read_python_batch(label_key: str, place: str, data: bytes) -> Arrays:
    """Read a pickled mapping of ``data``, uint8 (N, 3072), and labels.

    Args:
        label_key: Key of the labels.
        place: Name of the file, for messages.
        data: Its bytes.

    Returns:
        Images, uint8 (N, 3, 32, 32), and labels, int64 (N,).

    Raises:
        DataError: The file is damaged, or holds anything else.
    """
    try:
        batch = load_batch(data)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    if "data" not in batch or label_key not in batch:
        raise DataError(f"{place}: expected a mapping with 'data' and {label_key!r}")
    pixels, labels = batch["data"], batch[label_key]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (SHAPE.elements,):
        raise DataError(f"{place}: expected 'data' to be uint8 of N x {SHAPE.elements}")
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(pixels):
        raise DataError(f"{place}: expected {label_key!r} to be a list of {len(pixels)} whole numbers")
    return pixels.reshape(-1, *SHAPE), np.array(labels, np.int64)


def read_binary_batch(label_bytes: int, place: str, data: bytes) -> Arrays:
    """Read records of ``label_bytes`` bytes, of which the last is the label, and 3,072 bytes of red, green and blue.

    Args:
        label_bytes: Number of label bytes in a record.
        place: Name of the file, for messages.
        data: Its bytes.

    Returns:
        Images, uint8 (N, 3, 32, 32), and labels, int64 (N,).

    Raises:
        DataError: The file is incomplete.
    """
    record = label_bytes + SHAPE.elements
    if not data or len(data) % record:
        raise DataError(f"{place}: {len(data)} bytes, expected a multiple of {record}; cut short, or not a CIFAR batch")
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    return records[:, label_bytes:].reshape(-1, *SHAPE), records[:, label_bytes - 1].astype(np.int64)


_CIFAR10_TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
_LAYOUTS = {
    "cifar10": (
        _Layout(
            "python batches",
            {"train": _CIFAR10_TRAIN_FILES, "test": ("test_batch",)},
            partial(read_python_batch, "labels"),
        ),
        _Layout(
            "binary batches",
            {"train": tuple(f"{name}.bin" for name in _CIFAR10_TRAIN_FILES), "test": ("test_batch.bin",)},
            partial(read_binary_batch, 1),
        ),
    ),
    "cifar100": (
        _Layout("python batches", {"train": ("train",), "test": ("test",)}, partial(read_python_batch, "fine_labels")),
        _Layout("binary batches", {"train": ("train.bin",), "test": ("test.bin",)}, partial(read_binary_batch, 2)),
    ),
}


def batches_layout(folder: Path, known: PublicDataset) -> Source | None:
    """Find ``data_batch_1`` to ``5`` and ``test_batch`` (CIFAR-100: ``train`` and ``test``), with or without ``.bin``.

    Args:
        folder: The folder to search.
        known: The data set.

    Returns:
        The files; None if there are none.
    """
    for batches in _LAYOUTS[known.name]:
        if any((folder / name).is_file() for names in batches.files.values() for name in names):
            splits = {split: partial(_from_folder, folder, known, batches, split) for split in batches.files}
            return Source(folder, batches.layout, splits)
    return None


def archive_layout(folder: Path, known: PublicDataset) -> Source | None:
    """Find an archive of one of the layouts, such as ``cifar-10-python.tar.gz`` or ``cifar10.zip``.

    Args:
        folder: The folder to search.
        known: The data set.

    Returns:
        The archive; None if there is none.
    """
    for archive in sorted(folder.iterdir()):
        if archive.name.lower().endswith(ARCHIVES) and is_named(archive, known) and archive.is_file():
            splits = {split: partial(_from_archive, archive, known, split) for split in ("train", "test")}
            return Source(archive, "archive", splits)
    return None


def _from_folder(folder: Path, known: PublicDataset, batches: _Layout, split: str) -> Split:
    paths = [folder / name for name in batches.files[split]]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: missing, while other {batches.layout} are there; unpack the archive again")

    def decode() -> Split:
        return _join([batches.read(str(path), read_bytes(path)) for path in paths], known, paths)

    return cached(f"{known.name} {split}", paths, decode)


def _from_archive(archive: Path, known: PublicDataset, split: str) -> Split:
    def decode() -> Split:
        candidates = _LAYOUTS[known.name]
        at_most = sum(known.images) * (SHAPE.elements + METADATA_BYTES) + ARCHIVE_METADATA_BYTES
        found = read_members(archive, {name for batches in candidates for name in batches.files[split]}, at_most)
        for batches in candidates:
            names = batches.files[split]
            if all(name in found for name in names):
                places = [f"{archive}: {name}" for name in names]
                return _join([batches.read(place, found[name]) for place, name in zip(places, names)], known, places)
        wanted = " or ".join(batches.files[split][-1] for batches in candidates)
        raise DataError(
            f"{archive}: expected {wanted} in it; download it again, or unpack it if its files are in another format"
        )

    return cached(f"{known.name} {split}", [archive], decode)


def _join(parts: list[Arrays], known: PublicDataset, places: Sequence[object]) -> Split:
    """Concatenate the batches. Raises DataError if a label is out of range; ``places``: the files, for messages."""
    for (_, labels), place in zip(parts, places):
        check_labels(labels, known.classes, f"{place}: image {{}}".format)
    images, all_labels = zip(*parts, strict=True)
    return Split(np.concatenate(images), np.concatenate(all_labels))
