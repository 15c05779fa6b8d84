"""Handling of SIGINT, SIGTERM and SIGHUP during a loop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from explorer.store.database import StudyIdentity
from explorer.system.signals import ending_signals, raise_interrupted

REPEAT_SECONDS = 1.0  # a second signal within this time is the same request: "timeout" sends it twice


class Writer(Protocol):
    """Writes to a study."""

    @property
    def study(self) -> StudyIdentity: ...


class Loop(Protocol):
    """A loop that checks ``interrupted`` between its steps.

    Attributes:
        interrupted: Whether the loop has to end.
        signal: Number of the signal that interrupted it, or 0.
        busy: Whether this process is computing, so that it cannot check soon.
    """

    interrupted: bool
    signal: int

    @property
    def busy(self) -> bool: ...

    @property
    def writer(self) -> Writer: ...


@contextmanager
def interrupt_on_signals(loop: Loop) -> Iterator[None]:
    """Interrupt the loop at the first SIGINT (Ctrl-C), SIGTERM or SIGHUP.

    The loop ends normally; a second signal, ``REPEAT_SECONDS`` or more later, ends it at once. If the loop is busy, for
    example in the caller's ``evaluate``, the first signal raises there.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
        yield
        return
    before = {number: signal.getsignal(number) for number in ending_signals()}
    began = 0.0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal began
        if loop.interrupted:
            if time.monotonic() > began + REPEAT_SECONDS:
                raise_interrupted(number)
            return
        began = time.monotonic()
        loop.interrupted, loop.signal = True, number
        loop.writer.study.database.stop_retrying.set()
        if loop.busy:
            raise_interrupted(number)

    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
