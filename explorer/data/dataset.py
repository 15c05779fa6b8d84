"""A data set: images and labels for training, validation and test, and what a study records of it.

``load_data("cluttered-digits")`` or ``load_data("cifar10", "/path/to/data")``. Free of torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from explorer.data.catalogue import EMBEDDED, KNOWN, describe_data, find_folder, locate
from explorer.data.formats.folders import describe_folder, folder_source
from explorer.data.images import ImageFormat
from explorer.data.reading import escaped_name
from explorer.data.sources import Source, data_root, not_found_error
from explorer.data.splits import SPLITS, LazySplit, Split, copy_notes, image_digests, shared_note, stratified_parts
from explorer.data.streaming import ImagesOnDisk
from explorer.errors import DataError, did_you_mean
from explorer.networks.ops.base import TensorShape

STATISTICS_IMAGES = 1_000  # of a data set that stays on the disk, as many give mean and std
MAX_SHOWN_CLASSES = 10
MIN_VALIDATION_IMAGES = 20  # below it one image is worth more than five points of accuracy


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images with labels, in three splits that share no image.

    A search trains on ``train`` and chooses by ``validation``; ``test`` stays apart for the networks
    that were chosen, and where its images lie in files of their own, they are not read before it is asked for.
    ``mean``, ``std``: of each channel of ``train``, for pixels scaled to 0..1. ``shift``: by how many pixels a training
    image may sensibly be shifted; ``flip``: whether it may be mirrored left to right. ``fingerprint``: name, sizes,
    seed, subset and a hash of train and validation, and mean and std to four digits, for whoever feeds an exported
    network. ``notes``: what was converted when train and validation were decoded, and what makes their accuracies
    doubtful. ``class_names``: in the order of the labels, for a folder of images.
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
        """Class -> split -> number of images; to count ``test`` reads it. Unnamed classes are called by their label."""
        names = self.class_names or tuple(map(str, range(self.classes)))
        numbers = {split: np.bincount(self.split(split).labels, minlength=self.classes).tolist() for split in splits}
        return {name: {split: numbers[split][i] for split in splits} for i, name in enumerate(names)}

    def class_lines(self, splits: tuple[str, ...] = SPLITS) -> tuple[str, ...]:
        """A line with each named class and its images in ``splits``; nothing where the classes have no names."""
        if not self.class_names:
            return ()
        shown = [
            f"{escaped_name(name)} " + " ".join(f"{number:,} ({split})" for split, number in numbers.items())
            for name, numbers in list(self.counts(splits).items())[:MAX_SHOWN_CLASSES]
        ]
        more = self.classes - len(shown)
        return (f"{self.classes} classes: {', '.join(shown)}{f', and {more} more' if more else ''}",)

    def split(self, name: str) -> Split | LazySplit:
        """One of the three splits by its name."""
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
    """The data set of that name, or of a folder with one subfolder of images for each class.

    ``data_dir``: the folder of the data set or one above it; by default the environment's EXPLORER_DATA, or where
    ``explorer data fetch`` puts data. A folder's name may end in ``@`` and a number of pixels, which
    resizes its images to that square. ``seed`` fixes the splits. Validation is a tenth of the training images (5,000
    of CIFAR's 50,000), stratified; a folder without splits gives a fifth to validation and a fifth to test.
    ``subset``: so many images of train and validation together, stratified: a fifth of them for
    validation, but no more than the full split has; a smaller subset lies inside a larger. Test is always whole.
    ``skip_damaged``: leave out images of a folder that cannot be decoded; a note and the fingerprint count them.

    Raises DataError when the data are unknown, missing or damaged, or ``subset`` is out of range.
    """
    flip = False
    class_names: tuple[str, ...] = ()
    test: Split | LazySplit
    if name in EMBEDDED:
        shape, classes = describe_data(name)
        shift = EMBEDDED[name].shift
        train, validation, test = EMBEDDED[name].load(seed)
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
        shift = min(shape.height, shape.width) // 8  # as CIFAR's 4 of 32; no flip, it might change the class
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
    """The source's splits; those it does not have are taken from its training images. Its test is not read yet."""
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
    train, *carved = stratified_parts(whole, sizes, seed, copies)
    for split, part in zip(absent, carved, strict=True):
        if not len(part):
            raise DataError(f"{source.where}: too few different images for a {split} split: most are copies")
    _require_classes(f"{source.where}: of its {count} training images, those left after splitting", train, classes)
    rest = iter(carved)
    validation = next(rest) if validation is None else validation
    test = next(rest) if test is None else test
    # The notes of what was decoded go with the part that is trained on.
    return replace(train, notes=notes, damaged=whole.damaged), validation, test


def _read_test(source: Source, classes: int, digests: np.ndarray | None) -> Split:
    test = _read_split(source, "test", classes)
    return replace(test, notes=test.notes + shared_note("test", test, digests, "training"))


def _reliability_notes(train: Split, validation: Split, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Notes on splits so small that their accuracy, or what is learnt of a class, says little."""
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
    read = source.splits[split]()
    if not len(read):
        raise DataError(f"{source.where}: no images in its {split} split")
    if split == "train":
        _require_classes(f"{source.where}: train", read, classes)
    return read


def _require_classes(where: str, split: Split, classes: int) -> None:
    absent = np.setdiff1d(np.arange(classes), split.labels)
    if len(absent):
        found = classes - len(absent)
        raise DataError(
            f"{where} hold {found} of {classes} classes, none of class {absent[0]}; "
            "is it another data set, or are there too few images?"
        )


def _subset(name: str, train: Split, validation: Split, size: int, classes: int, seed: int) -> tuple[Split, Split]:
    most = len(train) + len(validation)
    if not 5 * classes <= size <= most:
        raise DataError(
            f"a subset of {name} must lie in {5 * classes}..{most}, found {size}: "
            "it is taken of train and validation together, and holds some images of every class in both"
        )
    for_validation = max(min(size // 5, len(validation)), size - len(train))
    (train,) = stratified_parts(train, (size - for_validation,), seed)
    _require_classes(f"a subset of {size} of {name}: its training images", train, classes)
    (validation,) = stratified_parts(validation, (for_validation,), seed)
    return train, validation


def _mean_and_std(images: np.ndarray | ImagesOnDisk) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, for pixels scaled to 0..1. A constant channel has std 1.

    Of images that stay on the disk, MOMENT_IMAGES at equal distances stand for all.
    """
    if isinstance(images, ImagesOnDisk):
        chosen = np.linspace(0, len(images) - 1, min(STATISTICS_IMAGES, len(images))).astype(int)
        images = np.asarray(images[chosen])
    total = squares = np.zeros(images.shape[1])
    for start in range(0, len(images), 500):  # some hundred at a time: the float copy stays in the processor's cache
        pixels = images[start : start + 500].reshape(-1, images.shape[1], images[0, 0].size).astype(np.float32)
        total = total + pixels.sum(axis=2).sum(axis=0, dtype=np.float64)
        squares = squares + np.einsum("ncp,ncp->nc", pixels, pixels).sum(axis=0, dtype=np.float64)
    count = images[:, 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple((mean / 255).tolist()), tuple(np.where(std > 0, std / 255, 1.0).tolist())


def _sha256(*splits: Split) -> str:
    """Of pixels and labels; of images that stay on the disk, of their names and labels."""
    digest = hashlib.sha256()
    for split in splits:
        images = split.images.names if isinstance(split.images, ImagesOnDisk) else split.images
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()[:16]
