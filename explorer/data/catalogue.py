"""The list of data sets: embedded ones, public ones and folders of images. Nothing is decoded here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from explorer.data.extension import extension_splits
from explorer.data.formats import digits
from explorer.data.formats.cifar import CIFAR10, CIFAR100, archive_layout, batches_layout
from explorer.data.formats.folders import describe_folder, folder_layout
from explorer.data.formats.mnist import FASHION_MNIST, MNIST, idx_layout
from explorer.data.formats.parquet import parquet_layout
from explorer.data.sources import Layout, PublicDataset, Source, data_root, find_source, is_named
from explorer.data.splits import SPLITS, Split
from explorer.errors import DataError
from explorer.extensions.lookup import find, names, unknown_hint
from explorer.extensions.registry import serve
from explorer.networks.ops.base import TensorShape

_ALLOWED_SIDES = range(4, 4_097)  # pixels; the upper limit bounds the memory of an image


class EmbeddedDataset(NamedTuple):
    """A data set without files: one that comes with scikit-learn, or one of an extension.

    Attributes:
        shape: Shape of an image, (C, H, W).
        images: Split -> number of images.
        shift: Pixels by which a training image may be shifted.
        load: Returns train, validation and test for a seed.
        classes: Number of classes.
    """

    shape: TensorShape
    images: Mapping[str, int]
    shift: int
    load: Callable[[int], tuple[Split, Split, Split]]
    classes: int = 10


EMBEDDED = {
    "digits": EmbeddedDataset(TensorShape(1, 8, 8), dict(zip(SPLITS, digits.DIGITS)), 1, digits.load_digits),
    "cluttered-digits": EmbeddedDataset(
        TensorShape(1, digits.CANVAS, digits.CANVAS),
        {split: n * m for split, n, m in zip(SPLITS, digits.CLUTTERED_DIGITS, digits.PLACEMENTS)},
        0,
        digits.load_cluttered_digits,
    ),
}
KNOWN: dict[str, PublicDataset] = {known.name: known for known in (CIFAR10, CIFAR100, MNIST, FASHION_MNIST)}
# If a folder holds several layouts, the first in this order is used.
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    **dict.fromkeys(("cifar10", "cifar100"), (parquet_layout, batches_layout, folder_layout, archive_layout)),
    **dict.fromkeys(("mnist", "fashion_mnist"), (idx_layout, parquet_layout, folder_layout)),
}
NAMES = (*EMBEDDED, *KNOWN)
serve("data", NAMES)


def embedded(name: str) -> EmbeddedDataset | None:
    """Return an embedded data set or one of an extension; None if there is none of that name."""
    if name in EMBEDDED or name in KNOWN or (found := find("data", name)) is None:
        return EMBEDDED.get(name)
    splits = extension_splits(name, found.value, 0)
    shape = TensorShape(*splits[0].images.shape[1:])
    images = {split: len(each) for split, each in zip(SPLITS, splits, strict=True)}
    shift = min(shape.height, shape.width) // 8  # as for folders
    classes = int(max(each.labels.max() for each in splits)) + 1
    return EmbeddedDataset(shape, images, shift, partial(extension_splits, name, found.value), classes)


def known_names() -> tuple[str, ...]:
    """Return the names of all data sets without folders: the explorer's and those of extensions."""
    return (*NAMES, *names("data"))


def describe_data(name: str, data_dir: str | Path | None = None) -> tuple[TensorShape, int]:
    """Return the shape of the images and the number of classes without loading them.

    Args:
        name: Name of a data set, which does not have to be downloaded, or of a folder.
        data_dir: Folder of the data sets, as for ``load_data``.

    Raises:
        DataError: The name is unknown, or the folder holds no class folders.
    """
    if (found := embedded(name)) is not None:
        return found.shape, found.classes
    if name in KNOWN:
        return KNOWN[name].shape, KNOWN[name].classes
    return describe_folder(*find_folder(name, data_dir))


def require_known(name: str) -> None:
    """Raise DataError unless ``name`` is an embedded or a public data set, or one of an extension."""
    known = known_names()
    if name not in known:
        hint = unknown_hint("data", name, known)
        raise DataError(f"unknown data set {name!r}; known: {', '.join(known)}{hint}")


def locate(name: str, data_dir: str | Path | None = None) -> Source | None:
    """Find the files of a public data set.

    Args:
        name: Name of a public data set.
        data_dir: Folder of the data sets, as for ``load_data``.

    Returns:
        The files and their layout; None if they are not found.

    Raises:
        DataError: The files are not those of the data set.
    """
    return find_source(KNOWN[name], data_root(data_dir), LAYOUTS[name])


