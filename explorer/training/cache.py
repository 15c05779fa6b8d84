"""Decoded images, kept so that a data set is decoded once: one folder of .npy files for each source.

The folder is ``$XDG_CACHE_HOME/explorer/data`` (``~/.cache/explorer/data``). It may be deleted at any
time. Entries are written aside and renamed whole, so that workers which decode the same data at the
same time cannot see half of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

MANIFEST = "arrays.json"  # the names of an entry's arrays, so that a missing one is noticed
FORMAT = 1  # part of the key: to be raised when decoders come to return something else
STALE_SECONDS = 3600


def cached(name: str, sources: Iterable[Path], decode: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that ``decode()`` gives, memory-mapped (read only) from the cache when they are there.

    The entry's key is made of path, size and time of last change of each of the ``sources``. Where the
    cache cannot be written (full, read only) the decoded arrays are returned as they are. A damaged
    entry is decoded anew; what is checked is that each array is whole, not its every byte.
    """
    entry = cache_folder() / f"{name}-{_key(sources)}"
    try:
        return _read(entry)
    except (OSError, ValueError, EOFError):
        pass
    arrays = dict(decode())
    try:
        _write(entry, arrays)
        return _read(entry)
    except (OSError, ValueError, EOFError):
        return arrays


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "explorer" / "data"


def _key(sources: Iterable[Path]) -> str:
    digest = hashlib.sha256(str(FORMAT).encode())
    for path in sorted(sources):
        stat = path.stat()
        digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _read(entry: Path) -> dict[str, np.ndarray]:
    names = json.loads((entry / MANIFEST).read_text())
    return {name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}


def _write(entry: Path, arrays: Mapping[str, np.ndarray]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    _sweep(entry.parent)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=entry.parent))
    try:
        for name, array in arrays.items():
            with open(aside / f"{name}.npy", "wb") as file:
                np.save(file, array, allow_pickle=False)
                _sync(file)
        with open(aside / MANIFEST, "w") as file:
            json.dump(list(arrays), file)
            _sync(file)
        _sync_folder(aside)
        _replace(aside, entry)
        _sync_folder(entry.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replace(aside: Path, entry: Path) -> None:
    try:
        os.rename(aside, entry)
    except OSError:
        # Either another worker was first, whose entry is as good, or a damaged entry is in the way.
        try:
            _read(entry)
        except (OSError, ValueError, EOFError):
            shutil.rmtree(entry)
            os.rename(aside, entry)


def _sync(file: IO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what writers that were killed left behind."""
    for left in folder.glob(".writing-*"):
        try:
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:  # another worker swept it
            pass
