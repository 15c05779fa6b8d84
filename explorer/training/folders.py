"""A folder of images, one subfolder for each class."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape
from explorer.training.cache import cached
from explorer.training.images import Form, WrongSize, decode_images, image_shape
from explorer.training.ondisk import ImagesOnDisk, fits_in_memory
from explorer.training.sources import Known, Source, is_named, read_bytes, read_file
from explorer.training.splits import Split

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
_SPLIT_NAMES = {name for names in SPLIT_FOLDERS.values() for name in names}
LOOKED_AT = 100  # classes whose first image is looked at to tell grey data sets from coloured ones


def folder_layout(folder: Path, known: Known) -> Source | None:
    """``train/<class>/*.png`` and ``test/<class>/*.png`` of a data set whose classes are known in number."""
    splits = _found_splits(folder)
    if not {"train", "test"} <= splits.keys():
        return None
    classes = len(_subfolders(splits["train"]))
    if classes == known.classes:
        return folder_source(folder, known.name, Form(known.shape))
    if not is_named(folder, known):
        return None  # class folders of something else
    raise DataError(f"{splits['train']}: {classes} class folders, expected the {known.classes} of {known.name}")


def describe_folder(folder: Path, side: int | None = None) -> tuple[TensorShape, int]:
    """The shape of the folder's images and its number of classes; decodes nothing.

    The shape is that of the first image, which all must have, or with ``side`` the square that all are resized to.
    One channel when the first image of every class (of a hundred classes at most) is grey, else three.
    """
    base = _split_folders(folder)["train"]
    classes = _class_names(base)
    firsts = [next(_images(base / name), None) for name in list(classes.values())[:LOOKED_AT]]
    for name, first in zip(classes.values(), firsts):
        if first is None:
            raise DataError(f"{base / name}: no images in it; known kinds: {', '.join(sorted(SUFFIXES))}")
    shapes = [read_file(path, image_shape) for path in firsts]
    channels = max(shape.channels for shape in shapes)
    return TensorShape(channels, side or shapes[0].height, side or shapes[0].width), len(classes)


def folder_source(folder: Path, name: str, form: Form, mend: str = "") -> Source:
    """The folder's images; classes are numbered in the order of their names. ``mend``: what to do about two sizes.

    With ``train`` and perhaps ``validation`` (or ``val``) and ``test`` folders above the class folders these are
    the splits; a folder that holds the class folders itself is one split, ``train``. Images that are too
    many for the memory stay on the disk.
    """
    bases = _split_folders(folder)
    reads = {
        split: partial(_read, base, bases["train"], f"{name} {split}", form, mend) for split, base in bases.items()
    }
    return Source(folder, "class folders", reads)


class _Listed(NamedTuple):
    names: list[str]  # paths below the split's folder
    labels: np.ndarray
    left_out: tuple[str, ...]  # a note on files that are no images


def _read(base: Path, train: Path, name: str, form: Form, mend: str) -> Split:
    listed = _list(base, train)
    if not fits_in_memory(len(listed.names), form.shape):
        names = np.array([os.fsencode(name) for name in listed.names])
        return Split(ImagesOnDisk(base, names, form), listed.labels, listed.left_out)
    paths = [base / name for name in listed.names]

    def decode() -> Split:
        try:
            return decode_images(((str(path), read_bytes(path)) for path in paths), listed.labels, form)
        except WrongSize as error:
            raise DataError(f"{error}{mend}") from error

    split = cached(f"{name} {'x'.join(map(str, form.shape))}{' fit' * form.fit}", paths, decode)
    return Split(split.images, split.labels, split.notes + listed.left_out)


def _list(base: Path, train: Path) -> _Listed:
    """Every image of the split. Raises DataError when its classes are not those of the training images."""
    wanted, classes = _class_names(train), _class_names(base)
    for key in sorted(wanted.keys() ^ classes.keys()):
        has, lacks = (base, train) if key in classes else (train, base)
        raise DataError(f"{lacks}: its class folders differ from those of {has}, which has {(classes | wanted)[key]!r}")
    names, labels, others = [], [], []
    for label, key in enumerate(wanted):
        before, folder = len(names), classes[key]
        for name in _files(base / folder):
            (names if _is_image(name) else others).append(f"{folder}/{name}")
        if len(names) == before:
            raise DataError(f"{base / folder}: no images in it; known kinds: {', '.join(sorted(SUFFIXES))}")
        labels += [label] * (len(names) - before)
    if not others:
        return _Listed(names, np.array(labels, np.int64), ())
    note = f"{len(others)} files left out, which are no images by their names; the first is {base / others[0]}"
    return _Listed(names, np.array(labels, np.int64), (note,))


def _split_folders(folder: Path) -> dict[str, Path]:
    """Split -> its folder; the folder itself as ``train`` where it holds the classes directly."""
    found = _found_splits(folder)
    inside = _subfolders(folder)
    if "train" not in found and inside and {name.lower() for name in inside} <= _SPLIT_NAMES:
        raise DataError(f"{folder}: has {', '.join(inside)} but no folder 'train' with class folders in it")
    return found if "train" in found else {"train": folder}


def _found_splits(folder: Path) -> dict[str, Path]:
    """The folders of splits in ``folder``. One called ``train`` that holds no folders is a class, of trains."""
    inside = {name.lower(): folder / name for name in _subfolders(folder)}
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        base = next((inside[name] for name in names if name in inside), None)
        if base is not None and (split != "train" or _subfolders(base)):
            found[split] = base
    return found


def _subfolders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error


def _class_names(base: Path) -> dict[str, str]:
    """The class folders in the order of their names: a name as every system spells it -> the folder's own.

    Raises DataError for fewer than two, and for two that differ only in small and capital letters, which some
    disks take for one.
    """
    names = _subfolders(base)
    if len(names) < 2:
        raise DataError(
            f"{base}: expected two or more class folders of images, found {', '.join(names) or 'none'}; "
            "a network is trained to tell classes apart"
        )
    spelt = dict(sorted((unicodedata.normalize("NFC", name), name) for name in names))
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            first, second = sorted((other, name))
            raise DataError(
                f"{base}: the class folders {first!r} and {second!r} differ only in spelling; rename or join them"
            )
    return spelt


def _images(base: Path) -> Iterator[Path]:
    return (base / name for name in _files(base) if _is_image(name))


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _files(base: Path, folder: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """The files in ``base`` and its subfolders, as paths below it, in the order of their names; hidden ones left out,
    links followed. ``above``: the folders that are being listed. Raises DataError for an image that is no plain file.
    """
    try:
        where = os.stat(base / folder)
        entries = sorted(os.scandir(base / folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{base / folder}: cannot be read: {error.strerror}") from error
    identity = (where.st_dev, where.st_ino)
    if identity in above:  # a link to a folder above it
        return
    for entry in entries:
        name = f"{folder}{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(base, f"{name}/", above | {identity})
            continue
        if _is_image(name) and not entry.is_file():
            raise DataError(f"{entry.path}: {'a broken link' if entry.is_symlink() else 'no plain file'}; remove it")
        yield name
