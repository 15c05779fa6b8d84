"""Where a data set lies: the folders that are looked in, and the layout found there."""

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

# Below the folder that a user names: as the Hugging Face hub and torchvision lay their files.
SUBFOLDERS = ("plaintext", "data", "raw")
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
MAX_DEPTH = 3  # DIR/mnist/MNIST/raw


class Download(NamedTuple):
    """A file to fetch, with the SHA-256 and the size in bytes that it has been published with."""

    url: str
    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


class PublicDataset(NamedTuple):
    """A public data set. ``images``: how many of them are for training and for test; ``folders``: what its
    folder is commonly called, besides its name, in small letters without signs; ``label_columns``: its label in a
    parquet file; ``shift``, ``flip``: see ``Dataset``; ``downloads``: what ``explorer data fetch`` gets."""

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
    """Files of one layout. ``where``: their folder or archive; ``layout``: in a word; ``splits``: each split
    that is kept apart there, with the function that reads it; ``class_names``: in the order of the labels, where the
    files say them."""

    where: Path
    layout: str
    splits: Mapping[str, Callable[[], Split]]
    class_names: tuple[str, ...] = ()


# A layout answers with its source when its files are in the folder, with None when they are not.
Layout = Callable[[Path, PublicDataset], Source | None]


def data_root(data_dir: str | Path | None) -> Path:
    """The folder to look in: ``data_dir``, or the environment's EXPLORER_DATA, or the user's own for the explorer."""
    named = data_dir or os.environ.get("EXPLORER_DATA")
    return Path(os.path.expanduser(named)) if named else user_data("data")


def find_source(known: PublicDataset, root: Path, layouts: tuple[Layout, ...]) -> Source | None:
    """The data set's files in ``root`` or in one of its own folders there, or None. Only names are looked at."""
    for folder in _candidates(known, root, MAX_DEPTH):
        for layout in layouts:
            source = layout(folder, known)
            if source is not None:
                return source
    return None


def not_found_error(known: PublicDataset, root: Path) -> DataError:
    """The error for a known data set that is not there: where it was looked for, and how to get it."""
    looked = f"looked in it and in its folders {known.name}, {', '.join(known.folders)}, however they are spelt"
    state = looked if root.is_dir() else "it is a file, no folder" if root.exists() else "there is no such folder"
    size = sum(download.bytes for download in known.downloads) / 1e6
    return DataError(
        f"{known.name} not found in {root} ({state}): 'explorer data fetch {known.name}' downloads it ({size:.0f} MB, "
        f"{known.downloads[0].url}), or name the folder that holds it with --data-dir or EXPLORER_DATA"
    )


def _candidates(known: PublicDataset, folder: Path, depth: int) -> Iterator[Path]:
    """The folder's subfolders that may hold the data set, each before the folder it lies in."""
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
    """Whether a folder or archive is called as the data set commonly is."""
    name = path.name.lower()
    ending = next((suffix for suffix in ARCHIVES if name.endswith(suffix)), "")
    return normalise_name(name.removesuffix(ending)) in (normalise_name(known.name), *known.folders)


def normalise_name(name: str) -> str:
    """A folder's name in small letters without signs: CIFAR-10 and cifar_10 are both cifar10."""
    return re.sub(r"[\W_]+", "", name).lower()


def check_labels(labels: np.ndarray, classes: int, place: Callable[[int], str]) -> None:
    """Raises DataError for a label outside 0..classes-1. ``place``: an index in words, file included."""
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        found = labels[outside[0]]
        raise DataError(
            f"{place(outside[0])}: found the label {found}, expected 0..{classes - 1}; is it another data set?"
        )
