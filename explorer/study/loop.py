"""The loop of a search: this process proposes networks and writes results; child processes train.

The loop survives a crash of any trial's process. When the loop ends for any reason, the store has every finished
trial, and running trials are marked there to be resumed.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from explorer.analysis.amounts import plural
from explorer.errors import ExplorerError, StoreError
from explorer.records import Epoch, GradientFlow, TrialRecord
from explorer.store import lease
from explorer.store.presence.processes import Task
from explorer.store.presence.stops import StopRequest
from explorer.store.rows import Proposal
from explorer.store.views.gradient_flows import save_gradient_flow
from explorer.store.writer import NumberTaken, StudyWriter
from explorer.study.budget import Budget
from explorer.study.candidates import Candidates
from explorer.study.events import Event, EventKind, Progress, Status
from explorer.study.plan import Plan
from explorer.study.proposer import Proposer
from explorer.study.retries import Retries
from explorer.study.samplers.registry import SamplerAdapter
from explorer.study.seeds import seed_for
from explorer.study.stopping.learning_curves import LearningCurves
from explorer.study.trial_index import TrialIndex, status_of
from explorer.study.trials.endings import Endings
from explorer.study.trials.files import TrialFiles
from explorer.study.trials.stopped import StoppedTrials
from explorer.study.workers.executor import Executor, places_of
from explorer.study.workers.jobs import Failure, Job, Outcome
from explorer.study.workers.watchdog import TrialLimits, usual_limits
from explorer.system.signals import SIGNAL_SECONDS, signal_name

POLL_SECONDS = 0.2  # how long the loop waits for messages of its children
IDLE_SECONDS = 1.0  # between two reads of the store while trials run and none can be started
_log = logging.getLogger(__name__)


class SearchLoop:
    """Proposes, starts and records trials until the budget is spent.

    Args:
        plan: The search.
        candidates: Makes the networks of the space.
        writer: Writes to the study.
        sampler: The sampler.
        executor: Runs the jobs.
        curves: The learning curves of the study's trials.
        budget: When to end.
        progress: Called with each event.
        retry_failed: Whether to retry failed trials of every kind.
        only: The numbers of the only trials to run; no network is proposed. None: no such restriction.

    Attributes:
        interrupted: Set by a signal handler to end the loop.
        signal: Number of that signal, or 0.
        broken: Whether the loop ended because the store could not be written.
        all_failed: Whether all trials of the study failed.
        stop: The request to stop that it obeys, or None: it starts nothing more.
        slots: The trials that it can run in parallel.
        tasks: Its trials on other machines.
    """

    def __init__(
        self,
        plan: Plan,
        candidates: Candidates,
        writer: StudyWriter,
        sampler: SamplerAdapter,
        executor: Executor,
        curves: LearningCurves,
        budget: Budget,
        progress: Progress,
        retry_failed: bool = False,
        only: Collection[int] | None = None,
    ):
        self.plan = plan
        self.writer = writer
        self.executor = executor
        self.budget = budget
        self.progress = progress
        self.trial_index = TrialIndex(writer.study, (*plan.limits, *plan.latency_limits))
        self.curves = curves
        self.proposer = Proposer(plan, candidates, sampler, writer, self.trial_index, curves)
        self.interrupted = False
        self.signal = 0
        self.proposing = False  # whether a sampler, a cost function or a measurement runs, which may take minutes
        self.last_signal_wait = -math.inf  # when the loop last waited for a signal that may arrive soon
        self.broken = False
        self.stop: StopRequest | None = None
        self.slots = plan.workers
        self.tasks: Sequence[Task] = ()
        self.crashed = True  # until the loop ends normally; else a running trial may be the cause
        self.all_failed = False
        self.jobs: dict[int, float] = {}  # trials that run here -> their start by the monotonic clock
        self.stopping: dict[int, str] = {}  # trials that the stopping rule has stopped -> the reason
        self.is_current, self.learned = False, -math.inf  # whether the index was updated lately, and when
        self.waiting = False  # whether it waits for trials of workers that may be lost
        self.retry_failed = retry_failed
        self.retries = Retries((), False)
        self.files = TrialFiles(writer.study, curves.pauses)
        self.endings = Endings(plan, self.proposer, self.trial_index)
        self.stopped_trials = StoppedTrials(curves, writer, budget, self.proposer, self.trial_index, self._learn)
        self.only = only
        if only is not None:
            self.proposer.exhausted = "all trainings have ended"

    def run(self) -> str:
        """Run trials until the budget is spent; return why the loop ended, which the caller reports."""
        self._recover_lost_trials()
        self._learn()
        self.files.begin(self.trial_index.records.values())
        self.retries = Retries(self.trial_index.among(self.only), self.retry_failed)
        self.report("begun")
        try:
            why = self._loop()
            self.crashed = False
        except KeyboardInterrupt:
            self.interrupted, self.signal, self.crashed = True, self.signal or signal.SIGINT, False
            why = ""
        except StoreError as error:
            self.broken = True
            why = f"the result cannot be written: {error}"
        finally:
            self.executor.stop()
            self.files.close()
            self._interrupt_running()
        if not self.broken:
            self._learn()
            failures = "" if self.trial_index.done else self.retries.only_failures(self.trial_index.records.values())
            if failures and not self.budget.has_failed() and not self.interrupted:
                self.all_failed = True
                why = f"{why}; {failures}"
        why = "interrupted; the same command resumes the study" if self.interrupted else why
        if self.stop is not None and self.stop.explains(self, why):
            self.interrupted, self.signal, why = False, 0, f"{self.stop.reason} the study"
        if summary := self.retries.summary(self.trial_index.records):
            _log.warning("%s", summary)
        return why

    def _interrupt_running(self) -> None:
        """Mark running trials as interrupted, to be resumed. If this cannot be written, their leases expire."""
        why = self._cause() if self.interrupted else "the search ended"
        try:
            for record in self.writer.interrupt(why, self.crashed):
                _log.info("trial %d was interrupted", record.number)
        except StoreError as error:
            _log.warning("the running trials could not be marked: %s", error)

    @property
    def busy(self) -> bool:
        """Whether this process computes something that a signal may interrupt at any point."""
        return self.proposing or self.executor.busy

    def _cause(self) -> str:
        if self.stop is not None and self.stop.at_once:
            return "explorer stop --now"
        return "Ctrl-C" if self.signal == signal.SIGINT else signal_name(self.signal)

    def _loop(self) -> str:
        checked = time.monotonic()
        while not self.interrupted:
            if time.monotonic() - checked >= lease.renew_seconds():
                self._recover_lost_trials()
                checked = time.monotonic()
            self.slots, self.tasks = len(self.jobs) + self.executor.room, places_of(self.executor)
            why = self._start_trials()
            if why and not self.jobs and (self.stop is not None or not self._waits_for_others()):
                return why
            if self.waiting:
                time.sleep(POLL_SECONDS)
            if self.budget.overdue():
                return f"the time is over; the next search resumes {len(self.jobs)} trials that still ran"
            self.is_current &= bool(self.jobs) and time.monotonic() < self.learned + IDLE_SECONDS
            for number, message in self.executor.messages(POLL_SECONDS):
                self._handle(number, message)
                if self.budget.has_failed():
                    return self._failure_reason()
            self._prepare()
        return ""

    def _prepare(self) -> None:
        """Propose the next network while all workers are busy, so that none waits for the sampler.

        A search with one worker does not: its proposals depend on the trials alone, also after it was resumed.
        """
        trials, target = self.trial_index, self.budget.target
        is_shared = trials.in_flight > 1 and self.plan.latency_objective is None and self.only is None
        is_ending = self.interrupted or self.stop is not None
        is_ending |= target is not None and trials.done + trials.in_flight >= target
        if is_shared and not is_ending and not self.executor.room and self.proposer.can_prepare:
            with self._proposing():
                self.proposer.prepare(trials.next_number)

    def _recover_lost_trials(self) -> None:
        """Fail the trials whose worker is lost, and store the results that lost workers left in files."""
        self.is_current &= not self.writer.reap()  # one may be resumed here
        for record in self.writer.deliver():
            _log.info("trial %d: stored a result that its worker could not store", record.number)

    def _waits_for_others(self) -> bool:
        """Return whether to wait for trials of other workers: for those that may be lost, or for all of ``only``."""
        trial_index = self.trial_index
        wanted = not self.budget.spent(trial_index.done, 0, trial_index.median_seconds(), trial_index.unchanged)
        if self.only is not None:
            self.waiting = wanted and any(record.state == "running" for record in trial_index.among(self.only))
            return self.waiting
        number = self.writer.uncertain() if wanted and not self.budget.has_failed() else 0
        if number and not self.waiting:
            _log.warning(
                "waiting up to %.0f s for %s of workers that do not answer yet (on another machine, in another "
                "container, or suspended): those whose worker is lost are resumed",
                lease.LEASE_SECONDS + lease.renew_seconds(),
                plural(number, "running trial"),
            )
        self.waiting = number > 0
        return self.waiting

    def _failure_reason(self) -> str:
        failed, reason = self.budget.failed, self.retries.last_reason(self.trial_index.records.values())
        counted = f"{sum(failed)} of the last {len(failed)} trials failed, the last with"
        return f"{'each trial would fail as this one' if self.budget.is_hopeless else counted}: {reason}"

    def _start_trials(self) -> str:
        """Start trials while there are free workers.

        Returns:
            Why no further trial can be started, or an empty text if all workers are busy.
        """
        while self.executor.room and not self.interrupted:
            if self.stop is not None:
                return self.stop.reason
            if not self.is_current:
                self._learn()
            trials = self.trial_index
            spent = self.budget.spent(trials.done, trials.in_flight, trials.median_seconds(), trials.unchanged)
            if self.budget.has_failed() and not spent:
                return self._failure_reason()
            record = self.stopped_trials.reopen_paused() if spent else self._next_trial()
            if record is None and (spent or self.is_current or self.proposer.exhausted):
                return spent or self.proposer.exhausted  # empty if there is no proposal at the moment
            if record is None:  # another worker has taken the number
                continue
            is_new = record.number not in self.trial_index.records
            self._learn()
            self.report("started" if record.state == "running" else "ended", record)
            if record.state == "running" and record.same_as is None:
                self.files.start(record, is_new)
                self.jobs[record.number] = time.monotonic()
                self.executor.start(Job.of(record, self.curves.begin(record), self.curves.pauses), self._limits())
        return ""

    def _retry(self, last_resort: bool = False) -> TrialRecord | None:
        """Retry a trial that failed in an earlier run, with its current costs; return None if there is none."""
        while not self.interrupted and (failed := self.retries.next(last_resort=last_resort)) is not None:
            try:
                with self._proposing():
                    candidate = self.proposer.remake(failed)
            except ExplorerError as error:
                _log.warning("trial %d cannot be retried: %s", failed.number, error)
                continue
            record = self.writer.retry(
                failed, candidate.costs, candidate.latency, candidate.refusal, self.budget.target
            )
            if record is None:  # another worker has retried it
                continue
            if record.state == "failed":
                self.retries.ended(record)
            return record
        return None

    def _next_trial(self) -> TrialRecord | None:
        """Start the next trial: one that was interrupted, failed or stopped, or a new one. None if there is none."""
        is_left = self.trial_index.has_interrupted(self.only)
        record = (self.writer.resume(self.budget.target, self.only) if is_left else None) or self._retry()
        record = record or (self.stopped_trials.reopen() or self._propose() if self.only is None else None)
        if record is None and self.proposer.exhausted:
            record = self._retry(last_resort=True) or self.stopped_trials.reopen_paused()
        return record

    def _limits(self) -> TrialLimits:
        """Return the limits of the next trial: those of the settings, else the usual ones."""
        asked, epochs = self.plan.trial_limits, self.plan.epochs if self.curves.decision_epochs else 1
        usual = usual_limits(self.plan.workers, self.trial_index.median_seconds(), epochs)
        memory = None if self.plan.is_remote else usual.memory  # that of this machine
        return TrialLimits(asked.seconds or usual.seconds, asked.memory or memory)

    def _propose(self) -> TrialRecord | None:
        """Start the next trial, or reject its network; return None if there is no proposal."""
        number = self.trial_index.next_number
        with self._proposing():
            candidate, notes = self.proposer.propose(number)
        if candidate is None or self.interrupted:
            return None

        def numbered(number: int) -> Proposal:
            return Proposal(
                digest=candidate.architecture.digest,
                architecture=candidate.architecture.to_json(),
                choices=candidate.derivation.choices,
                costs=candidate.costs,
                seed=seed_for("trial", self.writer.study.seed, number),
                sampler_notes=notes,
                latency=candidate.latency,
            )

        proposal = numbered(number)
        try:
            if candidate.refusal is not None:
                record = self.writer.refuse(number, proposal, *candidate.refusal)
                if record.state == "failed":  # a cost function of the caller failed
                    self.budget.note(failed=True)
                return record
            return self.writer.begin(
                number, proposal, self.budget.target, None if self.proposer.needs_number else numbered
            )
        except NumberTaken:
            self.proposer.number_taken(number, candidate, notes)
            self.is_current = False
            return None

    @contextmanager
    def _proposing(self) -> Iterator[None]:
        """Mark that a signal may interrupt this process at any point."""
        self.proposing = True
        try:
            yield
        finally:
            self.proposing = False

    def _handle(self, number: int, message: Epoch | GradientFlow | Outcome | Failure) -> None:
        """Handle a message of a job: judge an epoch by the stopping rule, or store how the trial ended."""
        record = self.trial_index.records[number]
        if isinstance(message, GradientFlow):
            save_gradient_flow(self.writer.study, message)
            return
        if isinstance(message, Epoch):
            reason = self.curves.add_epoch(record, message, self.stopped_trials.allowance())
            if message.epoch in self.curves.decision_epochs_of(record):
                self.executor.answer(number, message.epoch, stop=bool(reason))
            if reason:
                self.stopping[number] = reason
            self.report("epoch", record, message)
            return
        if isinstance(message, Failure) and message.resumable and self._is_ending():
            return  # ``_interrupt_running`` marks it as interrupted, with all running trials
        ending = self.endings.of(record, message, self.stopping.pop(number, ""), began=self.jobs.pop(number))
        ended = self.writer.finish(number, ending)
        has_weights = isinstance(message, Outcome) and bool(message.weights)
        self.files.end(record, ending, was_written=bool(ended), has_weights=has_weights)
        failed = isinstance(message, Failure)
        self.budget.is_hopeless |= isinstance(message, Failure) and message.is_general and not self.trial_index.done
        if not ending.resumable and not (failed and self.retries.is_retry(number)):
            self.budget.note(failed)
        self._learn()
        self.files.limit_paused(self.trial_index.records.values())
        for record in ended:
            self.retries.ended(record)
            self.report("ended", record)

    def _is_ending(self) -> bool:
        """Return whether a signal ends this search.

        A trial's process may die of a signal to the whole process group. The loop then waits briefly for its own
        signal, once for all these trials.
        """
        if not self.interrupted and time.monotonic() > self.last_signal_wait + SIGNAL_SECONDS:
            time.sleep(SIGNAL_SECONDS)
            self.last_signal_wait = time.monotonic()
        return self.interrupted

    def _learn(self) -> None:
        """Read the changes in the store, and update the sampler."""
        changed = self.trial_index.update()
        self.curves.learn(changed)
        self.proposer.learn(changed)
        self.writer.known.revision = self.trial_index.revision
        self.writer.known.count = self.trial_index.done + self.trial_index.in_flight
        self.is_current, self.learned = True, time.monotonic()

    def report(
        self, kind: EventKind, trial: TrialRecord | None = None, epoch: Epoch | None = None, why: str = ""
    ) -> None:
        try:
            self.progress(Event(kind, self.status(), trial, epoch, why))
        except BaseException:
            self.crashed = False  # no trial is to blame for an error of the caller's function
            raise

    def status(self) -> Status:
        return status_of(self.trial_index, self.plan, self.budget, self.writer.study.name, self.only)
