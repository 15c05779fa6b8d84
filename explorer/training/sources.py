"""Where a data set lies: the folders that are looked in, and the layout found there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape

# Below the folder that a user names: as the Hugging Face hub and torchvision lay their files. The hub
# also has folders of the data set's own name.
SUBFOLDERS = ("", "plain_text", "data", "raw")


class Known(NamedTuple):
    """A public data set. ``folders``: what its folder is commonly called; ``label_columns``: its label
    in a parquet file; ``shift``, ``flip``: see ``Dataset``; ``fetch``: how to get it, for a message."""

    name: str
    shape: TensorShape
    classes: int
    folders: tuple[str, ...]
    label_columns: tuple[str, ...]
    shift: int
    flip: bool
    fetch: str


class Source(NamedTuple):
    """Files of one layout, and the function that decodes them: ``train_images`` uint8 (N, C, H, W),
    ``train_labels`` int64 (N,), and the same for ``test`` and, where it is kept apart, ``validation``."""

    files: tuple[Path, ...]
    decode: Callable[[], Mapping[str, np.ndarray]]


# A layout answers with its source when its files are in the folder, with None when they are not.
Layout = Callable[[Path, Known], Source | None]


def data_root(data_dir: str | Path | None) -> Path | None:
    """The folder to look in: ``data_dir``, or the environment's EXPLORER_DATA, or None."""
    named = data_dir or os.environ.get("EXPLORER_DATA")
    return Path(named).expanduser() if named else None


def find_source(known: Known, root: Path | None, layouts: tuple[Layout, ...]) -> Source:
    """The data set's files in ``root`` or in its own folder there. Raises DataError when there are none."""
    mend = f"{known.fetch}; then name its folder, or the folder above it, with --data-dir or EXPLORER_DATA"
    if root is None:
        raise DataError(f"{known.name}: no folder to look in: {mend}")
    for folder in _candidates(known, root):
        for layout in layouts:
            source = layout(folder, known)
            if source is not None:
                return source
    state = "looked there and in its folders" if root.is_dir() else "there is no such folder; looked also for"
    raise DataError(f"{known.name} not found in {root} ({state} {', '.join(known.folders)}): {mend}")


def _candidates(known: Known, root: Path) -> Iterator[Path]:
    for base in (*(root / name for name in known.folders), root):
        for sub in (*SUBFOLDERS, known.name):
            if (base / sub).is_dir():
                yield base / sub
