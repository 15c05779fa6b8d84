"""Copy and move the files of a study between places: folders and object stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store.artifacts import curve_content, curve_file, weights_file
from explorer.store.remote.files import Files

_ENDED = ("complete", "stopped", "failed")  # states of trials whose results do not change
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


def write_curves(records: Iterable[TrialRecord], files: Files) -> None:
    """Write the files of training curves that are missing, from the results in the database.

    Args:
        records: The trials of the study, with their results.
        files: Its files.

    Raises:
        StoreError: A file cannot be written.
    """
    present = files.names()
    for record in records:
        name = curve_file(Path(), record.number).name
        if record.result is None or record.same_as is not None or record.state not in _ENDED or name in present:
            continue
        try:
            files.write(name, curve_content(record.number, record.digest, record.seed, record.state, record.result))
        except OSError as error:
            raise StoreError(f"{files.shown}/{name}: it cannot be written: {error.strerror}") from error


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
