"""Standard output and error as a command needs them: a write that fails never stops the work.

The first failed write to a stream is remembered, and the rest of its output is dropped. At the end of the command,
``main`` reports output that could not be written. A descriptor that the caller closed is opened on the null device, so
that no other file takes its number. Characters that the encoding lacks are written as escapes.
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

from explorer.store.passwords import hide_passwords
from explorer.system.plain_text import printable


class _Lasting(io.RawIOBase):
    """A descriptor to write to. ``error``: the first failure, after which everything written is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data) -> int:
        while self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another process that shares the terminal made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return len(data)


def lasting_streams() -> _Lasting:
    """Makes standard output and error last for the rest of the process, unless they were replaced; returns the output.

    ``error`` of what is returned is None where all that was flushed could be written.
    """
    _open_closed_descriptors()
    output, errors = _Lasting(1), _Lasting(2)
    for name, raw in (("stdout", output), ("stderr", errors)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # None for both where the descriptor was closed
            lasting = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=stream.encoding if stream else "utf-8",
                errors="backslashreplace",
                line_buffering=raw is errors or raw.isatty(),
            )
            setattr(sys, name, lasting)
    return output


def _open_closed_descriptors() -> None:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
            os.set_inheritable(descriptor, True)


def reader_left(error: OSError) -> bool:
    """Whether a write failed because nobody reads the pipe any more."""
    return error.errno == errno.EPIPE


def tell(text: str) -> None:
    """Writes a message to standard error, without passwords and control characters."""
    print(printable(hide_passwords(text)), file=sys.stderr, flush=True)


class _Lines(logging.Handler):
    """Each warning as one line on standard error, above a live display where one is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1] or type(record.exc_info[1]).__name__}"
        tell(" ".join(text.split()))


@contextmanager
def log_as_lines() -> Iterator[None]:
    """Shows what is logged from WARNING on, as one line each on standard error."""
    handler, root = _Lines(logging.WARNING), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
