"""Reading of files up to a maximum size; errors name the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from explorer.errors import DataError

T = TypeVar("T")

MAX_FILE_BYTES = 2**28  # of one file; the largest file of a public data set is CIFAR-100's, with 155 MB


def escaped_name(path: Path | str) -> str:
    """Return a file's name for a message, with escapes for control characters and for bytes that are not UTF-8."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(path))


def read_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return a file's bytes. Raises DataError if it cannot be read or has more than ``max_bytes`` bytes."""
    try:
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > max_bytes:
                raise DataError(
                    f"{escaped_name(path)}: {size:,} bytes, expected at most {max_bytes:,}; is it another file?"
                )
            return file.read()
    except OSError as error:
        raise DataError(f"{escaped_name(path)}: cannot be read: {error.strerror}") from error


def read_file(path: Path, read: Callable[[bytes], T]) -> T:
    """Return ``read`` of the file's bytes; add the file's name to its DataErrors."""
    data = read_bytes(path)
    try:
        return read(data)
    except DataError as error:
        raise DataError(f"{escaped_name(path)}: {error}") from error
