"""Where work is done: in child processes, one a job, or in this very process.

A child is forked from a server that has imported torch already, so it starts in some hundredths of a
second. What kills it is its own trial's failure and nobody else's. It dies with the process that
started it, however that dies: it holds the reading end of a pipe that nobody writes to, and the
end of that pipe is its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from explorer.records import Epoch
from explorer.study.work import Failure, Job, Outcome, Work, reason_of

PRELOADED = ["explorer.study.children", "explorer.study.objective"]  # torch and all that a training needs
LAST_MOMENTS = 5.0  # seconds that a child may take to exit after its last word

Message = tuple[int, Epoch | Outcome | Failure]


class Workplace(Protocol):
    """Does jobs. ``room``: how many more may be started now; ``busy``: this very process computes now."""

    busy: bool

    @property
    def room(self) -> int: ...

    def start(self, job: Job) -> None: ...

    def messages(self, timeout: float) -> Iterator[Message]:
        """What the jobs have said within ``timeout`` seconds; an Outcome or a Failure is a job's last."""
        ...

    def stop(self) -> None:
        """Ends every job at once, without a word."""
        ...


class InProcess:
    """Does one job at a time in this process, within ``messages``."""

    def __init__(self, work: Work):
        self.busy = False
        self._work = work
        self._waiting: list[Job] = []

    @property
    def room(self) -> int:
        return 1 - len(self._waiting)

    def start(self, job: Job) -> None:
        self._waiting.append(job)

    def messages(self, timeout: float) -> Iterator[Message]:
        while self._waiting:
            job = self._waiting.pop()
            self.busy = True
            try:
                answer: Outcome | Failure = self._work(job, lambda epoch: None)
            except (Exception, SystemExit) as error:
                answer = Failure(reason_of(error))
            finally:
                self.busy = False
            yield job.number, answer

    def stop(self) -> None:
        self._waiting.clear()


@dataclass
class _Child:
    job: Job
    process: BaseProcess
    messages: Connection
    lifeline: Connection


class Children:
    """Does up to ``workers`` jobs at a time, each in a process of its own.

    ``of_caller``: the work is a function of the caller's, so the child must import the caller's script
    to find it. Otherwise the script is left alone: one without ``if __name__ == "__main__"`` would
    begin to search anew within its own children.
    """

    busy = False

    def __init__(self, work: Work, workers: int, of_caller: bool = False):
        self._work = work
        self._workers = workers
        self._of_caller = of_caller
        self._children: list[_Child] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["explorer.study.search"] if of_caller else PRELOADED)

    @property
    def room(self) -> int:
        return self._workers - len(self._children)

    def start(self, job: Job) -> None:
        messages, theirs = self._context.Pipe(duplex=False)
        their_lifeline, lifeline = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_do, args=(self._work, job, theirs, their_lifeline), daemon=False)
        try:
            with _script_hidden(hide=not self._of_caller):
                process.start()
        finally:
            theirs.close()
            their_lifeline.close()
        self._children.append(_Child(job, process, messages, lifeline))

    def messages(self, timeout: float) -> Iterator[Message]:
        wait([end for child in self._children for end in (child.messages, child.process.sentinel)], timeout)
        for child in list(self._children):
            gone = not child.process.is_alive()  # asked before reading: its last word is then in the pipe
            for message in _received(child.messages):
                yield child.job.number, message
                if not isinstance(message, Epoch):
                    self._bury(child)
                    break
            else:
                if gone:
                    self._bury(child)
                    yield child.job.number, Failure(_cause_of_death(child.process.exitcode))

    def stop(self) -> None:
        for child in list(self._children):
            self._bury(child, patience=0.0)

    def _bury(self, child: _Child, patience: float = LAST_MOMENTS) -> None:
        """Waits for the child's end, or makes it; with it end the processes that it started."""
        self._children.remove(child)
        child.process.join(patience)
        try:
            os.killpg(child.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            child.process.kill()  # it had not yet made itself a group
        child.process.join()
        child.messages.close()
        child.lifeline.close()


def _received(messages: Connection) -> Iterator[Epoch | Outcome | Failure]:
    try:
        while messages.poll():
            yield messages.recv()
    except (EOFError, OSError):  # it died, perhaps within a word
        pass


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"the trial's process died of {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"the trial's process exited with status {exitcode} and without a result"


def _do(work: Work, job: Job, messages: Connection, lifeline: Connection) -> None:
    """The child's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    os.setsid()  # a group of its own, to be ended with all that it starts
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    os.dup2(2, 1)  # standard output is the parent's alone
    try:
        last: Outcome | Failure = work(job, messages.send)
    except BaseException as error:
        last = Failure(reason_of(error))
    sys.stdout.flush()
    sys.stderr.flush()
    messages.send(last)


def _die_with_parent(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        pass
    os.killpg(0, signal.SIGKILL)


@contextmanager
def _script_hidden(hide: bool) -> Iterator[None]:
    """While a child starts, the main module looks as if it came from no file."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if not hide or file is None:
        yield
        return
    del main.__file__
    main.__spec__ = None
    try:
        yield
    finally:
        main.__file__, main.__spec__ = file, spec
