"""Archives as they are downloaded: single members are read from them, nothing is unpacked on the disk."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from explorer.errors import DataError, one_line

MAX_MEMBER_BYTES = 2**30


def read_members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """The archive's files of these names, in whatever folder they lie there; those it lacks are left out.

    Raises DataError when it is damaged, or when a file claims more than MAX_MEMBER_BYTES.
    """
    found: dict[str, bytes] = {}
    try:
        for name, size, file in _members(archive):
            if name not in names or name in found:
                continue
            if size > MAX_MEMBER_BYTES:
                raise DataError(f"{archive}: {name} has {size:,} bytes, at most {MAX_MEMBER_BYTES:,} are read")
            found[name] = file.read()
            if len(found) == len(names):
                break
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{archive}: damaged or cut short: {one_line(error)}") from error
    return found


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name without folders, size and content of each plain file in the archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as file:
                        yield info.filename.rpartition("/")[2], info.file_size, file
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            file = tarred.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name.rpartition("/")[2], member.size, file
