"""The process of a worker: it receives jobs, runs them and sends their messages.

The pool that starts it is in ``pool``. This module imports no torch, so that processes that evaluate a caller's
function start without it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, Queue

from explorer.records import Epoch, GradientFlow
from explorer.study.workers.jobs import (
    Failure,
    Job,
    Outcome,
    Report,
    Retraining,
    ThroughputProbe,
    Training,
    Verdict,
    Work,
)
from explorer.system.process_tree import supervise

PROCESS_NAME = "explorer trial"  # by which a process knows that it is a child
UNGUARDED_STATUS = 113  # exit status of a child that would search again while it imports the caller's script
VERDICT_SECONDS = 1.0  # that a training waits for a verdict; a late verdict still counts, after a later epoch

_started = False  # whether this process is a child that has imported the caller's script


def exit_while_importing() -> None:
    """Exit if this process is a child that still imports the caller's script.

    A script that searches at its top level would otherwise search again in every child, and in their children.
    """
    if multiprocessing.current_process().name == PROCESS_NAME and not _started:
        os._exit(UNGUARDED_STATUS)


def run_child(
    extensions: object, work: Work, folder: str, reused: bool, messages: Connection, orders: Connection
) -> None:
    """Run the main function of a child: run one job, or several in turn.

    Args:
        extensions: Those of the parent. They are loaded when this value is unpickled, before the work that may need
            them.
        work: The work of each job.
        folder: Working folder.
        reused: Whether to run several jobs.
        messages: Writing end of a pipe, for epochs, gradient flows, and an Outcome or a Failure at the end of each job.
        orders: Reading end of a pipe, for jobs and verdicts. When its other end is closed, this process ends.
    """
    global _started
    _started = True
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # processes that the work starts may use it
    os.setsid()  # a new process group, which the parent can signal as a whole
    supervise(orders)
    _prefer_for_oom_kill()
    jobs: Queue[Job] = Queue()
    verdicts: Queue[Verdict] = Queue()
    threading.Thread(target=_receive_orders, args=(orders, jobs, verdicts), daemon=True).start()
    os.dup2(2, 1)  # standard output is for the parent's results only
    while True:
        _run_and_report(work, jobs.get(), messages, verdicts)
        if not reused:
            return
        _free_memory()


def run_job(work: Work, job: Job, report: Report) -> Outcome:
    """Run one job in this process.

    Args:
        work: The work.
        job: The job.
        report: Called with each finished epoch; returns whether to stop there.
    """
    if not isinstance(work, (Training, Retraining, ThroughputProbe)):
        return work(job, report)
    from explorer.study.workers.train_job import perform  # imports torch, which the parent does without

    return perform(work, job, report)


def _prefer_for_oom_kill() -> None:
    """Make the kernel kill this trial, not the search, if memory runs out between two checks of the watchdog."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:  # the file does not exist or may not be written: only the watchdog limits memory
        pass


def _free_memory() -> None:
    """Free the memory of the last network before the next is built, on a GPU for other processes too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _run_and_report(work: Work, job: Job, messages: Connection, verdicts: Queue[Verdict]) -> None:
    """Do one job and send its messages; the last is an Outcome or a Failure."""

    def report(message: Epoch | GradientFlow) -> bool:
        messages.send(message)
        return isinstance(message, Epoch) and _must_stop(job, message.epoch, verdicts)

    try:
        last: Outcome | Failure = run_job(work, job, report)
    except BaseException as error:
        last = Failure.of(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # the work may have replaced or closed it
            stream.flush()
    messages.send(last)


def _must_stop(job: Job, epoch: int, verdicts: Queue[Verdict]) -> bool:
    """Return whether the parent has stopped this job.

    After an epoch at which the stopping rule decides, wait for its verdict for a limited time: the parent may be busy.
    """
    longest = job.verdict_seconds or VERDICT_SECONDS
    end = time.monotonic() + (longest if epoch in job.decision_epochs else 0.0)
    while True:
        try:
            verdict = verdicts.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return False
        if verdict.number == job.number and verdict.stop:
            return True
        if (verdict.number, verdict.epoch) == (job.number, epoch):
            return False


def _receive_orders(orders: Connection, jobs: Queue[Job], verdicts: Queue[Verdict]) -> None:
    """Put each order of the parent into its queue; exit when the parent has ended."""
    try:
        while True:
            order = orders.recv()
            (verdicts if isinstance(order, Verdict) else jobs).put(order)
    except (EOFError, OSError):
        os._exit(1)  # the supervisor ends the processes that the work started
