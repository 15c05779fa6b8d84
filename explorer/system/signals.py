"""Exceptions and handlers for the signals that end a process: SIGINT (Ctrl-C), SIGTERM (schedulers, containers) and
SIGHUP (a closed terminal)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNAL_SECONDS = 0.5  # in which a signal to a process group or container reaches all its processes
REPEAT_SECONDS = 0.05  # after which the finalizer that a signal interrupted has ended


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command cleanly. SIGHUP is not one where it is ignored, as under ``nohup``."""
    hung_up = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
    return signal.SIGINT, signal.SIGTERM, *hung_up


def end_in_order() -> None:
    """Make SIGTERM and SIGHUP raise Interrupted, as SIGINT raises KeyboardInterrupt.

    Does nothing outside the main thread, where Python sets no handlers. Without a handler SIGTERM ends a process at
    once, or has no effect on the first process of a container.
    """
    if threading.current_thread() is threading.main_thread():
        for number in set(ending_signals()) - {signal.SIGINT}:
            signal.signal(number, raise_interrupted)


def raise_interrupted(number: int, frame: object = None) -> None:
    """Signal handler: raise Interrupted in the main thread."""
    raise Interrupted(number)


@contextmanager
def ignored_signals_repeated() -> Iterator[None]:
    """Within the ``with`` block, send a signal again if Python ignored its exception.

    Python does so in a finalizer and in a callback of the garbage collector.
    """
    before = sys.unraisablehook

    def repeat(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if not isinstance(error, KeyboardInterrupt):
            before(unraisable)
            return
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        timer = threading.Timer(REPEAT_SECONDS, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = before


def signal_name(number: int) -> str:
    """Return ``SIGTERM`` for 15, and ``signal 40`` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def interruption(number: int, study: object) -> KeyboardInterrupt:
    """Return the exception for an interrupted search.

    For SIGINT this is KeyboardInterrupt itself. Only for that type does Python end a script by SIGINT, so that a shell
    that runs the script in a loop ends too.

    Args:
        number: Number of the signal.
        study: The study with the finished trials, which becomes the exception's attribute ``study``.
    """
    hint = "interrupted; the finished trials are in this exception's attribute 'study'"
    error = KeyboardInterrupt(hint) if number == signal.SIGINT else Interrupted(number)
    error.study = study  # type: ignore[attr-defined]
    return error
