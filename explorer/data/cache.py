"""Decoded images, kept so that they are decoded once: one folder of .npy files for each split of a data set.

The folder is ``explorer/data`` in the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux), never the
data set's own. It may be deleted at any time. Entries are written aside and renamed whole, so that
workers which decode the same data at the same time cannot see half of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from explorer.data.splits import Split
from explorer.errors import DataError
from explorer.system.files import slug, sweep, sync_folder
from explorer.system.user_folders import user_cache

MANIFEST = "split.json"  # all but the arrays; written last, so that an entry without it is half an entry
FORMAT = 3  # part of the key: to be raised when decoders come to return something else
STALE_SECONDS = 3600


def cached(name: str, sources: Iterable[Path], decode: Callable[[], Split]) -> Split:
    """What ``decode()`` gives, its images memory-mapped (read only) from the cache when they are there.

    The entry's key is made of path, size and time of last change of each of the ``sources``. Where the
    cache cannot be written (full, read only) the decoded images are returned as they are. A damaged
    entry is decoded anew; what is checked is that each array is whole, not its every byte. Raises
    DataError when a source is not there.
    """
    entry = cache_folder() / f"{slug(name)}-{_key(sources)}"
    try:
        return _read(entry)
    except (OSError, ValueError, EOFError, KeyError):
        pass
    split = decode()
    try:
        _write(entry, split)
        return _read(entry)
    except (OSError, ValueError, EOFError, KeyError):
        return split


def cache_folder() -> Path:
    return user_cache("data")


def _key(sources: Iterable[Path]) -> str:
    digest = hashlib.sha256(str(FORMAT).encode())
    for path in sorted(sources):
        try:
            stat = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        digest.update(os.fsencode(path.resolve()) + f"\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _read(entry: Path) -> Split:
    told = json.loads((entry / MANIFEST).read_text())
    images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(entry / "labels.npy", allow_pickle=False)
    return Split(images, labels, tuple(told["notes"]), told["grey_bits"], told["damaged"])


def _write(entry: Path, split: Split) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    sweep(entry.parent, older_than=time.time() - STALE_SECONDS)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=entry.parent))
    try:
        for name, array in (("images", split.images), ("labels", split.labels)):
            with open(temporary / f"{name}.npy", "wb") as file:
                np.save(file, array, allow_pickle=False)
                _sync(file)
        with open(temporary / MANIFEST, "w") as file:
            json.dump({"notes": split.notes, "grey_bits": split.grey_bits, "damaged": split.damaged}, file)
            _sync(file)
        sync_folder(temporary)
        _read(temporary)  # numpy does not notice a disk that fills up at the last bytes of an array
        _replace(temporary, entry)
        sync_folder(entry.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(temporary: Path, entry: Path) -> None:
    try:
        os.rename(temporary, entry)
    except OSError:
        # Either another worker was first, whose entry is as good, or a damaged entry is in the way.
        try:
            _read(entry)
        except (OSError, ValueError, EOFError, KeyError):
            shutil.rmtree(entry)
            os.rename(temporary, entry)


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
