"""A data set in memory: images and labels for training, validation and test, and what a study records of it.

``load_data("cluttered-digits")`` or ``load_data("cifar10", "/path/to/data")``. Free of torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from explorer.errors import DataError, did_you_mean
from explorer.ops.base import TensorShape
from explorer.training import digits
from explorer.training.cache import cached
from explorer.training.cifar import CIFAR10, CIFAR100, binary_layout, python_layout
from explorer.training.folders import describe_folder, folder_layout, folder_source
from explorer.training.mnist import FASHION_MNIST, MNIST, idx_layout
from explorer.training.parquet import parquet_layout
from explorer.training.sources import Known, Source, data_root, find_source
from explorer.training.splits import Split, stratified_parts

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images with labels, in three splits that share no image.

    A search trains on ``train`` and chooses by ``validation``; ``test`` stays apart for the networks
    that were chosen. ``mean``, ``std``: of each channel of ``train``, for pixels scaled to 0..1.
    ``shift``: by how many pixels a training image may sensibly be shifted; ``flip``: whether it may be
    mirrored left to right. ``fingerprint``: name, sizes, seed, subset, a hash of the
    content, and mean and std to four digits, for whoever feeds an exported network.
    """

    name: str
    shape: TensorShape
    classes: int
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shift: int
    flip: bool
    fingerprint: Mapping[str, Any]

    def split(self, name: str) -> Split:
        """One of the three splits by its name."""
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; known: {', '.join(SPLITS)}{did_you_mean(name, SPLITS)}")
        return getattr(self, name)


class _Embedded(NamedTuple):
    """A data set that needs no files: its shape, and what makes its three splits from a seed. Ten classes."""

    shape: TensorShape
    shift: int
    load: Callable[[int], tuple[Split, Split, Split]]


EMBEDDED = {
    "digits": _Embedded(TensorShape(1, 8, 8), 1, digits.load_digits),
    "cluttered-digits": _Embedded(TensorShape(1, digits.CANVAS, digits.CANVAS), 0, digits.load_cluttered_digits),
}
KNOWN: dict[str, Known] = {known.name: known for known in (CIFAR10, CIFAR100, MNIST, FASHION_MNIST)}
LAYOUTS = {
    "cifar10": (parquet_layout, python_layout, binary_layout, folder_layout),
    "cifar100": (parquet_layout, python_layout, binary_layout, folder_layout),
    "mnist": (idx_layout, parquet_layout, folder_layout),
    "fashion_mnist": (idx_layout, parquet_layout, folder_layout),
}
NAMES = (*EMBEDDED, *KNOWN)


def describe_data(name: str, data_dir: str | Path | None = None) -> tuple[TensorShape, int]:
    """The shape of the images and the number of classes, without loading them.

    Raises DataError for an unknown name; a known data set need not be there.
    """
    if name in EMBEDDED:
        return EMBEDDED[name].shape, 10
    if name in KNOWN:
        return KNOWN[name].shape, KNOWN[name].classes
    return describe_folder(_folder(name, data_dir))


def load_data(name: str, data_dir: str | Path | None = None, subset: int | None = None, seed: int = 0) -> Dataset:
    """The data set of that name, or of a folder with one subfolder of images for each class.

    ``data_dir``: the folder of the data set or the one above it; by default the environment's
    EXPLORER_DATA. ``seed`` fixes the splits. Validation is a tenth of the training images (5,000 of
    CIFAR's 50,000), stratified; a folder without splits gives a fifth to validation and a fifth to test.
    ``subset``: so many images of train and validation together, stratified: a fifth of them for
    validation, but no more than the full split has. Test is always whole.

    Raises DataError when the data are unknown, missing or damaged, or ``subset`` is out of range.
    """
    flip = False
    if name in EMBEDDED:
        shape, classes = describe_data(name)
        shift = EMBEDDED[name].shift
        train, validation, test = EMBEDDED[name].load(seed)
    elif name in KNOWN:
        known = KNOWN[name]
        shape, classes, shift, flip = known.shape, known.classes, known.shift, known.flip
        train, validation, test = _read(name, find_source(known, data_root(data_dir), LAYOUTS[name]), classes, seed)
    else:
        folder = _folder(name, data_dir)
        shape, classes = describe_folder(folder)
        shift = min(shape.height, shape.width) // 8  # as CIFAR's 4 of 32; no flip, it might change the class
        train, validation, test = _read(folder.name, folder_source(folder, shape), classes, seed)
        name = folder.name
    if subset is not None:
        train, validation = _subset(name, train, validation, subset, classes, seed)
    mean, std = _moments(train.images)
    fingerprint = {
        "name": name, "train": len(train), "validation": len(validation), "test": len(test),
        "seed": seed, "subset": subset, "sha256": _sha256(train, validation, test),
        "mean": [round(value, 4) for value in mean], "std": [round(value, 4) for value in std],
    }  # fmt: skip
    return Dataset(name, shape, classes, train, validation, test, mean, std, shift, flip, fingerprint)


