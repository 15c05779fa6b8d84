"""Reading of single files from downloaded archives, without unpacking them on the disk.

Sizes are checked before data of that size are read. An archive that unpacks to far more than expected is therefore
rejected after a few megabytes of memory.
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

CHUNK_BYTES = 2**20  # that are decompressed at once
MAX_READ_BYTES = 2**22  # that tarfile may read at once: it reads only headers at once, and real ones are small
_DAMAGE_ERRORS = (
    OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError,
)  # fmt: skip


def read_members(archive: Path, names: Collection[str], max_bytes: int) -> dict[str, bytes]:
    """Read files from an archive by their names. Links are not followed.

    Args:
        archive: A .zip or .tar file, which may be compressed.
        names: Names of the files, without folders.
        max_bytes: Greatest size of all files of the archive together, in bytes.

    Returns:
        Name -> content, for the files that the archive holds.

    Raises:
        DataError: The archive is damaged, or its files are larger than ``max_bytes``.
    """
    found: dict[str, bytes] = {}
    total = 0
    try:
        for name, size, file in _members(archive):
            total += size
            if total > max_bytes:
                raise DataError(
                    f"{escaped_name(archive)}: unpacks to {total:,} bytes or more, up to {escaped_name(name)}, "
                    f"expected at most {max_bytes:,}; is it another archive?"
                )
            if name not in names or name in found:
                continue
            found[name] = b"".join(iter(partial(file.read, CHUNK_BYTES), b""))
            if len(found) == len(names):
                break
    except _DAMAGE_ERRORS as error:
        raise DataError(f"{escaped_name(archive)}: damaged or cut short: {one_line(error)}") from error
    return found


def gunzip(path: Path, data: bytes, max_bytes: int) -> bytes:
    """Decompress gzip data.

    Args:
        path: The file, for messages.
        data: Its bytes.
        max_bytes: Greatest size of the content in bytes.

    Raises:
        DataError: The data are damaged, or the content is larger than ``max_bytes``.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{escaped_name(path)}: damaged or cut short: {one_line(error)}") from error
    if len(content) > max_bytes:
        raise DataError(f"{escaped_name(path)}: unpacks to more than {max_bytes:,} bytes; is it another file?")
    return content


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name (without folders), size and content of each regular file in the archive."""
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
    """A file that refuses to read more than MAX_READ_BYTES at once, because tarfile reads a header at once."""

    def __init__(self, file: io.BufferedIOBase):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > MAX_READ_BYTES:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._file.read(size)
