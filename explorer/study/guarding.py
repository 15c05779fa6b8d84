"""Signals that end a loop in order, and the leases that are kept while it lasts."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from explorer.store.lease import renew_seconds
from explorer.store.study import Study
from explorer.system.signals import ending_signals, raise_interrupted

REPEAT_SECONDS = 1.0  # in which a signal that comes again is the same request: "timeout" sends it twice
_log = logging.getLogger(__name__)


class Writer(Protocol):
    """The writing side of ``study``, for one worker that holds leases."""

    @property
    def study(self) -> Study: ...

    def renew(self) -> None: ...


class Loop(Protocol):
    """Has work done, and looks at ``interrupted`` in between. ``signal``: the number of what interrupted it, or 0;
    ``busy``: this very process computes now, so that it does not look soon."""

    interrupted: bool
    signal: int

    @property
    def busy(self) -> bool: ...

    @property
    def writer(self) -> Writer: ...


@contextmanager
def interruptions(loop: Loop) -> Iterator[None]:
    """The first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends the loop in order; another one, a second or more later, ends it
    at once.

    Where the loop is busy, as in the caller's ``evaluate``, the first breaks in there.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's alone
        yield
        return
    before = {number: signal.getsignal(number) for number in ending_signals()}
    began = 0.0

    def interrupt(number, frame) -> None:
        nonlocal began
        if loop.interrupted:
            if time.monotonic() > began + REPEAT_SECONDS:
                raise_interrupted(number)
            return
        began = time.monotonic()
        loop.interrupted, loop.signal = True, number
        loop.writer.study.database.hurry.set()
        if loop.busy:
            raise_interrupted(number)

    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def leases_kept(writer: Writer) -> Iterator[None]:
    """Renews this worker's leases from a thread, for ``evaluate`` may keep this one busy. A study in memory
    has no other worker that would ask for them."""
    if writer.study.database.in_memory:
        yield
        return
    over = threading.Event()

    def renew() -> None:
        while not over.wait(renew_seconds()):
            try:
                writer.renew()
            except Exception as error:  # the next round may do better; the loop's own writes will say so if not
                _log.warning("the leases could not be renewed: %s", error)

    thread = threading.Thread(target=renew, name="leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
