"""A cache of decoded images: one folder of .npy files for each split of a data set.

The cache is the folder ``explorer/data`` in the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux). It may be
deleted at any time. An entry is written to a temporary folder and then renamed, so that workers which decode the same
data at the same time never read a partial entry.
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

MANIFEST = "split.json"  # all but the arrays; written last: an entry without it is incomplete
FORMAT = 3  # part of the key: increase it when decoding returns different results
STALE_SECONDS = 3600  # temporary folders older than this are left by killed processes and are deleted


def cached(name: str, sources: Iterable[Path], decode: Callable[[], Split]) -> Split:
    """Return the decoded split from the cache, or decode it and add it to the cache.

    The key of an entry consists of path, size and modification time of all sources. A damaged entry is decoded again;
    only the length of each array is checked, not its content. If the cache cannot be written (full, read-only), the
    decoded split is returned.

    Args:
        name: Name of the entry.
        sources: The files that the split is decoded from.
        decode: Decodes the split.

    Returns:
        The split; its images are memory-mapped (read-only) if they come from the cache.

    Raises:
        DataError: A source cannot be read, or ``decode`` raises it.
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
    """Return the folder of the cache."""
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
    manifest = json.loads((entry / MANIFEST).read_text())
    images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(entry / "labels.npy", allow_pickle=False)
    return Split(images, labels, tuple(manifest["notes"]), manifest["grey_bits"], manifest["damaged"])


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
        _read(temporary)  # numpy reports no error if the disk is full at the last bytes of an array
        _replace(temporary, entry)
        sync_folder(entry.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(temporary: Path, entry: Path) -> None:
    try:
        os.rename(temporary, entry)
    except OSError:
        # Either another worker has written the same entry first, or there is a damaged entry.
        try:
            _read(entry)
        except (OSError, ValueError, EOFError, KeyError):
            shutil.rmtree(entry)
            os.rename(temporary, entry)


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
