"""A data set: images and labels in three splits, and the fingerprint that a study records.

Example: ``load_data("cluttered-digits")`` or ``load_data("cifar10", "/path/to/data")``. Does not import torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from explorer.data.catalogue import KNOWN, embedded, find_folder, locate
from explorer.data.formats.folders import describe_folder, folder_source
from explorer.data.images import ImageFormat
from explorer.data.reading import escaped_name
from explorer.data.sources import Source, data_root, not_found_error
from explorer.data.splits import SPLITS, LazySplit, Split, copy_notes, image_digests, shared_note, stratified_parts
from explorer.data.streaming import ImagesOnDisk
from explorer.errors import DataError, did_you_mean
from explorer.networks.ops.base import TensorShape

STATISTICS_IMAGES = 1_000  # images used for mean and std if the data set is streamed from the disk
MAX_SHOWN_CLASSES = 10  # that are listed on one line
MIN_VALIDATION_IMAGES = 20  # with fewer images, one changes the accuracy by more than five percentage points


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images and labels in three splits that share no image.

    Attributes:
        name: Name of the data set.
        shape: Shape of an image, (C, H, W).
        classes: Number of classes.
        train: The images that networks are trained on.
        validation: The images that a search compares networks by.
        test: The images for the final evaluation of selected networks. If they have files of their own, they are read
            on first use.
        mean: Mean of each channel of ``train``, for pixels scaled to 0..1.
        std: Standard deviation of each channel of ``train``, for pixels scaled to 0..1.
        shift: Greatest shift in pixels of a training image in augmentation.
        flip: Whether augmentation may flip training images left to right.
        fingerprint: Name, sizes, seed, subset, a hash of train and validation, and mean and std to four decimals, which
            an exported network needs for its inputs.
        notes: Conversions made while decoding train and validation, and reasons why their accuracies may be unreliable.
        class_names: Names of the classes in the order of the labels; empty unless it is a folder of images.
    """

    name: str
    shape: TensorShape
    classes: int
    train: Split
    validation: Split
    test: Split | LazySplit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shift: int
    flip: bool
    fingerprint: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def counts(self, splits: tuple[str, ...] = SPLITS) -> dict[str, dict[str, int]]:
        """Count the images of each class. Counting ``test`` reads it.

        Args:
            splits: The splits to count; all by default.

        Returns:
            Class -> split -> number of images. Classes without names have their label as name.
        """
        names = self.class_names or tuple(map(str, range(self.classes)))
        numbers = {split: np.bincount(self.split(split).labels, minlength=self.classes).tolist() for split in splits}
        return {name: {split: numbers[split][i] for split in splits} for i, name in enumerate(names)}

    def class_lines(self, splits: tuple[str, ...] = SPLITS) -> tuple[str, ...]:
        """Return a line that lists the named classes and their numbers of images; empty if classes have no names.

        Args:
            splits: The splits to count; all by default.
        """
        if not self.class_names:
            return ()
        shown = [
            f"{escaped_name(name)} " + " ".join(f"{number:,} ({split})" for split, number in numbers.items())
            for name, numbers in list(self.counts(splits).items())[:MAX_SHOWN_CLASSES]
        ]
        more = self.classes - len(shown)
        return (f"{self.classes} classes: {', '.join(shown)}{f', and {more} more' if more else ''}",)

    def split(self, name: str) -> Split | LazySplit:
        """Return a split by its name. Raises DataError if there is no split of that name."""
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; known: {', '.join(SPLITS)}{did_you_mean(name, SPLITS)}")
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def load_data(
    name: str,
    data_dir: str | Path | None = None,
    subset: int | None = None,
    seed: int = 0,
    *,
    skip_damaged: bool = False,
) -> Dataset:
    """Load a data set.

    If there is no validation split, a tenth of the training images becomes it (5,000 of CIFAR's 50,000), stratified. A
    folder without splits gives a fifth to validation and a fifth to test.

    Args:
        name: Name of a data set, or of a folder with one subfolder of images for each class. A folder's name may end in
            ``@SIZE``, which resizes its images to a square of that many pixels.
        data_dir: Folder of the data set or one above it; by default the environment variable EXPLORER_DATA, or the
            folder that ``explorer data fetch`` downloads to.
        subset: Number of images of train and validation together, stratified. A fifth of them are for validation, but
            at most as many as the full split has. A larger subset contains a smaller one. Test is not reduced. By
            default all images are used.
        seed: Seed of the splits.
        skip_damaged: Whether to leave out images of a folder that cannot be decoded. A note and the fingerprint hold
            their number.

    Raises:
        DataError: The data are unknown, missing or damaged, or ``subset`` is out of range.
    """
    flip = False
    class_names: tuple[str, ...] = ()
    test: Split | LazySplit
    if (found := embedded(name)) is not None:
        shape, classes, shift = found.shape, found.classes, found.shift
        train, validation, test = found.load(seed)
        _require_classes(f"data set {name!r}: its training images", train, classes)
    elif name in KNOWN:
        known = KNOWN[name]
        shape, classes, shift, flip = known.shape, known.classes, known.shift, known.flip
        source = locate(name, data_dir)
        if source is None:
            raise not_found_error(known, data_root(data_dir))
        train, validation, test = _read(source, classes, seed)
    else:
        folder, side = find_folder(name, data_dir)
        shape, classes = describe_folder(folder, side)
        shift = min(shape.height, shape.width) // 8  # as CIFAR's 4 of 32; no flip, which might change the class
        square = min(shape.height, shape.width)
        fix = f"; to resize all images, add a size to the folder's name, as in --data {name}@{square}"
        name = folder.name if side is None else f"{folder.name}@{side}"
        source = folder_source(folder, name, ImageFormat(shape, side is not None), fix, skip_damaged)
        class_names = source.class_names
        train, validation, test = _read(source, classes, seed)
    notes = tuple(dict.fromkeys(train.notes + validation.notes))
    damaged = train.damaged + validation.damaged
    if subset is not None:
        train, validation = _subset(name, train, validation, subset, classes, seed)
    if class_names:
        notes += _reliability_notes(train, validation, class_names)
    mean, std = _mean_and_std(train.images)
    fingerprint = {
        "name": name, "train": len(train), "validation": len(validation),
        "seed": seed, "subset": subset, "sha256": _sha256(train, validation),
        "mean": [round(value, 4) for value in mean], "std": [round(value, 4) for value in std],
    }  # fmt: skip
    if damaged:
        fingerprint["damaged"] = damaged
    return Dataset(
        name, shape, classes, train, validation, test, mean, std, shift, flip, fingerprint, notes, class_names
    )


