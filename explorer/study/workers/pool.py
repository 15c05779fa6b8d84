"""The executor that runs jobs in child processes.

The fork server, which has imported torch already, forks each child, so a child starts in some hundredths of a second.
If a child dies, only its own trial fails. A child ends with the process that started it, even if that is killed: the
child reads its orders from a pipe, and the operating system closes the other end. All processes that a child starts
end with it (``process_tree``).

A child that dies of a signal that usually comes from outside, or with the fork server, did not fail because of its
network: such a failure is resumable.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from explorer.errors import StudyError
from explorer.extensions.files import Shipped
from explorer.records import Epoch, GradientFlow
from explorer.study.workers.child import PROCESS_NAME, UNGUARDED_STATUS, run_child
from explorer.study.workers.executor import Message
from explorer.study.workers.jobs import Failure, Job, Outcome, Verdict, Work
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits, Watchdog
from explorer.system.core_shares import CoreShare
from explorer.system.process_tree import SUPERVISOR_SECONDS, end_tree, is_supervisor, resident_memory
from explorer.system.signals import signal_name

PRELOADED = ["explorer.study.workers.child", "explorer.study.workers.train_job"]  # what trainings import
EXIT_SECONDS = 5.0  # that a child has to exit after its last message
SERVER_LOST_STATUS = 255  # multiprocessing's exit status of every child whose fork server died
# Signals that usually come from outside: the kernel sends SIGKILL when memory runs out.
EXTERNAL_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
START_RETRY_SECONDS = (0.1, 0.4, 1.6)  # pauses before the start of a child is retried if the fork server died
LEAK_BYTES = 1 << 30  # by which a reused child may grow after its first job before it is replaced

_FORK_SERVER: Any = forkserver._forkserver  # multiprocessing has no public way to end or forget it


@dataclass
class _Child:
    """A child process, and the job that it does."""

    process: BaseProcess
    messages: Connection
    orders: Connection  # the child ends when this end is closed, also if this process ends
    job: Job | None = None  # None while a reused child waits for its next job
    watchdog: Watchdog | None = None
    first_memory: int = 0  # resident bytes after its first job

    @property
    def pid(self) -> int:
        assert self.process.pid is not None  # it was started
        return self.process.pid

    @property
    def exceeded(self) -> str:
        """The limit that its job has exceeded, as text; empty if none."""
        return self.watchdog.exceeded if self.watchdog is not None else ""


class ProcessPool:
    """Runs jobs in parallel, each in a child process."""

    busy = False

    def __init__(
        self,
        work: Work,
        workers: int,
        is_user_function: bool = False,
        reused: bool = False,
        job: str = "trial",
        imports_script: bool = False,
        interrupts: bool = False,
        share: CoreShare | None = None,
        is_fixed: bool = False,
        preloaded: Sequence[str] | None = None,
    ):
        """Make a pool without processes; ``start`` starts them.

        Args:
            work: The work of each job.
            workers: Largest number of parallel jobs.
            is_user_function: Whether the work is a function of the caller's, for which no child imports torch.
            reused: Whether a child runs several jobs, until a job fails or the child leaks memory. For GPUs, whose
                contexts take seconds to create.
            job: The word for a job in messages.
            imports_script: Whether each child imports the caller's script, to find the function. ``messages`` then
                raises StudyError for a script that searches at its top level.
            interrupts: Whether a KeyboardInterrupt that the work raises ends the search, as it does in one process.
            share: This process's share of the cores, for the threads of its jobs. None: no limit.
            is_fixed: Whether the user chose ``workers``; else fewer jobs run while other processes train too.
            preloaded: Modules that the fork server imports; by default those that the work needs.
        """
        self._imports_script, self._interrupts = imports_script, interrupts
        self._work, self._job, self._workers = work, job, workers
        self._share, self._is_fixed = share, is_fixed
        self._reused = reused
        self._folder = os.getcwd()  # relative paths in the work start here, even if the working folder changes
        self._children: list[_Child] = []
        self._context = multiprocessing.get_context("forkserver")
        if preloaded is None:
            preloaded = ["explorer.study.search"] if is_user_function else PRELOADED
        self._context.set_forkserver_preload(list(preloaded))

    @property
    def room(self) -> int:
        return max(0, self._most() - sum(child.job is not None for child in self._children))

    def _most(self) -> int:
        """Return the largest number of parallel jobs now."""
        if self._share is None or self._is_fixed:
            return self._workers
        if self._reused:  # a GPU, whose processes divide the trainings that it can run
            return max(1, self._workers // self._share.processes())
        return min(self._workers, self._share.cores())

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None:
        if self._share is not None:
            most, threads = self._most(), max(1, self._share.cores() // self._most())
            side_by_side = most * self._share.processes() if self._reused else 0
            job = replace(job, threads=job.threads or threads, side_by_side=side_by_side)
        # An idle child sends nothing: if its pipe is readable, it has ended, even if is_alive() is still True.
        idle = (child for child in self._children if child.job is None and not child.messages.poll())
        child = next(idle, None) or self._new_child()
        child.job, child.watchdog = job, Watchdog(child.pid, limits)
        try:
            child.orders.send(job)
        except OSError:  # it died between two jobs; ``messages`` then reports this job as failed
            pass

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        for child in self._children:
            if child.job is not None and child.job.number == number:
                try:
                    child.orders.send(Verdict(number, epoch, stop))
                except OSError:  # it has died; ``messages`` reports that
                    pass

    def messages(self, timeout: float) -> Iterator[Message]:
        wait([end for child in self._children for end in (child.messages, child.process.sentinel)], timeout)
        for child in list(self._children):
            gone = not child.process.is_alive()  # checked before reading, so that its last message is in the pipe
            for message in _received(child.messages):
                if child.job is None:
                    continue
                job, last = child.job, isinstance(message, (Outcome, Failure))
                if last:
                    if isinstance(message, Failure) and message.resumable and self._interrupts:
                        raise KeyboardInterrupt
                    if isinstance(message, Failure) and child.exceeded:
                        message = Failure(child.exceeded, "limit")
                    child.job = None
                    if not self._reused:
                        self._remove(child)
                    elif isinstance(message, Failure) or _has_leaked(child):
                        self._remove(child, timeout=0.0)
                yield job.number, message
                if last:
                    break
            else:
                if gone:
                    self._remove(child)
                    if child.process.exitcode == UNGUARDED_STATUS:
                        raise StudyError(
                            "each worker imports the script that defines 'evaluate', which would search again;"
                            " put the main code of the script under: if __name__ == '__main__':"
                        )
                    if child.job is not None:
                        exceeded = Failure(child.exceeded, "limit") if child.exceeded else None
                        yield child.job.number, exceeded or _failure_of_exit(self._job, child.process.exitcode)
                elif child.job is not None and child.watchdog is not None:
                    child.watchdog.check()

    def stop(self) -> None:
        for child in self._children:
            child.orders.close()  # all end at the same time
        for child in list(self._children):
            self._remove(child, timeout=0.0)
        if self._share is not None:
            self._share.leave()

    def _new_child(self) -> _Child:
        messages, child_messages = self._context.Pipe(duplex=False)
        child_orders, orders = self._context.Pipe(duplex=False)
        try:
            with _script_hidden(hide=not self._imports_script):
                process = self._start_process(child_messages, child_orders)
        finally:
            child_messages.close()
            child_orders.close()
        self._children.append(_Child(process, messages, orders))
        return self._children[-1]

    def _start_process(self, messages: Connection, orders: Connection) -> BaseProcess:
        """Start a process; if the fork server dies, retry with a new server."""
        arguments = (Shipped(), self._work, self._folder, self._reused, messages, orders)
        for pause in (*START_RETRY_SECONDS, None):
            try:
                with _children_allowed():
                    _start_fork_server()
                    process = self._context.Process(target=run_child, name=PROCESS_NAME, args=arguments)
                    process.start()
                return process
            except (EOFError, OSError) as error:
                if pause is None or not isinstance(error, (EOFError, ConnectionError)):
                    reason = str(error) or "the server that starts them died"
                    raise StudyError(f"no process could be started for a trial: {reason}") from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _remove(self, child: _Child, timeout: float = EXIT_SECONDS) -> None:
        """Wait up to ``timeout`` seconds until the child exits, then end it and all processes that it started."""
        self._children.remove(child)
        child.process.join(timeout)
        child.orders.close()  # its supervisor then ends all processes of the job and itself
        if child.process.is_alive() and is_supervisor(child.pid):
            child.process.join(SUPERVISOR_SECONDS)
        end_tree(child.pid)
        child.process.kill()  # if it is not yet a supervisor
        child.process.join()
        child.messages.close()


def _has_leaked(child: _Child) -> bool:
    """Return whether a child holds ``LEAK_BYTES`` more than after its first job."""
    held = resident_memory(child.pid)
    child.first_memory = child.first_memory or held
    return held > child.first_memory + LEAK_BYTES


def _received(messages: Connection) -> Iterator[Epoch | GradientFlow | Outcome | Failure]:
    """Yield the messages that have arrived."""
    try:
        while messages.poll():
            yield messages.recv()
    except (EOFError, OSError):  # the child died, perhaps while it sent a message
        pass


def _failure_of_exit(job: str, exitcode: int | None) -> Failure:
    """Return the failure of a job whose process ended without a result."""
    if exitcode == SERVER_LOST_STATUS:
        return Failure(f"the {job}'s process was lost with the server that started it", "died", resumable=True)
    if exitcode is not None and exitcode < 0:
        name = signal_name(-exitcode)
        reason = f"the {job}'s process died of {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return Failure(reason, "died", resumable=-exitcode in EXTERNAL_SIGNALS)
    return Failure(f"the {job}'s process exited with status {exitcode} and without a result", "died")


def _start_fork_server() -> None:
    """Start the fork server if none runs, with SIGINT blocked.

    Ctrl-C goes to all processes of a terminal, and would end the server with a traceback while it imports torch.
    """
    resource_tracker.ensure_running()  # first: it unblocks SIGINT when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_fork_server() -> None:
    """End the fork server at once, if one runs; otherwise it exits only after it has imported torch.

    All its children must have ended.
    """
    if (pid := _FORK_SERVER._forkserver_pid) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _forget_fork_server() -> None:
    """In a forked process, forget the parent's fork server: it is not a child of this process, which starts its own."""
    if _FORK_SERVER._forkserver_pid is not None:
        os.close(_FORK_SERVER._forkserver_alive_fd)
        _FORK_SERVER.__init__()


os.register_at_fork(after_in_child=_forget_fork_server)


@contextmanager
def _children_allowed() -> Iterator[None]:
    """Let a daemonic process, such as a worker of a ``multiprocessing.Pool``, start children.

    multiprocessing forbids them because children could outlive the process; these end with it.
    """
    process = multiprocessing.current_process()
    if not process.daemon:
        yield
        return
    process.daemon = False
    try:
        yield
    finally:
        process.daemon = True


@contextmanager
def _script_hidden(hide: bool) -> Iterator[None]:
    """Hide the file of the main module while a child starts, so that the child does not import it.

    Args:
        hide: Whether to hide a file that exists; a file that does not exist is always hidden.
    """
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or (not hide and os.path.exists(file)):  # a script on standard input names no existing file
        yield
        return
    del main.__file__
    main.__spec__ = None
    try:
        yield
    finally:
        main.__file__, main.__spec__ = file, spec
