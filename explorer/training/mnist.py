"""MNIST and Fashion-MNIST in their authors' idx files, gzipped or not (LeCun et al. 1998; arXiv:1708.07747)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape
from explorer.training.sources import Known, Source

SHAPE = TensorShape(1, 28, 28)
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049

MNIST = Known(
    name="mnist",
    shape=SHAPE,
    classes=10,
    folders=("mnist", "MNIST"),
    label_columns=("label",),
    shift=2,
    flip=False,
    fetch="put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the two t10k files of "
    "https://storage.googleapis.com/cvdf-datasets/mnist/ in a folder mnist/",
)
FASHION_MNIST = Known(
    name="fashion_mnist",
    shape=SHAPE,
    classes=10,
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST"),
    label_columns=("label",),
    shift=2,
    flip=True,
    fetch="put the four .gz files of https://github.com/zalandoresearch/fashion-mnist (its folder data/fashion) in a "
    "folder fashion_mnist/",
)


def idx_layout(folder: Path, known: Known) -> Source | None:
    """``train-images-idx3-ubyte`` and its three companions, each alone or with ``.gz``."""
    names = [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    paths = [next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None) for name in names]
    found = [path for path in paths if path is not None]
    if not found:
        return None
    for name, path in zip(names, paths, strict=True):
        if path is None:
            raise DataError(f"{folder / name}[.gz]: missing, while {found[0].name} is there; fetch all four files")

    def decode() -> dict[str, np.ndarray]:
        train_images, train_labels, test_images, test_labels = found
        return {
            "train_images": read_idx(train_images, IMAGES_MAGIC).reshape(-1, *SHAPE),
            "train_labels": read_idx(train_labels, LABELS_MAGIC).astype(np.int64),
            "test_images": read_idx(test_images, IMAGES_MAGIC).reshape(-1, *SHAPE),
            "test_labels": read_idx(test_labels, LABELS_MAGIC).astype(np.int64),
        }

    return Source(tuple(found), decode)


def read_idx(path: Path, magic: int) -> np.ndarray:
    """An idx file: big-endian magic and sizes, then bytes. Images uint8 (N, 28, 28), labels uint8 (N,)."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or cut short: {error}") from error
    item = SHAPE.elements if magic == IMAGES_MAGIC else 1
    header = 16 if magic == IMAGES_MAGIC else 8
    if len(data) < header or int.from_bytes(data[:4], "big") != magic:
        found = int.from_bytes(data[:4], "big")
        raise DataError(f"{path}: expected an idx file that begins with {magic}, found {found}")
    count = int.from_bytes(data[4:8], "big")
    sides = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(8, header, 4))
    if sides not in ((), SHAPE[1:]):
        raise DataError(f"{path}: images of {sides[0]} x {sides[1]}, expected {SHAPE.height} x {SHAPE.width}")
    if len(data) != header + count * item:
        raise DataError(
            f"{path}: {len(data)} bytes, expected {header + count * item} for {count} items; it is cut short"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, *sides)