def _read(source: Source, classes: int, seed: int) -> tuple[Split, Split, Split | LazySplit]:
    """Return the three splits. Missing ones are taken from the training images; a test split is read on first use."""
    whole = _read_split(source, "train", classes)
    digests = image_digests(whole.images) if source.class_names else None
    notes = whole.notes if digests is None else whole.notes + copy_notes(digests, whole.labels, source.class_names)
    validation: Split | None = None
    test: Split | LazySplit | None = None
    if "validation" in source.splits:
        validation = _read_split(source, "validation", classes)
        notes += shared_note("validation", validation, digests, "training")
    if "test" in source.splits:
        test = LazySplit(partial(_read_test, source, classes, digests))
    absent = [name for name, split in (("validation", validation), ("test", test)) if split is None]
    count = len(whole)
    share = count // (10 if test is not None else 5)
    if absent and not share:
        raise DataError(f"{source.where}: {count} training images are too few for a {absent[0]} split")
    sizes = (count - share * len(absent), *[share] * len(absent))
    copies = None if digests is None else np.unique(digests, return_inverse=True)[1]
    train, *taken = stratified_parts(whole, sizes, seed, copies)
    for split, part in zip(absent, taken, strict=True):
        if not len(part):
            raise DataError(f"{source.where}: too few different images for a {split} split: most are copies")
    _require_classes(f"{source.where}: of its {count} training images, those left after splitting", train, classes)
    rest = iter(taken)
    validation = next(rest) if validation is None else validation
    test = next(rest) if test is None else test
    # The notes on decoding belong to the training split.
    return replace(train, notes=notes, damaged=whole.damaged), validation, test


