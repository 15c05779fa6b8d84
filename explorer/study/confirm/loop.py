"""The loop of a confirmation: trainings of given networks and seeds, shared with other processes by leases."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from explorer.errors import StoreError
from explorer.records import ConfirmationRecord, Epoch, GradientFlow, TrialRecord
from explorer.store.artifacts import confirmation_checkpoint
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.lease import RETRIES
from explorer.store.presence.processes import Task
from explorer.store.presence.stops import StopRequest
from explorer.store.studies import find_study
from explorer.study.workers.executor import Executor
from explorer.study.workers.jobs import Failure, Job, Outcome
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits, usual_limits

POLL_SECONDS = 0.2  # that the loop waits for messages; a signal is handled between two waits
RETRY_SECONDS = 2.0  # between two queries for a training to start, if there was none
EventKind = Literal["begun", "started", "epoch", "ended", "finished"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a confirmation.

    Attributes:
        kind: "begun" and "finished" concern the confirmation, the others one training.
        done: Trainings that have ended.
        total: Trainings in total.
        seconds_left: Estimated time to the end, or None.
        training: The training, for "started", "epoch" and "ended".
        epoch: The epoch, for "epoch".
        why: Why the confirmation ended, for "finished".
        label: Name of the training's network; empty for its digest.
    """

    kind: EventKind
    done: int
    total: int
    seconds_left: float | None = None
    training: ConfirmationRecord | None = None
    epoch: Epoch | None = None
    why: str = ""
    label: str = ""


