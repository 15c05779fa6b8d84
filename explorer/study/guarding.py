"""A loop under the hand of whoever presses Ctrl-C, and its work under leases that are kept while it lasts."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from explorer.store.lease import renew_seconds
from explorer.store.study import Study
from explorer.study.children import Workplace

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """The writing side of ``study``, for one worker that holds leases."""

    @property
    def study(self) -> Study: ...

    def renew(self) -> None: ...


class Loop(Protocol):
    """Has work done, and looks at ``interrupted`` in between."""

    interrupted: bool

    @property
    def workplace(self) -> Workplace: ...

    @property
    def writer(self) -> Writer: ...


@contextmanager
def interruptions(loop: Loop) -> Iterator[None]:
    """The first Ctrl-C, or a request to terminate, ends the loop in order; the second is as rude as ever.

    Where this very process computes, in the caller's ``evaluate``, it breaks in there.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's alone
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def interrupt(number, frame) -> None:
        loop.interrupted = True
        loop.writer.study.database.hurry.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        if loop.workplace.busy:
            raise KeyboardInterrupt

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