def _read_test(source: Source, classes: int, digests: np.ndarray | None) -> Split:
    test = _read_split(source, "test", classes)
    return replace(test, notes=test.notes + shared_note("test", test, digests, "training"))


def _reliability_notes(train: Split, validation: Split, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return notes on splits or classes with so few images that accuracies are unreliable."""
    notes = []
    if len(validation) < MIN_VALIDATION_IMAGES:
        step = 100 / len(validation)
        notes.append(f"validation has only {len(validation)} images: accuracy moves in steps of {step:.0f} points")
    numbers = np.bincount(train.labels, minlength=len(class_names))
    single = [name for name, number in zip(class_names, numbers) if number == 1]
    if single:
        notes.append(f"{len(single)} classes have a single training image; the first is {single[0]!r}")
    unseen = np.setdiff1d(np.arange(len(class_names)), validation.labels)
    if len(unseen):
        notes.append(f"validation has no image of {len(unseen)} classes; the first is {class_names[unseen[0]]!r}")
    return tuple(notes)


def _read_split(source: Source, split: str, classes: int) -> Split:
    """Read a split. Raises DataError if it is empty, or if it is the training split and lacks a class."""
    read = source.splits[split]()
    if not len(read):
        raise DataError(f"{source.where}: no images in its {split} split")
    if split == "train":
        _require_classes(f"{source.where}: train", read, classes)
    return read


def _require_classes(where: str, split: Split, classes: int) -> None:
    """Raise DataError if a class has no image in the split; ``where``: beginning of the message."""
    absent = np.setdiff1d(np.arange(classes), split.labels)
    if len(absent):
        found = classes - len(absent)
        raise DataError(
            f"{where} hold {found} of {classes} classes, none of class {absent[0]}; "
            "is it another data set, or are there too few images?"
        )


def _subset(name: str, train: Split, validation: Split, size: int, classes: int, seed: int) -> tuple[Split, Split]:
    """Return stratified parts of train and validation with ``size`` images together."""
    most = len(train) + len(validation)
    if not 5 * classes <= size <= most:
        raise DataError(
            f"a subset of {name} must be in {5 * classes}..{most}, found {size}: "
            "it is taken from train and validation together, and both parts need images of every class"
        )
    for_validation = max(min(size // 5, len(validation)), size - len(train))
    (train,) = stratified_parts(train, (size - for_validation,), seed)
    _require_classes(f"a subset of {size} of {name}: its training images", train, classes)
    (validation,) = stratified_parts(validation, (for_validation,), seed)
    return train, validation


def _mean_and_std(images: np.ndarray | ImagesOnDisk) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, for pixels scaled to 0..1. A constant channel has std 1.

    If the images are streamed from the disk, STATISTICS_IMAGES of them at equal distances are used.
    """
    if isinstance(images, ImagesOnDisk):
        chosen = np.linspace(0, len(images) - 1, min(STATISTICS_IMAGES, len(images))).astype(int)
        images = np.asarray(images[chosen])
    total = squares = np.zeros(images.shape[1])
    for start in range(0, len(images), 500):  # in chunks whose float copy fits in the processor's cache
        pixels = images[start : start + 500].reshape(-1, images.shape[1], images[0, 0].size).astype(np.float32)
        total = total + pixels.sum(axis=2).sum(axis=0, dtype=np.float64)
        squares = squares + np.einsum("ncp,ncp->nc", pixels, pixels).sum(axis=0, dtype=np.float64)
    count = images[:, 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple((mean / 255).tolist()), tuple(np.where(std > 0, std / 255, 1.0).tolist())


def _sha256(*splits: Split) -> str:
    """Return a hash of pixels and labels; of names and labels if the images are streamed from the disk."""
    digest = hashlib.sha256()
    for split in splits:
        images = split.images.names if isinstance(split.images, ImagesOnDisk) else split.images
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()[:16]