def data_place(name: str, data_dir: str | Path | None = None) -> dict[str, str]:
    """Return the ``name`` and ``data_dir`` that find the same data from any working folder.

    Args:
        name: Name of a data set or a folder.
        data_dir: Folder of the data sets, as for ``load_data``.

    Returns:
        Keyword arguments of ``load_data`` with absolute paths; empty for embedded data.

    Raises:
        DataError: The name is unknown.
    """
    if name in KNOWN:
        return {"name": name, "data_dir": str(data_root(data_dir).resolve())}
    if embedded(name) is not None:
        return {}
    folder, side = find_folder(name, data_dir)
    return {"name": str(folder) if side is None else f"{folder}@{side}"}


def find_folder(name: str, data_dir: str | Path | None) -> tuple[Path, int | None]:
    """Find a folder of images.

    Args:
        name: Path of the folder, absolute, relative to the working folder or relative to the data folder; it may end
            in ``@SIZE``.
        data_dir: Folder of the data sets, as for ``load_data``.

    Returns:
        The folder, and the size in pixels that the images are resized to; None without ``@SIZE``.

    Raises:
        DataError: There is no such folder, or the size is out of range.
    """
    sized = re.fullmatch(r"(.+)@(\d{1,9})", name)
    for path, side in ((name, None), *([(sized[1], int(sized[2]))] if sized else [])):
        for folder in (Path(os.path.expanduser(path)), data_root(data_dir) / path):
            if path and os.path.isdir(folder):
                if side is not None and side not in _ALLOWED_SIDES:
                    allowed = f"{_ALLOWED_SIDES[0]}..{_ALLOWED_SIDES[-1]}"
                    raise DataError(f"{name}: a size must be in {allowed} pixels, found {side}")
                return folder.resolve(), side
    if sized and sized[1] in NAMES:
        raise DataError(f"{name}: only folders of images are resized; {sized[1]} has one size")
    raise DataError(
        f"unknown data set {name!r}: no folder of that name, here or in {data_root(data_dir)}; known: "
        f"{', '.join(known_names())}, or a folder with one subfolder of images for each class"
        f"{unknown_hint('data', name, known_names())}"
    )


@dataclass(frozen=True)
class Entry:
    """One data set in the list.

    Attributes:
        name: Its name.
        state: ``embedded``, ``extension``, ``found``, ``missing`` or ``damaged``.
        where: Folder or archive, if it is found.
        layout: Layout of its files, if it is found.
        shape: Shape of an image, (C, H, W).
        classes: Number of classes.
        images: Split -> number of images; empty for a folder. A public data set has no validation split.
        download_bytes: Bytes that ``explorer data fetch`` downloads.
        problem: Why it is damaged.
    """

    name: str
    state: str
    where: Path | None
    layout: str
    shape: TensorShape
    classes: int
    images: dict[str, int]
    download_bytes: int
    problem: str = ""


def list_data(data_dir: str | Path | None = None) -> list[Entry]:
    """Return all data sets: the embedded ones, the public ones and the folders of images in the data folder.

    Args:
        data_dir: Folder of the data sets, as for ``load_data``.
    """
    return [*_embedded(), *(_known(name, data_dir) for name in KNOWN), *_folders(data_root(data_dir))]


def _embedded() -> list[Entry]:
    entries = []
    for name in (*EMBEDDED, *names("data")):
        if (found := embedded(name)) is not None:
            state = "embedded" if name in EMBEDDED else "extension"
            entries.append(Entry(name, state, None, "", found.shape, found.classes, dict(found.images), 0))
    return entries


def _known(name: str, data_dir: str | Path | None) -> Entry:
    known = KNOWN[name]
    state, where, layout, problem = "missing", None, "", ""
    try:
        source = locate(name, data_dir)
        if source is not None:
            state, where, layout = "found", source.where, source.layout
    except DataError as error:
        state, problem = "damaged", str(error)
    images = dict(zip(("train", "test"), known.images, strict=True))
    size = sum(download.bytes for download in known.downloads)
    return Entry(name, state, where, layout, known.shape, known.classes, images, size, problem)


def _folders(root: Path) -> list[Entry]:
    """Return the folders in ``root`` that hold class folders of images and are not public data sets."""
    try:
        inside = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    found = []
    for name in inside:
        if any(is_named(root / name, known) for known in KNOWN.values()):
            continue
        try:
            shape, classes = describe_data(name, root)
        except DataError:  # not a folder of images
            continue
        found.append(Entry(name, "found", root / name, "class folders", shape, classes, {}, 0))
    return found
