"""Reading of a folder of images with one subfolder for each class."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from explorer.data.cache import cached
from explorer.data.decoding import DamagedImages, damaged_note, decode_images, find_damaged, needed_grey_bits
from explorer.data.formats.split_folders import (
    IGNORED_FOLDERS,
    find_splits,
    inner_hint,
    named_splits,
    subfolders,
    table_hint,
)
from explorer.data.images import ImageFormat, WrongSize, image_shape
from explorer.data.reading import escaped_name, read_bytes, read_file
from explorer.data.sources import PublicDataset, Source, is_named
from explorer.data.splits import Split
from explorer.data.streaming import ImagesOnDisk, fits_in_memory
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
DAMAGED_FIX = "replace or remove, or leave out with --skip-damaged (skip_damaged=True)"
MAX_DEPTH = 32  # folders below a class folder
SYSTEM_FOLDERS = (("/", "proc"), ("/", "sys"), ("/", "dev"))  # the kernel's virtual files
MAX_SAMPLES = 100  # images that are read to find out whether a folder is grey, and how many bits its levels need


def folder_layout(folder: Path, known: PublicDataset) -> Source | None:
    """Find ``train/CLASS/*`` and ``test/CLASS/*`` of a public data set.

    Args:
        folder: The folder to search.
        known: The data set.

    Returns:
        The folders; None if there are none, or if they belong to another data set.

    Raises:
        DataError: The folder has the data set's name but another number of classes.
    """
    splits = named_splits(folder)
    if not {"train", "test"} <= splits.keys():
        return None
    classes = len(subfolders(splits["train"]))
    if classes == known.classes:
        return folder_source(folder, known.name, ImageFormat(known.shape))
    if not is_named(folder, known):
        return None  # class folders of another data set
    raise DataError(f"{splits['train']}: {classes} class folders, expected the {known.classes} of {known.name}")


def describe_folder(folder: Path, side: int | None = None) -> tuple[TensorShape, int]:
    """Return the shape of a folder's images and its number of classes without decoding an image.

    Images have one channel if the first image of each class (of at most MAX_SAMPLES classes) is grey, else three.

    Args:
        folder: The folder.
        side: Size in pixels that the images are resized to; by default they have the size of the first image.

    Raises:
        DataError: The folder does not hold class folders of readable images.
    """
    base = find_splits(folder).bases["train"]
    classes = _class_names(base)
    shapes = [_first_shape(base / name) for name in list(classes.values())[:MAX_SAMPLES]]
    channels = max(shape.channels for shape in shapes)
    return TensorShape(channels, side or shapes[0].height, side or shapes[0].width), len(classes)


def _first_shape(folder: Path) -> TensorShape:
    """Return the shape of the first readable image in the folder. Raises DataError if there is none."""
    damaged = None
    for path in _images(folder):
        try:
            return read_file(path, image_shape)
        except DataError as error:
            damaged = damaged or error
    raise damaged or DataError(f"{escaped_name(folder)}: no images in it; known kinds: {', '.join(sorted(SUFFIXES))}")


def folder_source(
    folder: Path, name: str, image_format: ImageFormat, fix: str = "", skip_damaged: bool = False
) -> Source:
    """Return the splits and classes of a folder of images.

    Classes are numbered in the order of their names. The splits are the folders ``train``, ``validation`` and ``test``
    (or other names in SPLIT_NAMES) above the class folders; a folder that holds the class folders itself is the split
    ``train``. Images that do not fit in memory are streamed from the disk.

    Args:
        folder: The folder.
        name: Name of the data set.
        image_format: What the images are decoded to.
        fix: Suggested fix for images of different sizes, which ends the message.
        skip_damaged: Whether to leave out images that cannot be decoded.

    Raises:
        DataError: It is unclear which folders are splits and which are classes.
    """
    bases, notes = find_splits(folder)
    folders = _Folders(name, bases, image_format, fix, notes, skip_damaged)
    classes = tuple(_class_names(bases["train"]))
    return Source(folder, "class folders", {split: partial(_read, folders, split) for split in bases}, classes)


class _Folders(NamedTuple):
    """The folders of one data set and how its images are read.

    Attributes:
        name: Name of the data set.
        bases: Split -> folder of its class folders.
        image_format: What the images are decoded to.
        fix: Suggested fix for images of different sizes.
        notes: Notes on folders that are left out.
        skip_damaged: Whether to leave out images that cannot be decoded.
    """

    name: str
    bases: dict[str, Path]
    image_format: ImageFormat
    fix: str
    notes: tuple[str, ...]
    skip_damaged: bool


class _ImageList(NamedTuple):
    """The images of one split.

    Attributes:
        names: Paths below the split's folder.
        labels: int64 (N,).
        notes: Notes on files that are left out.
    """

    names: list[str]
    labels: np.ndarray
    notes: tuple[str, ...]


def _read(folders: _Folders, split: str) -> Split:
    """Decode one split, or prepare its streaming if it does not fit in memory."""
    base, image_format = folders.bases[split], folders.image_format
    listed = _list_images(base, folders.bases["train"], folders.notes if split == "train" else ())
    if not fits_in_memory(len(listed.names), image_format.shape):
        return _stream(folders, split, listed)
    if split != "train":  # grey levels are scaled as those of the training images
        image_format = image_format._replace(grey_bits=_read(folders, "train").grey_bits)
    paths = [base / name for name in listed.names]

    def decode() -> Split:
        try:
            return decode_images(_encoded(paths), listed.labels, image_format, folders.skip_damaged)
        except WrongSize as error:
            raise WrongSize(f"{error}{folders.fix}") from error
        except DamagedImages as error:
            raise DamagedImages(error.images, error.total, DAMAGED_FIX) from error

    found = cached(_cache_name(folders, split, image_format), paths, decode)
    _require_every_class(base, found.labels, listed.labels)
    return replace(found, notes=found.notes + listed.notes)


def _stream(folders: _Folders, split: str, listed: _ImageList) -> Split:
    """Return the split with its images on the disk. Only ``skip_damaged`` searches for damaged images, once."""
    train = listed if split == "train" else _list_images(folders.bases["train"], folders.bases["train"], ())
    sample = train.names[:: -(-len(train.names) // MAX_SAMPLES)]
    bits = needed_grey_bits(read_bytes(folders.bases["train"] / name) for name in sample)
    base, image_format = folders.bases[split], folders.image_format._replace(grey_bits=bits)
    names, labels, notes = np.array([os.fsencode(name) for name in listed.names]), listed.labels, listed.notes
    damaged = 0
    if folders.skip_damaged:
        paths = [base / name for name in listed.names]

        def check() -> Split:
            found = find_damaged(_encoded(paths), image_format)
            whole = np.array([i not in found for i in range(len(paths))])
            note = (damaged_note(list(found.values()), len(paths)),) if found else ()
            return Split(whole, labels, note, bits, len(found))

        checked = cached(_cache_name(folders, split, image_format) + " whole", paths, check)
        damaged, notes = checked.damaged, checked.notes + notes
        names, labels = names[checked.images], labels[checked.images]
        _require_every_class(base, labels, listed.labels)
    return Split(ImagesOnDisk(base, names, image_format), labels, notes, bits, damaged)


def _encoded(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each file."""
    return ((escaped_name(path), read_bytes(path)) for path in paths)


def _cache_name(folders: _Folders, split: str, image_format: ImageFormat) -> str:
    """Return the name of the split's entry in the cache, which differs for each way of decoding."""
    bits = "" if image_format.grey_bits is None else f" {image_format.grey_bits} bits"
    shape = "x".join(map(str, image_format.shape))
    return f"{folders.name} {split} {shape}{' fit' * image_format.fit}{bits}{' skipping' * folders.skip_damaged}"


def _require_every_class(base: Path, labels: np.ndarray, listed: np.ndarray) -> None:
    """Raise DataError if all images of a class are damaged."""
    lost = np.setdiff1d(listed, labels)
    if len(lost):
        raise DataError(f"{escaped_name(base)}: all images of class {lost[0]} are damaged")


def _list_images(base: Path, train: Path, notes: tuple[str, ...]) -> _ImageList:
    """List the images of a split. Raises DataError if its classes differ from those of the training images."""
    wanted, classes = _class_names(train), _class_names(base)
    for key in sorted(wanted.keys() ^ classes.keys()):
        has, lacks = (base, train) if key in classes else (train, base)
        raise DataError(f"{lacks}: its class folders differ from those of {has}, which has {(classes | wanted)[key]!r}")
    names: list[str] = []
    others: list[str] = []
    labels: list[int] = []
    for label, key in enumerate(wanted):
        before, folder = len(names), classes[key]
        for name in _files(base / folder):
            (names if _is_image(name) else others).append(f"{folder}/{name}")
        if len(names) == before:
            raise DataError(
                f"{escaped_name(base / folder)}: no images in it; known kinds: {', '.join(sorted(SUFFIXES))}"
            )
        labels += [label] * (len(names) - before)
    if others:
        notes += (
            f"{len(others)} files were left out because their names are not those of images; "
            f"the first is {escaped_name(base / others[0])}",
        )
    beside = sum(_is_image(name) and not name.startswith(".") for name in os.listdir(base))
    if beside:
        notes += (f"{beside} images in {escaped_name(base)} were left out because they are in no class folder",)
    order = list(wanted)
    if all(name.isdecimal() for name in order) and order != sorted(order, key=int):
        notes += (f"the classes are numbered in the order of their names as text: {', '.join(order[:4])}, ...",)
    return _ImageList(names, np.array(labels, np.int64), notes)


def _class_names(base: Path) -> dict[str, str]:
    """Return the class folders in the order of their names: Unicode-normalised name -> name on the disk.

    Raises DataError if there are fewer than two, or if two names differ only in case or Unicode form: some file systems
    treat them as one.
    """
    names = subfolders(base)
    if len(names) < 2:
        raise DataError(
            f"{escaped_name(base)}: expected two or more class folders of images, "
            f"found {', '.join(map(escaped_name, names)) or 'none'}; a classifier needs at least two classes"
            + (inner_hint(base) or table_hint(base))
        )
    classes = dict(sorted((unicodedata.normalize("NFC", name), name) for name in names))
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            first, second = sorted((other, name))
            raise DataError(
                f"{base}: the class folders {first!r} and {second!r} differ only in spelling; rename or join them"
            )
    return classes


def _images(base: Path) -> Iterator[Path]:
    return (base / name for name in _files(base) if _is_image(name))


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _files(base: Path) -> Iterator[str]:
    """Yield the files in ``base`` and its subfolders as paths below it, in the order of their names.

    Hidden files are left out. Links are followed; a folder with several links to it is listed once.

    Raises:
        DataError: An image is not a regular file, a link leads to a folder above ``base``, or folders are nested deeper
            than MAX_DEPTH.
    """
    yield from _files_below(base, "", set(), {_identity(parent) for parent in base.resolve().parents})


def _files_below(base: Path, folder: str, listed: set[tuple[int, int]], above: set[tuple[int, int]]) -> Iterator[str]:
    """Yield the files below ``base / folder``; ``listed``: folders already listed; ``above``: parents of ``base``."""
    place = base / folder
    if folder.count("/") > MAX_DEPTH:
        raise DataError(
            f"{escaped_name(base)}: folders are nested deeper than {MAX_DEPTH} levels, as in {folder[:60]}..."
        )
    try:
        identity = _identity(place)
        if identity in above or _is_virtual(place.resolve()):
            target = escaped_name(place.resolve())
            raise DataError(f"{escaped_name(place)}: a link to {target}, which is not a folder of images; remove it")
        if identity in listed:
            return
        listed.add(identity)
        with os.scandir(place) as scanned:
            entries = [(entry, entry.is_dir()) for entry in scanned if not entry.name.startswith(".")]
        entries.sort(key=lambda pair: pair[0].name)
        for entry, is_folder in entries:
            name = f"{folder}{entry.name}"
            if is_folder:
                if entry.name not in IGNORED_FOLDERS:
                    yield from _files_below(base, f"{name}/", listed, above)
                continue
            if _is_image(name) and not entry.is_file():
                kind = "a broken link" if entry.is_symlink() else "not a regular file"
                raise DataError(f"{escaped_name(entry.path)}: {kind}; remove it")
            yield name
    except OSError as error:
        raise DataError(f"{escaped_name(error.filename or place)}: cannot be read: {error.strerror}") from error


def _is_virtual(folder: Path) -> bool:
    """Return whether a folder has virtual files of the kernel; ``/dev/shm`` is memory for ordinary files."""
    return folder.parts[:2] in SYSTEM_FOLDERS and folder.parts[:3] != ("/", "dev", "shm")


def _identity(folder: Path) -> tuple[int, int]:
    """Return device and inode, which are equal for two paths of the same folder."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino
