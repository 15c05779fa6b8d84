"""Copy and move the files of a study between places: folders and object stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from explorer.errors import StoreError
from explorer.store.artifacts import weights_file
from explorer.store.remote.files import Files

COPIED = (".safetensors", ".checkpoint", ".json")  # suffixes of the files of a study that other studies can use


def copy_files(source: Files, target: Files, digests: Iterable[str] | None = None) -> None:
    """Copy weights, checkpoints and curves.

    Args:
        source: The files.
        target: The place of the copies.
        digests: Only the weights of these networks; all files by default.

    Raises:
        StoreError: A file cannot be copied.
    """
    if digests is None:
        names = [name for name in source.names() if name.endswith(COPIED)]
    else:
        names = [weights_file(Path(), digest).name for digest in digests]
    for name in names:
        try:
            content = source.read(name)
            if content is not None:  # else the search removed it meanwhile
                target.write(name, content)
        except OSError as error:
            raise StoreError(
                f"{source.shown}/{name}: it cannot be copied to {target.shown}: {error.strerror}"
            ) from error


def move_folder(before: Path, after: Path) -> None:
    """Move a folder if it exists, also to another disk, unless there is one at its new place. Raises StoreError."""
    if before != after and before.exists() and not after.exists():
        try:
            after.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(before, after)
        except OSError as error:
            raise StoreError(f"the folder {before} cannot be moved to {after}: {error.strerror}") from error


def remove_files(files: Files, study: str) -> int:
    """Remove all files of a study that was deleted; return their bytes.

    Raises:
        StoreError: A file cannot be removed.
    """
    size = bytes_of(files)
    try:
        files.remove_all()
    except OSError as error:
        raise StoreError(
            f"study {study!r} is deleted, but its files in {files.shown} are not: {error.strerror}; remove the folder"
        ) from error
    return size


def bytes_of(files: Files) -> int:
    """Return the bytes of the files; 0 if there are none."""
    return sum(files.names().values())
