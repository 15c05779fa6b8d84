"""Renew the leases and the row of a process while its loop runs, and obey signals and requests to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from sqlalchemy import Connection

from explorer.errors import ExplorerError, StoreError
from explorer.store.database import StudyIdentity
from explorer.store.lease import renew_seconds
from explorer.store.presence.processes import Presence, Process, Role, Task
from explorer.store.presence.stops import StopRequest
from explorer.study.signals import interrupt_on_signals
from explorer.system.cores import usable_cores
from explorer.system.environment import device_name

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """Writes to a study for one worker that holds leases."""

    @property
    def study(self) -> StudyIdentity: ...

    @property
    def worker(self) -> str: ...

    def renew(self, also: Callable[[Connection], None]) -> None: ...


class Attended(Protocol):
    """A loop that checks ``interrupted`` and ``stop`` between its steps.

    Attributes:
        interrupted: Whether the loop has to end.
        signal: Number of the signal that interrupted it, or 0.
        stop: The request to stop that it obeys, or None: it starts nothing more.
        slots: The trainings that it can run in parallel.
        tasks: Its trainings on other machines.
        busy: Whether this process is computing, so that it cannot check soon.
    """

    interrupted: bool
    signal: int
    stop: StopRequest | None
    slots: int
    tasks: Sequence[Task]

    @property
    def busy(self) -> bool: ...

    @property
    def writer(self) -> Writer: ...


@contextmanager
def attend(
    loop: Attended, role: Role, *, device: str, engine: str = "local", target: int | None = None
) -> Iterator[None]:
    """Handle signals, renew the leases of the loop, show it in the study, and obey requests to stop while it runs.

    A study in memory has no other process, so only signals are handled.

    Args:
        loop: The loop.
        role: What this process does.
        device: The device of its trainings.
        engine: Where they run.
        target: The number of complete and stopped trials at which it ends, or None.
    """
    with interrupt_on_signals(loop):
        if loop.writer.study.database.in_memory:
            yield
            return
        shown = _shown(device) if engine == "local" else device
        process = Process(loop.writer.worker, role.command, engine, shown, usable_cores(), loop.slots, target=target)
        with _renewing(loop, Presence(loop.writer.study, process, role)):
            yield


def _shown(device: str) -> str:
    """Return a device with its name, if that is known."""
    if device == "cpu":
        return device
    try:
        return f"{device} {device_name(device)}"
    except (ExplorerError, ImportError, RuntimeError):
        return device


@contextmanager
def _renewing(loop: Attended, presence: Presence) -> Iterator[None]:
    """Renew the leases and the row from a thread, since ``evaluate`` may keep the main thread busy."""
    over = threading.Event()
    try:
        presence.join()
        _obey(loop, presence)
    except StoreError as error:  # a later renewal writes the row; the loop's own writes report a lost store
        _log.warning("this process is not shown in the study yet: %s", error)

    def renew() -> None:
        while not over.wait(renew_seconds()):
            presence.show(loop.slots, loop.tasks)
            try:
                loop.writer.renew(presence.beat)
            except Exception as error:  # the next round tries again
                _log.warning("the leases could not be renewed: %s", error)
            else:
                _obey(loop, presence)

    thread = threading.Thread(target=renew, name="leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(StoreError):  # its row is removed after a time
            presence.leave()


def _obey(loop: Attended, presence: Presence) -> None:
    """Make the loop obey the request to stop of ``presence``, if there is a new one."""
    request = presence.stop
    if request is None or request == loop.stop:
        return
    loop.stop = request
    if not request.at_once:
        return
    loop.writer.study.database.stop_retrying.set()
    loop.interrupted = True
    main = threading.main_thread().ident
    if loop.busy and main is not None and signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN):
        loop.signal = signal.SIGTERM
        signal.pthread_kill(main, signal.SIGTERM)  # its handler raises in the function that keeps the loop busy