class ConfirmationLoop:
    """Runs trainings until all requested ones have ended, in this process or in others.

    Attributes:
        interrupted: Set by a signal handler to end the loop.
        signal: Number of that signal, or 0.
        failures: Training -> reason, for trainings that failed during this call in any process; they are not retried.
        done: Number of trainings that are complete or failed during this call.
        stop: The request to stop that it obeys, or None: it starts nothing more.
        slots: The trainings that it can run in parallel.
        tasks: Trials on other machines: none, since its trainings are no trials.
    """

    def __init__(
        self,
        wanted: Mapping[Wanted, TrialRecord],
        writer: ConfirmationWriter,
        executor: Executor,
        workers: int,
        progress: Callable[[Event], object],
        limits: TrialLimits = UNLIMITED,
        is_tested: bool = True,
    ):
        """Prepare a loop.

        Args:
            wanted: The trainings, in the order in which they start, and the trial of each one's network.
            writer: Writes the trainings of this worker.
            executor: Runs the trainings.
            workers: Number of parallel trainings.
            progress: Called with each event.
            limits: Limits on the time and memory of a training; the usual ones where there are none.
            is_tested: Whether the trainings give test results, unlike a caller's ``evaluate``.
        """
        self.wanted = wanted
        self.writer = writer
        self.executor = executor
        self.interrupted = False
        self.signal = 0
        self.failures: dict[Wanted, str] = {}
        self.done = 0
        self.stop: StopRequest | None = None
        self.slots = workers
        self.tasks: Sequence[Task] = ()
        self._workers = workers
        self._progress = progress
        self._limits = limits
        self._is_tested = is_tested
        self._numbers = list(wanted)
        self._running: dict[int, ConfirmationRecord] = {}
        self._lost: Counter[int] = Counter()  # processes of each training that died of a cause from outside
        self._times: list[float] = []
        self._study = find_study(writer.study.database, writer.study.name)
        self._transfers = self._study.transfers()
        self._first_revision = self._study.revision  # later failures belong to this call and are not retried
        self._last_idle = -RETRY_SECONDS  # time when the database last had no training to start

    @property
    def busy(self) -> bool:
        """Whether this process computes, as with a caller's ``evaluate``, so that a signal must interrupt it."""
        return self.executor.busy

    def run(self) -> str:
        """Run trainings until all have ended; return why the loop ended."""
        self._count()
        self._report("begun")
        try:
            why = self._loop()
        except KeyboardInterrupt:
            self.interrupted, self.signal = True, self.signal or signal.SIGINT
            why = ""
        except StoreError as error:
            why = f"the result cannot be written: {error}"
        finally:
            self.executor.stop()
            self._transfers.close()
            try:
                self.writer.release()
            except StoreError:  # their leases expire by themselves
                pass
        why = "interrupted; the same command resumes the confirmation" if self.interrupted else why
        if self.stop is not None and self.stop.explains(self, why):
            self.interrupted, self.signal, why = False, 0, f"{self.stop.reason} the trainings"
        self._report("finished", why=why)
        return why

    def _loop(self) -> str:
        while not self.interrupted:
            while self.executor.room and not self.interrupted and self._start():
                pass
            if not self._running and self.stop is not None:
                return self.stop.reason
            if not self._running:
                self._count()  # another process may train what is left
                if self.done == len(self.wanted):
                    return self._summary()
                time.sleep(POLL_SECONDS)
            self.slots = len(self._running) + self.executor.room
            for number, message in self.executor.messages(POLL_SECONDS):
                self._handle(number, message)
        return ""

    def _start(self) -> bool:
        """Start the next training; return False if there is none to start now."""
        if self.stop is not None or time.monotonic() < self._last_idle + RETRY_SECONDS:
            return False
        wanted = (each for each in self._numbers if each not in self.failures)
        training = self.writer.claim(wanted, since=self._first_revision)
        if training is None:
            self._last_idle = time.monotonic()
            return False
        number = self._numbers.index(Wanted.of(training))
        self._running[number] = training
        if training.attempt > 1:
            self._transfers.bring(self._checkpoint(number))
        self._transfers.watch(self._checkpoint(number))
        self._start_job(number)
        self._report("started", training)
        return True

    def _start_job(self, number: int) -> None:
        """Start the process of a training, which resumes from its checkpoint if it has one."""
        trial = self.wanted[self._numbers[number]]
        job = Job(number, trial.digest, trial.architecture_json, trial.choices, self._running[number].seed)
        usual = usual_limits(self._workers, self._usual_seconds())
        limits = TrialLimits(self._limits.seconds or usual.seconds, self._limits.memory or usual.memory)
        self.executor.start(job, limits)

    def _checkpoint(self, number: int) -> str:
        """Return the name of the file of a training's checkpoint."""
        each = self._numbers[number]
        return confirmation_checkpoint(self._study.artifacts, each.digest, each.epochs, each.seed).name

    def _handle(self, number: int, message: Epoch | GradientFlow | Outcome | Failure) -> None:
        """Handle a message of a training: report an epoch, or store how the training ended."""
        training, wanted = self._running[number], self._numbers[number]
        if isinstance(message, Epoch):
            self._report("epoch", training, message)
        if not isinstance(message, (Outcome, Failure)):
            return
        if isinstance(message, Failure) and message.resumable and self._lost[number] < RETRIES:
            self._lost[number] += 1
            if not self.interrupted:
                self._start_job(number)
            return
        del self._running[number]
        if isinstance(message, Failure):
            self.failures[wanted] = message.reason
            ended = self.writer.finish(wanted, reason=message.reason)
        elif not self._is_tested:
            ended = self.writer.finish(wanted, measured=message.measured)
        else:
            ended = self.writer.finish(
                wanted, test=message.measured, result=message.result, environment=message.environment
            )
        if ended is None:  # its lease expired, and another process runs it now
            return
        self._times.append(ended.seconds or 0.0)
        self._transfers.remove(self._checkpoint(number))
        self._count()
        self._report("ended", ended)

    def _count(self) -> None:
        """Read from the database which trainings have ended."""
        kept = {Wanted.of(record): record for record in self._study.confirmations()}
        ended = {each: kept[each] for each in self._numbers if each in kept}
        for each, record in ended.items():
            if record.state == "failed" and record.revision > self._first_revision:
                self.failures.setdefault(each, record.reason)
        self.done = sum(record.state == "complete" or each in self.failures for each, record in ended.items())

    def _summary(self) -> str:
        if not self.failures:
            return f"all {len(self.wanted)} trainings are done" if len(self.wanted) != 1 else "the training is done"
        last = list(self.failures.values())[-1]
        return f"{len(self.failures)} of {len(self.wanted)} trainings failed, the last with: {last}"

    def _usual_seconds(self) -> float | None:
        return sum(self._times) / len(self._times) if self._times else None

    def _report(
        self,
        kind: EventKind,
        training: ConfirmationRecord | None = None,
        epoch: Epoch | None = None,
        why: str = "",
    ) -> None:
        usual, total = self._usual_seconds(), len(self.wanted)
        left = None if usual is None else usual * (total - self.done) / self._workers
        self._progress(Event(kind, self.done, total, left, training, epoch, why))