def _folder(name: str, data_dir: str | Path | None) -> Path:
    """The folder that ``name`` stands for, by itself or inside the data folder."""
    root = data_root(data_dir)
    for folder in (Path(name).expanduser(), *([root / name] if root else [])):
        if name and folder.is_dir():
            return folder.resolve()
    raise DataError(
        f"unknown data set {name!r}: no folder of that name; known: {', '.join(NAMES)}, or a folder with one "
        f"subfolder of images for each class{did_you_mean(name, NAMES)}"
    )


def _read(name: str, source: Source, classes: int, seed: int) -> tuple[Split, Split, Split]:
    """The source's splits; those it does not have are taken from its training images."""
    arrays = cached(name, source.files, source.decode)
    given = {}
    for split in (split for split in SPLITS if f"{split}_images" in arrays):
        given[split] = Split(arrays[f"{split}_images"], np.asarray(arrays[f"{split}_labels"]))
        _check_labels(f"{source.files[0].parent}, {split}", given[split].labels, classes, whole=split == "train")
    count = len(given["train"])
    missing = [split for split in SPLITS if split not in given]
    share = count // (10 if "test" in given else 5)
    train, *carved = stratified_parts(given["train"], (count - share * len(missing), *[share] * len(missing)), seed)
    splits = given | {"train": train} | dict(zip(missing, carved, strict=True))
    for split, part in splits.items():
        if not len(part):
            raise DataError(f"{source.files[0].parent}: {count} training images are too few for a {split} split")
    return splits["train"], splits["validation"], splits["test"]


def _check_labels(where: str, labels: np.ndarray, classes: int, whole: bool) -> None:
    present = np.unique(labels)
    if not len(present):
        raise DataError(f"{where}: no images")
    outside = present[(present < 0) | (present >= classes)]
    if len(outside):
        raise DataError(f"{where}: found the label {outside[0]}, expected 0..{classes - 1}; is it another data set?")
    if whole and len(present) < classes:
        raise DataError(f"{where}: found {len(present)} classes, expected {classes}; is it another data set?")


def _subset(name: str, train: Split, validation: Split, size: int, classes: int, seed: int) -> tuple[Split, Split]:
    most = len(train) + len(validation)
    if not 5 * classes <= size <= most:
        raise DataError(
            f"a subset of {name} must lie in {5 * classes}..{most}, found {size}: "
            "it is taken of train and validation together, and holds some images of every class in both"
        )
    for_validation = max(min(size // 5, len(validation)), size - len(train))
    return (
        *stratified_parts(train, (size - for_validation,), seed),
        *stratified_parts(validation, (for_validation,), seed),
    )


def _moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, for pixels scaled to 0..1. A constant channel has std 1."""
    total, squares = 0.0, 0.0
    for start in range(0, len(images), 500):  # some hundred at a time: the float copy stays in the processor's cache
        pixels = images[start : start + 500].reshape(-1, images.shape[1], images[0, 0].size).astype(np.float32)
        total += pixels.sum(axis=2).sum(axis=0, dtype=np.float64)
        squares += np.einsum("ncp,ncp->nc", pixels, pixels).sum(axis=0, dtype=np.float64)
    count = images[:, 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple((mean / 255).tolist()), tuple(np.where(std > 0, std / 255, 1.0).tolist())


def _sha256(*splits: Split) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(np.ascontiguousarray(split.images))
        digest.update(np.ascontiguousarray(split.labels))
    return digest.hexdigest()[:16]
