"""MNIST and Fashion-MNIST (LeCun et al. 1998; arXiv:1708.07747) as idx files, compressed with gzip or not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from explorer.data.cache import cached
from explorer.data.formats.archives import gunzip
from explorer.data.reading import read_bytes
from explorer.data.sources import Download, PublicDataset, Source, check_labels
from explorer.data.splits import Split
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape

SHAPE = TensorShape(1, 28, 28)
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
MAX_ITEMS = 60_000  # in one file
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# The copy that TensorFlow uses; the authors' page requires a login.
_MNIST_SITE = "https://storage.googleapis.com/cvdf-datasets/mnist"
_FASHION_SITE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"

MNIST = PublicDataset(
    name="mnist",
    shape=SHAPE,
    classes=10,
    images=(60_000, 10_000),
    folders=(),
    label_columns=("label", "labels"),
    shift=2,
    flip=False,
    downloads=(
        Download(
            f"{_MNIST_SITE}/train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        Download(
            f"{_MNIST_SITE}/train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            28_881,
        ),
        Download(
            f"{_MNIST_SITE}/t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1_648_877,
        ),
        Download(
            f"{_MNIST_SITE}/t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            4_542,
        ),
    ),
)
# The SHA-256 of the files with the MD5 in the authors' README.
FASHION_MNIST = PublicDataset(
    name="fashion_mnist",
    shape=SHAPE,
    classes=10,
    images=(60_000, 10_000),
    folders=(),
    label_columns=("label", "labels"),
    shift=2,
    flip=True,
    downloads=(
        Download(
            f"{_FASHION_SITE}/train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26_421_880,
        ),
        Download(
            f"{_FASHION_SITE}/train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            29_515,
        ),
        Download(
            f"{_FASHION_SITE}/t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            4_422_102,
        ),
        Download(
            f"{_FASHION_SITE}/t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            5_148,
        ),
    ),
)


def idx_layout(folder: Path, known: PublicDataset) -> Source | None:
    """Find ``train-images-idx3-ubyte`` and the three other idx files, each with or without ``.gz``.

    Args:
        folder: The folder to search.
        known: The data set.

    Returns:
        The files; None if there are none.
    """
    if not any(_find(folder, name) for names in _FILES.values() for name in names):
        return None
    return Source(folder, "idx files", {split: partial(_from_folder, folder, known, split) for split in _FILES})


def _find(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")  # the spelling in some archives
    return next(
        (
            path
            for path in (folder / f"{base}{end}" for base in (name, dotted) for end in ("", ".gz"))
            if path.is_file()
        ),
        None,
    )


def _from_folder(folder: Path, known: PublicDataset, split: str) -> Split:
    paths = []
    for name in _FILES[split]:
        path = _find(folder, name)
        if path is None:
            raise DataError(f"{folder / name}[.gz]: missing, while others are there; fetch all four files")
        paths.append(path)

    def decode() -> Split:
        images, labels = read_idx(paths[0], IMAGES_MAGIC), read_idx(paths[1], LABELS_MAGIC).astype(np.int64)
        if len(images) != len(labels):
            raise DataError(
                f"{paths[1]}: {len(labels)} labels, expected {len(images)}, one for each image of {paths[0].name}"
            )
        check_labels(labels, known.classes, lambda i: f"{paths[1]}: item {i}")
        return Split(images.reshape(-1, *SHAPE), labels)

    return cached(f"{known.name} {split}", paths, decode)


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Read an idx file: magic number and sizes in big-endian order, then bytes.

    Args:
        path: The file, which may be compressed with gzip.
        magic: Expected magic number, IMAGES_MAGIC or LABELS_MAGIC.

    Returns:
        Images, uint8 (N, 28, 28), or labels, uint8 (N,).

    Raises:
        DataError: The file is damaged, or has another magic number or other sizes.
    """
    item = SHAPE.elements if magic == IMAGES_MAGIC else 1
    header = 16 if magic == IMAGES_MAGIC else 8
    data = read_bytes(path, header + MAX_ITEMS * item)
    if path.suffix == ".gz":
        data = gunzip(path, data, header + MAX_ITEMS * item)
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
