"""Finding the files of a data set, and their layout."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from explorer.data.splits import Split
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape
from explorer.system.user_folders import user_data

# Subfolders that the Hugging Face hub and torchvision create.
SUBFOLDERS = ("plaintext", "data", "raw")
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
MAX_DEPTH = 3  # levels below the data folder, as in DIR/mnist/MNIST/raw


class Download(NamedTuple):
    """A file to download.

    Attributes:
        url: Its address.
        sha256: Its published SHA-256.
        bytes: Its size.
    """

    url: str
    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


class PublicDataset(NamedTuple):
    """A public data set.

    Attributes:
        name: Its name.
        shape: Shape of an image, (C, H, W).
        classes: Number of classes.
        images: Number of training images and of test images.
        folders: Common names of its folder other than ``name``, as ``normalise_name`` returns them.
        label_columns: Possible names of the label's column in a parquet file.
        shift: Greatest shift in pixels in augmentation.
        flip: Whether augmentation may flip images left to right.
        downloads: The files that ``explorer data fetch`` downloads.
    """

    name: str
    shape: TensorShape
    classes: int
    images: tuple[int, int]
    folders: tuple[str, ...]
    label_columns: tuple[str, ...]
    shift: int
    flip: bool
    downloads: tuple[Download, ...]


class Source(NamedTuple):
    """The files of a data set in one layout.

    Attributes:
        where: Their folder or archive.
        layout: Name of the layout.
        splits: Split -> function that reads it, for the splits that the files have.
        class_names: Names of the classes in the order of the labels; empty if the files do not hold them.
    """

    where: Path
    layout: str
    splits: Mapping[str, Callable[[], Split]]
    class_names: tuple[str, ...] = ()


# Returns the source if the layout's files are in the folder, else None.
Layout = Callable[[Path, PublicDataset], Source | None]


def data_root(data_dir: str | Path | None) -> Path:
    """Return the data folder: ``data_dir``, the environment variable EXPLORER_DATA, or the user's data folder."""
    named = data_dir or os.environ.get("EXPLORER_DATA")
    return Path(os.path.expanduser(named)) if named else user_data("data")


def find_source(known: PublicDataset, root: Path, layouts: tuple[Layout, ...]) -> Source | None:
    """Find a data set's files by their names.

    Args:
        known: The data set.
        root: The data folder; it and the data set's folders below it are searched.
        layouts: The possible layouts, in order of preference within a folder.

    Returns:
        The files; None if there are none.
    """
    for folder in _candidates(known, root, MAX_DEPTH):
        for layout in layouts:
            source = layout(folder, known)
            if source is not None:
                return source
    return None


def not_found_error(known: PublicDataset, root: Path) -> DataError:
    """Return the error for a missing public data set, which says where it was searched and how to get it."""
    searched = f"searched it and its folders {known.name}, {', '.join(known.folders)}, in any spelling"
    state = searched if root.is_dir() else "it is a file, not a folder" if root.exists() else "there is no such folder"
    size = sum(download.bytes for download in known.downloads) / 1e6
    return DataError(
        f"{known.name} not found in {root} ({state}): 'explorer data fetch {known.name}' downloads it ({size:.0f} MB, "
        f"{known.downloads[0].url}), or name the folder that holds it with --data-dir or EXPLORER_DATA"
    )


def _candidates(known: PublicDataset, folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders that may hold the data set, subfolders before their parents."""
    try:
        inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return
    if depth:
        own = [name for name in inside if is_named(folder / name, known)]
        for name in own + [name for name in inside if normalise_name(name) in SUBFOLDERS]:
            yield from _candidates(known, folder / name, depth - 1)
    yield folder


def is_named(path: Path, known: PublicDataset) -> bool:
    """Return whether a folder or archive has one of the data set's common names."""
    name = path.name.lower()
    ending = next((suffix for suffix in ARCHIVES if name.endswith(suffix)), "")
    return normalise_name(name.removesuffix(ending)) in (normalise_name(known.name), *known.folders)


def normalise_name(name: str) -> str:
    """Return a folder's name in lower case without punctuation: CIFAR-10 and cifar_10 both become cifar10."""
    return re.sub(r"[\W_]+", "", name).lower()


def check_labels(labels: np.ndarray, classes: int, place: Callable[[int], str]) -> None:
    """Raise DataError if a label is out of range.

    Args:
        labels: The labels, (N,).
        classes: Number of classes; labels are 0..classes-1.
        place: Returns the file and position of an index, for the message.
    """
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        found = labels[outside[0]]
        raise DataError(
            f"{place(outside[0])}: found the label {found}, expected 0..{classes - 1}; is it another data set?"
        )
