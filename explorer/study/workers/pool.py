"""Where work is done: in child processes, one a job, or in this very process.

A child is forked from a server that has imported torch already, so it starts in some hundredths of a
second. What kills it is its own trial's failure and nobody else's. It dies with the process that
started it, however that dies: it holds the reading end of a pipe on which it gets its orders, and the
end of that pipe is its own. All processes that it starts end with it (``process_tree``).

A death by a signal that usually comes from outside, or with the fork server, is not the network's fault: such a failure
is resumable.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty, Queue
from typing import Protocol

from explorer.errors import StudyError
from explorer.records import Epoch, GradientFlow
from explorer.study.workers.jobs import Failure, Job, Outcome, Rehearsal, Report, Retraining, Training, Verdict, Work
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits, Watchdog
from explorer.system.process_tree import end_tree, resident_memory, supervise
from explorer.system.signals import signal_name

# Torch and all that a training needs, also what torch imports when it makes its first optimiser, which takes a second.
PRELOADED = ["explorer.study.workers.pool", "explorer.study.workers.train_job", "torch._dynamo"]
LAST_MOMENTS = 5.0  # seconds that a child may take to exit after its last word
VERDICT_SECONDS = 1.0  # that a training waits to hear whether it goes on
CHILD = "explorer trial"  # what such a process is called
UNGUARDED = 113  # with which a child exits whose import of the caller's script would search anew
SERVER_LOST = 255  # multiprocessing's exit status of every child whose fork server died
FROM_OUTSIDE = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)  # a kernel short of memory sends the last
START_PAUSES = (0.1, 0.4, 1.6)  # seconds before a child is started again whose fork server died meanwhile
LEAK_BYTES = 1 << 30  # by which a reused child may grow after its first job

Message = tuple[int, Epoch | GradientFlow | Outcome | Failure]


class Workplace(Protocol):
    """Does jobs. ``room``: how many more may be started now; ``busy``: this very process computes now."""

    busy: bool

    @property
    def room(self) -> int: ...

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None: ...

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        """Tells job ``number``, which has reported ``epoch`` and waits to hear it, whether to stop there."""
        ...

    def messages(self, timeout: float) -> Iterator[Message]:
        """What the jobs have said within ``timeout`` seconds; an Outcome or a Failure is a job's last."""
        ...

    def stop(self) -> None:
        """Ends every job at once, without a word."""
        ...


class InProcess:
    """Does one job at a time in this process, within ``messages``. No limit can be put on it."""

    def __init__(self, work: Work):
        self.busy = False
        self._work = work
        self._waiting: list[Job] = []

    @property
    def room(self) -> int:
        return 1 - len(self._waiting)

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None:
        self._waiting.append(job)

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        raise AssertionError("what is evaluated in this process is never stopped early")

    def messages(self, timeout: float) -> Iterator[Message]:
        while self._waiting:
            job = self._waiting.pop()
            self.busy = True
            try:
                answer: Outcome | Failure = _perform(self._work, job, lambda epoch: False)
            except (Exception, SystemExit) as error:
                answer = Failure.of(error)
            finally:
                self.busy = False
            yield job.number, answer

    def stop(self) -> None:
        self._waiting.clear()


@dataclass
class _Child:
    process: BaseProcess
    messages: Connection
    orders: Connection  # closed by our end, however it comes, and then the child dies
    job: Job | None = None  # None while a reused child waits for its next
    watchdog: Watchdog | None = None
    first_memory: int = 0  # resident bytes after its first job

    @property
    def exceeded(self) -> str:
        return self.watchdog.exceeded if self.watchdog is not None else ""


