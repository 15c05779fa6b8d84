"""Archives as they are downloaded: single members are read from them, nothing is unpacked on the disk.

Sizes are checked before anything of that size is read, so that an archive which unpacks to far more than it should is
refused within a few megabytes of memory.
"""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from explorer.data.reading import escaped_name
from explorer.errors import DataError, one_line

CHUNK_BYTES = 2**20
MAX_READ_BYTES = 2**22  # bytes that tarfile may ask for at once: more is a header that claims to be large
_DAMAGE_ERRORS = (
    OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError,
)  # fmt: skip


def read_members(archive: Path, names: Collection[str], at_most: int) -> dict[str, bytes]:
    """The archive's files of these names, in whatever folder they lie there; those it lacks are left out.

    ``at_most``: bytes of all the archive's files together. Raises DataError when they have more, or when the archive is
    damaged. Links are not followed.
    """
    found: dict[str, bytes] = {}
    total = 0
    try:
        for name, size, file in _members(archive):
            total += size
            if total > at_most:
                raise DataError(
                    f"{escaped_name(archive)}: unpacks to {total:,} bytes or more, up to {escaped_name(name)}, "
                    f"expected at most {at_most:,}; is it another archive?"
                )
            if name not in names or name in found:
                continue
            found[name] = b"".join(iter(partial(file.read, CHUNK_BYTES), b""))
            if len(found) == len(names):
                break
    except _DAMAGE_ERRORS as error:
        raise DataError(f"{escaped_name(archive)}: damaged or cut short: {one_line(error)}") from error
    return found


def gunzip(path: Path, data: bytes, at_most: int) -> bytes:
    """The content of gzip ``data``. Raises DataError, with the ``path``, for more than ``at_most`` bytes or damage."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(at_most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{escaped_name(path)}: damaged or cut short: {one_line(error)}") from error
    if len(content) > at_most:
        raise DataError(f"{escaped_name(path)}: unpacks to more than {at_most:,} bytes; is it another file?")
    return content


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name without folders, size and content of each plain file in the archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as file:
                        yield info.filename.rpartition("/")[2], info.file_size, file
        return
    with open(archive, "rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with (
            gzip.GzipFile(fileobj=raw) if is_gzip else raw as content,
            tarfile.open(fileobj=_BoundedReader(content)) as tarred,  # type: ignore[call-overload]  # it only reads and seeks
        ):
            for member in tarred:
                content_file = tarred.extractfile(member) if member.isreg() and not member.issparse() else None
                if content_file is not None:
                    yield member.name.rpartition("/")[2], member.size, content_file


class _BoundedReader:
    """A file of which no more than MAX_READ bytes are read at once: tarfile reads a header as a whole."""

    def __init__(self, file: io.BufferedIOBase):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > MAX_READ_BYTES:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._file.read(size)
