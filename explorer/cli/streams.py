"""Standard output and standard error whose failed writes never stop a command.

After the first failed write to a stream, the rest of its output is dropped. At the end of the command, ``main`` reports
output that could not be written. A descriptor that the caller closed is opened on the null device, so that no other
file gets its number. Characters that the encoding lacks are written as escapes.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from explorer.store.passwords import hide_passwords
from explorer.system.plain_text import printable

if TYPE_CHECKING:  # typeshed declares it for every Python; collections.abc has it from 3.12
    from _typeshed import ReadableBuffer


class _FailSafeStream(io.RawIOBase):
    """A raw stream that writes to a descriptor and never raises.

    Attributes:
        error: The first failure, after which all output is dropped; None if all writes succeeded.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer) -> int:
        while self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another process made the shared terminal non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


def use_fail_safe_streams() -> _FailSafeStream:
    """Replace standard output and standard error by streams whose failed writes never raise.

    A stream that the caller has already replaced is kept.

    Returns:
        The raw stream of standard output; its ``error`` is None if all flushed output was written.
    """
    _open_closed_descriptors()
    output, errors = _FailSafeStream(1), _FailSafeStream(2)
    for name, raw in (("stdout", output), ("stderr", errors)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # both are None if the descriptor was closed
            wrapped = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=stream.encoding if stream else "utf-8",
                errors="backslashreplace",
                line_buffering=raw is errors or raw.isatty(),
            )
            setattr(sys, name, wrapped)
    return output


def _open_closed_descriptors() -> None:
    """Open descriptors 0, 1 and 2 on the null device if they are closed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
            os.set_inheritable(descriptor, True)


def is_broken_pipe(error: OSError) -> bool:
    """Return whether a write failed because the reader closed the pipe."""
    return error.errno == errno.EPIPE


def print_message(text: str) -> None:
    """Write a message to standard error, without passwords and control characters."""
    print(printable(hide_passwords(text)), file=sys.stderr, flush=True)


class _OneLineHandler(logging.Handler):
    """Writes each log record as one line on standard error, above a live display if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1] or type(record.exc_info[1]).__name__}"
        print_message(" ".join(text.split()))


@contextmanager
def log_as_lines() -> Iterator[None]:
    """Write log records of level WARNING and above to standard error, one line each."""
    handler, root = _OneLineHandler(logging.WARNING), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