class Children:
    """Does up to ``workers`` jobs at a time, each in a process of its own.

    ``of_caller``: the work is a function of the caller's, so the child must import the caller's script
    to find it: one without ``if __name__ == "__main__"`` raises StudyError from ``messages``. Otherwise the script
    is left alone, and may search at its top level. ``reused``: a child takes job after job, until one fails or it holds
    on to memory; meant for GPUs, whose contexts take seconds to make. ``job``: what messages call a job.
    """

    busy = False

    def __init__(self, work: Work, workers: int, of_caller: bool = False, reused: bool = False, job: str = "trial"):
        self._work = work
        self._job = job
        self._workers = workers
        self._of_caller = of_caller
        self._reused = reused
        self._folder = os.getcwd()  # relative paths in the work start here, wherever the caller goes later
        self._children: list[_Child] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["explorer.study.search"] if of_caller else PRELOADED)

    @property
    def room(self) -> int:
        return self._workers - sum(child.job is not None for child in self._children)

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None:
        # An idle child has nothing to say: what can be read from it is the end of its pipe, known before its death is.
        idle = (child for child in self._children if child.job is None and not child.messages.poll())
        child = next(idle, None) or self._new_child()
        child.job, child.watchdog = job, Watchdog(child.process.pid, limits)
        try:
            child.orders.send(job)
        except OSError:  # it died between two jobs; the next look finds it gone, and this job failed
            pass

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        for child in self._children:
            if child.job is not None and child.job.number == number:
                try:
                    child.orders.send(Verdict(number, epoch, stop))
                except OSError:  # it has died meanwhile, which its messages will tell
                    pass

    def messages(self, timeout: float) -> Iterator[Message]:
        wait([end for child in self._children for end in (child.messages, child.process.sentinel)], timeout)
        for child in list(self._children):
            gone = not child.process.is_alive()  # asked before reading: its last word is then in the pipe
            for message in _received(child.messages):
                if child.job is None:
                    continue
                job, last = child.job, isinstance(message, (Outcome, Failure))
                if last:
                    if isinstance(message, Failure) and child.exceeded:
                        message = Failure(child.exceeded, "limit")
                    child.job = None
                    if not self._reused:
                        self._bury(child)
                    elif isinstance(message, Failure) or _leaks(child):
                        self._bury(child, patience=0.0)
                yield job.number, message
                if last:
                    break
            else:
                if gone:
                    self._bury(child)
                    if child.process.exitcode == UNGUARDED:
                        raise StudyError(
                            "each worker imports the script that holds 'evaluate' and would search anew in it;"
                            " put what the script does under: if __name__ == '__main__':"
                        )
                    if child.job is not None:
                        exceeded = Failure(child.exceeded, "limit") if child.exceeded else None
                        yield child.job.number, exceeded or _death(self._job, child.process.exitcode)
                elif child.job is not None and child.watchdog is not None:
                    child.watchdog.look()

    def stop(self) -> None:
        for child in list(self._children):
            self._bury(child, patience=0.0)

    def _new_child(self) -> _Child:
        messages, theirs = self._context.Pipe(duplex=False)
        their_orders, orders = self._context.Pipe(duplex=False)
        try:
            with _script_hidden(hide=not self._of_caller):
                process = self._started(theirs, their_orders)
        finally:
            theirs.close()
            their_orders.close()
        self._children.append(_Child(process, messages, orders))
        return self._children[-1]

    def _started(self, messages: Connection, orders: Connection) -> BaseProcess:
        """A new process; where the fork server dies meanwhile, from the next server."""
        arguments = (self._work, self._folder, self._reused, messages, orders)
        for pause in (*START_PAUSES, None):
            try:
                with _children_allowed():
                    _start_fork_server()
                    process = self._context.Process(target=_live, name=CHILD, args=arguments)
                    process.start()
                return process
            except (EOFError, OSError) as error:
                if pause is None or not isinstance(error, (EOFError, ConnectionError)):
                    reason = str(error) or "the server that starts them died"
                    raise StudyError(f"no process could be started for a trial: {reason}") from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _bury(self, child: _Child, patience: float = LAST_MOMENTS) -> None:
        """Waits for the child's end, or makes it; with it end the processes that it started."""
        self._children.remove(child)
        child.process.join(patience)
        end_tree(child.process.pid)
        child.process.kill()  # where it had not yet made itself a group
        child.process.join()
        child.messages.close()
        child.orders.close()


_living = False  # whether this process is a child that has begun its life


def leave_the_search_to_the_parent() -> None:
    """Ends this process where it is a child that still imports the caller's script: a script that searches at its top
    level would do so again in every child, and in theirs."""
    if multiprocessing.current_process().name == CHILD and not _living:
        os._exit(UNGUARDED)


def _leaks(child: _Child) -> bool:
    held = resident_memory(child.process.pid)
    child.first_memory = child.first_memory or held
    return held > child.first_memory + LEAK_BYTES


def _received(messages: Connection) -> Iterator[Epoch | GradientFlow | Outcome | Failure]:
    try:
        while messages.poll():
            yield messages.recv()
    except (EOFError, OSError):  # it died, perhaps within a word
        pass


def _death(job: str, exitcode: int | None) -> Failure:
    """The failure of a job whose process ended without a result."""
    if exitcode == SERVER_LOST:
        return Failure(f"the {job}'s process was lost with the server that started it", "died", resumable=True)
    if exitcode is not None and exitcode < 0:
        name = signal_name(-exitcode)
        reason = f"the {job}'s process died of {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return Failure(reason, "died", resumable=-exitcode in FROM_OUTSIDE)
    return Failure(f"the {job}'s process exited with status {exitcode} and without a result", "died")


def _live(work: Work, folder: str, reused: bool, messages: Connection, orders: Connection) -> None:
    """The child's whole life: one job, or one after another."""
    global _living
    _living = True
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # processes that the work starts may use it
    os.setsid()  # a group of its own, to be ended with all that it starts
    supervise(orders)
    _die_first()
    jobs: Queue[Job] = Queue()
    verdicts: Queue[Verdict] = Queue()
    threading.Thread(target=_take_orders, args=(orders, jobs, verdicts), daemon=True).start()
    os.dup2(2, 1)  # standard output is the parent's alone
    while True:
        _do(work, jobs.get(), messages, verdicts)
        if not reused:
            return
        _free_memory()


def _die_first() -> None:
    """Where memory runs out faster than the watchdog looks, the kernel is to end this trial, not the search."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:  # no such thing here, or not allowed: the watchdog's limit is left
        pass


def _free_memory() -> None:
    """What the last network held is free before the next is built, for other processes on a GPU as well."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _perform(work: Work, job: Job, report: Report) -> Outcome:
    if not isinstance(work, (Training, Retraining, Rehearsal)):
        return work(job, report)
    from explorer.study.workers.train_job import perform  # imports torch, which the parent does without

    return perform(work, job, report)


def _do(work: Work, job: Job, messages: Connection, verdicts: Queue[Verdict]) -> None:
    def report(said: Epoch | GradientFlow) -> bool:
        messages.send(said)
        return isinstance(said, Epoch) and _told_to_stop(job, said.epoch, verdicts)

    try:
        last: Outcome | Failure = _perform(work, job, report)
    except BaseException as error:
        last = Failure.of(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # the work may have replaced or closed it
            stream.flush()
    messages.send(last)


def _told_to_stop(job: Job, epoch: int, verdicts: Queue[Verdict]) -> bool:
    """Whether the parent ends this job. After an epoch that the parent looks at its verdict is waited for, but
    not long: it may have other things to do, and a late verdict still counts."""
    end = time.monotonic() + (VERDICT_SECONDS if epoch in job.looks else 0.0)
    while True:
        try:
            verdict = verdicts.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return False
        if verdict.number == job.number and verdict.stop:
            return True
        if (verdict.number, verdict.epoch) == (job.number, epoch):
            return False


def _take_orders(orders: Connection, jobs: Queue[Job], verdicts: Queue[Verdict]) -> None:
    """Sorts what the parent sends. When the parent is gone, so is this process."""
    try:
        while True:
            order = orders.recv()
            (verdicts if isinstance(order, Verdict) else jobs).put(order)
    except (EOFError, OSError):
        os._exit(1)  # the supervisor ends what it started


def _start_fork_server() -> None:
    """Start the fork server if none runs, with SIGINT blocked: Ctrl-C goes to all processes of a terminal, and would
    end the server with a traceback while it imports torch."""
    resource_tracker.ensure_running()  # first: it unblocks SIGINT when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_fork_server() -> None:
    """End the fork server, if one runs, at once: by itself it ends only after it has imported torch. Its children must
    have ended."""
    if (pid := forkserver._forkserver._forkserver_pid) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _forget_fork_server() -> None:
    """In a forked process, leave the fork server to the parent: it is no child of this one, which starts its own."""
    server = forkserver._forkserver  # multiprocessing has no public way
    if server._forkserver_pid is not None:
        os.close(server._forkserver_alive_fd)
        server.__init__()


os.register_at_fork(after_in_child=_forget_fork_server)


@contextmanager
def _children_allowed() -> Iterator[None]:
    """Within it a daemonic process, such as a worker of a ``multiprocessing.Pool``, may start children. The ban is for
    children that outlive it; these end with their parent."""
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
    """While a child starts, the main module looks as if it came from no file."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or (not hide and os.path.exists(file)):  # a script on standard input has the name of no file
        yield
        return
    del main.__file__
    main.__spec__ = None
    try:
        yield
    finally:
        main.__file__, main.__spec__ = file, spec
