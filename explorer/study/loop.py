"""The loop of a search: one process proposes, costs, keeps the record and watches; others train.

Whatever a trial does to its process, the loop goes on; however the loop ends, every trial that had
ended is in the store, and the running ones are marked there to be taken up again.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from explorer.errors import ExplorerError, StoreError
from explorer.files import remove
from explorer.records import Epoch, GradientFlow, TrialRecord
from explorer.scoring.names import NAMES
from explorer.signals import SIGNAL_SECONDS, signal_name
from explorer.store import lease
from explorer.store.artifacts import checkpoint_file, weights_file
from explorer.store.gradient_flows import keep_gradient_flow
from explorer.store.lease import RETRIES, renew_seconds
from explorer.store.rows import Ending, Proposal
from explorer.store.study import LATENCY
from explorer.store.writer import NumberTaken, StudyWriter
from explorer.study.budget import Budget
from explorer.study.children import Workplace
from explorer.study.curves import Curves
from explorer.study.events import Event, Progress, Status
from explorer.study.ledger import Ledger
from explorer.study.memory import Memory
from explorer.study.plan import Plan
from explorer.study.proposals import Candidate, Candidates
from explorer.study.retries import Retries
from explorer.study.seeds import seed_for
from explorer.study.watchdog import TrialLimits, usual_limits
from explorer.study.work import Failure, Job, Outcome

TOO_SLOW = 200  # networks in a row that break a limit on their latency, after which a search ends
ASIDE = 500  # networks passed over for the latency expected of them before the best of them is measured
BREATH = 0.2  # seconds between two looks at the clock
FRUITLESS = 4  # proposals in a row without a new network, after which one is drawn among the unseen
_log = logging.getLogger(__name__)


class SearchLoop:
    """Proposes, starts, listens and writes until the budget is spent. ``interrupted`` is set from outside."""

    def __init__(
        self,
        plan: Plan,
        candidates: Candidates,
        writer: StudyWriter,
        memory: Memory,
        workplace: Workplace,
        curves: Curves,
        budget: Budget,
        progress: Progress,
        retry_failed: bool = False,
    ):
        self.plan = plan
        self.writer = writer
        self.memory = memory
        self.workplace = workplace
        self.budget = budget
        self.progress = progress
        self.ledger = Ledger(writer.study, (*plan.limits, *plan.latency_limits))
        self.curves = curves
        self.candidates = candidates
        self.unseen = self.candidates.unseen(writer.study.seed, self.ledger.digests)
        self.interrupted = False
        self.signal = 0  # that interrupted it
        self.proposing = False  # samplers, the caller's costs and measurements may take minutes
        self.waited = -math.inf  # when it last waited for a signal on its way
        self.broken = False  # the store could not be written to, however long that was tried
        self.crashed = True  # until the loop has ended in order
        self.barren = False  # the study has nothing but failures
        self.jobs: dict[int, float] = {}  # trials that run here, and when they began by the monotonic clock
        self.stopping: dict[int, str] = {}  # trials that were told to end early, and why
        self.untold: dict[int, TrialRecord] = {}  # stopped trials of which nothing could be foretold yet
        self.exhausted = ""
        self.waiting = False  # for trials of workers that may live or be lost
        self.too_slow = 0  # in a row
        self.set_aside: list[Candidate] = []  # unseen, and expected to break a limit on their latency
        self.in_hand: tuple[Candidate, Mapping[str, Any]] | None = None  # measured, and not begun yet
        self.ignored = False  # whether it was said that some of evaluate's answers are not kept
        self.retry_failed = retry_failed
        self.retries = Retries((), (), False)

    def run(self) -> str:
        """Runs trials until the budget is spent; returns why it ended."""
        self._look_after_others()
        self._learn()
        self.retries = self._earlier_failures()
        self._tell("begun")
        try:
            why = self._loop()
            self.crashed = False
        except KeyboardInterrupt:
            self.interrupted, self.signal, self.crashed = True, self.signal or signal.SIGINT, False
            why = ""
        except StoreError as error:
            self.broken = True
            why = f"the record cannot be kept: {error}"
        finally:
            self.workplace.stop()
            self._leave()
        if not self.broken:
            self._learn()
            if not self.budget.hopeless() and not self.interrupted and (failures := self._nothing_but_failures()):
                self.barren = True
                why = f"{why}; {failures}"
        why = "interrupted; the same line goes on" if self.interrupted else why
        if summary := self.retries.summary(self.ledger.records):
            _log.warning("%s", summary)
        self._tell("finished", why=why)
        return why

    def _earlier_failures(self) -> Retries:
        """The trials that failed for good before this run."""
        records = self.ledger.records.values()
        failed = [record for record in records if record.state == "failed" and record.same_as is None]
        return Retries(failed, (r.worker for r in records if r.state == "running"), self.retry_failed)

    def _leave(self) -> None:
        """Marks what ran, to be taken up again. Where that cannot be written its leases pass by themselves."""
        why = self._cause() if self.interrupted else "the search ended"
        try:
            for record in self.writer.interrupt(why, self.crashed):
                _log.info("trial %d was interrupted", record.number)
        except StoreError as error:
            _log.warning("the running trials could not be marked: %s", error)

    @property
    def busy(self) -> bool:
        """Whether this process computes what may be broken off at any point."""
        return self.proposing or self.workplace.busy

    def _cause(self) -> str:
        return "Ctrl-C" if self.signal == signal.SIGINT else signal_name(self.signal)

    def _loop(self) -> str:
        looked = time.monotonic()
        while not self.interrupted:
            if time.monotonic() - looked >= renew_seconds():
                self._look_after_others()
                looked = time.monotonic()
            why = self._start_trials()
            if why and not self.jobs and not self._waits_for_others():
                return why
            if self.waiting:
                time.sleep(BREATH)
            if self.budget.overdue():
                return f"the time is over; {len(self.jobs)} trials that ran on are taken up by the next search"
            for number, message in self.workplace.messages(BREATH):
                self._hear(number, message)
                if self.budget.hopeless():
                    return self._hopeless()
        return ""

    def _look_after_others(self) -> None:
        """Fails the trials whose worker is lost, and writes the results that lost workers left in files."""
        self.writer.reap()
        for record in self.writer.deliver():
            _log.info("trial %d: its result had waited to be written", record.number)

    def _waits_for_others(self) -> bool:
        """Whether the study still wants trials of other workers, of which it cannot be told yet whether they live: the
        search takes them up if they are lost."""
        ledger = self.ledger
        wanted = not self.budget.spent(ledger.done, 0, ledger.median_seconds(), ledger.unchanged)
        number = self.writer.undecided() if wanted and not self.budget.hopeless() else 0
        if number and not self.waiting:
            _log.warning(
                "waiting up to %.0f s for %d running trials of workers that cannot be seen from here (on another "
                "machine or in another container): those whose worker is lost are taken up again",
                lease.LEASE_SECONDS + renew_seconds(),
                number,
            )
        self.waiting = number > 0
        return self.waiting

    def _hopeless(self) -> str:
        failed = self.budget.failed
        return f"{sum(failed)} of the last {len(failed)} trials failed, the last with: {self._last_reason()}"

    def _nothing_but_failures(self) -> str:
        """What a study that has no other trials came to, as a space of few networks may; or an empty text."""
        failed = [record for record in self.ledger.records.values() if record.state == "failed"]
        if self.ledger.done or not failed:
            return ""
        if all(self.retries.is_earlier(record) for record in failed if record.same_as is None):
            return "no trial ended well, all failed in an earlier run"
        return f"no trial ended well, the last failed with: {self._last_reason()}"

    def _start_trials(self) -> str:
        """Begins trials while there is room; returns why no more are, or an empty text when all places are taken."""
        while self.workplace.room and not self.interrupted:
            self._learn()
            ledger = self.ledger
            spent = self.budget.spent(ledger.done, ledger.in_flight, ledger.median_seconds(), ledger.unchanged)
            if spent:
                return spent
            if self.budget.hopeless():
                return self._hopeless()
            record = self.writer.take_up(self.budget.target) or self._retry() or self._reopen() or self._propose()
            if record is None and self.exhausted:
                record = self._retry(last_resort=True)
            if record is None:
                return self.exhausted  # or nothing this time: look after the running trials first
            self._learn()
            self._tell("started" if record.state == "running" else "ended", record)
            if record.state == "running" and record.same_as is None:
                self.jobs[record.number] = time.monotonic()
                job = Job(
                    record.number,
                    record.digest,
                    record.architecture,
                    record.choices,
                    record.seed,
                    self.curves.looks,
                )
                self.workplace.start(job, self._limits())
        return ""

    def _retry(self, last_resort: bool = False) -> TrialRecord | None:
        """Begins a trial again that failed in an earlier run, with its costs of today; None where none is left."""
        while not self.interrupted and (failed := self.retries.next(last_resort=last_resort)) is not None:
            try:
                with self._proposing():
                    candidate = self.candidates.make(self.plan.space.named(dict(failed.choices)))
                    if LATENCY in failed.costs:
                        candidate = candidate._replace(costs={**failed.costs, **candidate.costs})
                    else:
                        candidate = self._with_latency(candidate)
            except ExplorerError as error:
                _log.warning("trial %d cannot be retried: %s", failed.number, error)
                continue
            record = self.writer.retry(
                failed, candidate.costs, candidate.latency, candidate.refusal, self.budget.target
            )
            if record is None:  # another worker was first
                continue
            if record.state == "failed":
                self.retries.ended(record)
            return record
        return None

    def _reopen(self) -> TrialRecord | None:
        """Takes up a stopped trial again that should not have been stopped, by what is known now."""
        number = self.curves.reopened()
        return None if number is None else self.writer.reopen(number)

    def _limits(self) -> TrialLimits:
        """What the next trial may take: as asked for, or as is usual."""
        usual, asked = usual_limits(self.plan.workers, self.ledger.median_seconds()), self.plan.trial_limits
        return TrialLimits(asked.seconds or usual.seconds, asked.memory or usual.memory)

    def _propose(self) -> TrialRecord | None:
        """Begins the next trial, or ends it before it begins; None when there was nothing to propose."""
        number = self.ledger.next_number
        with self._proposing():
            candidate, notes = self._measured() or self._drawn(number)
        if candidate is None or self.interrupted:
            return None
        proposal = Proposal(
            digest=candidate.architecture.digest,
            architecture=candidate.architecture.to_json(),
            choices=candidate.derivation.choices,
            costs=candidate.costs,
            seed=seed_for("trial", self.writer.study.seed, number),
            sampler_notes=notes,
            latency=candidate.latency,
        )
        try:
            if candidate.refusal is not None:
                record = self.writer.refuse(number, proposal, *candidate.refusal)
                if record.state == "failed":  # a cost of it could not be had
                    self.budget.note(failed=True)
                return record
            return self.writer.begin(number, proposal, self.budget.target)
        except NumberTaken:
            if number in self.memory:
                self.memory.forget(number)
            if self.plan.stopwatch is not None:
                self.in_hand = candidate, notes
            return None

    @contextmanager
    def _proposing(self) -> Iterator[None]:
        """Marks that an interrupt may break off what this process computes."""
        self.proposing = True
        try:
            yield
        finally:
            self.proposing = False

    def _measured(self) -> tuple[Candidate, Mapping[str, Any]] | None:
        """A candidate whose number went to another worker's while it was measured, unless its network did too."""
        kept, self.in_hand = self.in_hand, None
        return None if kept is None or kept[0].architecture.digest in self.ledger.digests else kept

    def _drawn(self, number: int) -> tuple[Candidate | None, Mapping[str, Any]]:
        """A candidate from the sampler or from the unseen, with its latency where that counts, and the notes on it."""
        candidate: Candidate | None = None
        notes: Mapping[str, Any] = {}
        if self.too_slow >= TOO_SLOW:
            self.exhausted = f"each of the last {self.too_slow} networks measured breaks a limit on its latency"
            return None, notes
        if self.ledger.fruitless < FRUITLESS:
            candidate, notes = self._asked(number)
        if candidate is None:
            candidate = self._next_unseen()
            notes = {} if candidate is None else self.memory.adopt(number, candidate.derivation)
        if candidate is None:
            return None, notes
        return self._with_latency(candidate), notes

    def _with_latency(self, candidate: Candidate) -> Candidate:
        """The candidate with its latency, where that is measured."""
        stopwatch = self.plan.stopwatch
        if candidate.refusal is not None or stopwatch is None:
            return candidate
        candidate = stopwatch.timed(candidate, self.plan.latency_limits, self.ledger.records.values())
        self.too_slow = self.too_slow + 1 if candidate.refusal else 0
        return candidate

    def _asked(self, number: int) -> tuple[Candidate | None, Mapping[str, Any]]:
        """The sampler's proposal; None for a network that cannot be built, as a space may hold that is too large to
        be checked as a whole."""
        try:
            derivation, notes = self.memory.ask(number)
            return self.candidates.make(derivation), notes
        except ExplorerError as error:
            _log.warning("a network that cannot be built is passed over: %s", error)
            self.memory.forget(number)
            return None, {}

    def _next_unseen(self) -> Candidate | None:
        """The next of the unseen, those last that are expected to break a limit on their latency; None as a breath."""
        for _ in range(ASIDE - len(self.set_aside)):
            try:
                candidate = next(self.unseen)
            except StopIteration:
                break
            if candidate is None or self.plan.screen.hopeful(candidate):
                return candidate
            self.set_aside.append(candidate)
        self.set_aside = [each for each in self.set_aside if each.architecture.digest not in self.ledger.digests]
        if not self.set_aside:
            self.exhausted = "no network of the space within its limits is left to try"
            return None
        best = min(self.set_aside, key=lambda each: self.plan.screen.expected(each))
        self.set_aside.remove(best)
        return best

    def _hear(self, number: int, message: Epoch | GradientFlow | Outcome | Failure) -> None:
        """Passes an epoch on and answers whether there shall be another; writes an ending into the store."""
        record = self.ledger.records[number]
        if isinstance(message, GradientFlow):
            keep_gradient_flow(self.writer.study, message)
            return
        if isinstance(message, Epoch):
            reason = self.curves.hear(record, message)
            if message.epoch in self.curves.looks:
                self.workplace.answer(number, message.epoch, stop=bool(reason))
            if reason:
                self.stopping[number] = reason
            self._tell("epoch", record, message)
            return
        if isinstance(message, Failure) and message.resumable and self._is_ending():
            return  # it is marked as interrupted, with all that ran
        ending = replace(self._ending(record, message), duration=time.monotonic() - self.jobs.pop(number))
        ended = self.writer.finish(number, ending)
        if isinstance(message, Outcome) and message.weights and not ending.weights:
            remove(weights_file(self.writer.study.artifacts, record.digest))
        if ended and not ending.resumable:  # a stopped one's too: few epochs, and there are many
            remove(checkpoint_file(self.writer.study.artifacts, record.digest))
        failed = isinstance(message, Failure)
        if not ending.resumable and not (failed and self.retries.is_retry(number)):
            self.budget.note(failed)
        self._learn()
        for record in ended:
            self.retries.ended(record)
            self._tell("ended", record)

    def _is_ending(self) -> bool:
        """Whether a signal ends this search. Who ends a trial's process may end all processes of a group: the signal
        to this one is waited for, once for all trials that died of it."""
        if not self.interrupted and time.monotonic() > self.waited + SIGNAL_SECONDS:
            time.sleep(SIGNAL_SECONDS)
            self.waited = time.monotonic()
        return self.interrupted

    def _ending(self, record: TrialRecord, message: Outcome | Failure) -> Ending:
        """What a job came to, as the store takes it."""
        reason = self.stopping.pop(record.number, "")
        if isinstance(message, Failure):
            if message.resumable and record.attempt <= RETRIES:
                return Ending("failed", reason=f"interrupted: {message.reason}", resumable=True)
            last = f", in attempt {record.attempt} of {record.attempt}" if message.resumable else ""
            return Ending("failed", reason=f"{message.reason}{last}", failure=message.kind)
        result, environment = message.result, message.environment
        if reason and result is not None and result.epochs < self.plan.epochs:
            scores = {name: score for name, score in message.measured.items() if name in NAMES}
            expected = self._expected(record)
            return Ending("stopped", scores, result, reason, environment, expected=expected)
        self._note_ignored([*message.ignored, *(repr(name) for name in message.measured if name in record.costs)])
        measured = {name: value for name, value in message.measured.items() if name not in record.costs}
        objectives = {**measured, **self._exact(record)}
        weights = message.weights if self.ledger.joins_frontier(objectives) else ""
        return Ending("complete", objectives, result, environment=environment, weights=weights)

    def _note_ignored(self, names: Sequence[str]) -> None:
        """Warns, once a run, of answers of ``evaluate`` that are not kept."""
        if names and not self.ignored:
            _log.warning(
                "not kept of what 'evaluate' answers beside the objectives: %s; expected finite numbers, by names that "
                "are no costs",
                ", ".join(names),
            )
            self.ignored = True

    def _expected(self, record: TrialRecord) -> dict[str, float]:
        """The objectives that a stopped trial would have come to; empty while that cannot be told."""
        learnt = self.curves.expected(record.number)
        return {**learnt, **self._exact(record)} if learnt else {}

    def _exact(self, record: TrialRecord) -> dict[str, float]:
        """The objectives that are costs."""
        return {name: record.costs[name] for name in self.plan.objectives if name in record.costs}

    def _learn(self) -> None:
        """Reads what changed in the store, and lets the sampler know."""
        changed = self.ledger.update()
        self.curves.learn(changed)
        self.plan.screen.learn(changed)
        strangers = [r.number for r in changed if r.number not in self.memory]
        notes = self.writer.sampler_notes(strangers) if strangers else {}
        for record in changed:
            if self.ledger.has_another_chance(record):
                continue
            self.untold.pop(record.number, None)
            self._teach(record, notes.get(record.number, {}))
        if any(record.state == "complete" for record in changed):
            for record in [record for record in self.untold.values() if self._expected(record)]:
                del self.untold[record.number]
                self._teach(record, {})

    def _teach(self, record: TrialRecord, noted: Mapping[str, Any]) -> None:
        """Lets the sampler know of a trial. To it a stopped one has come to what is expected of it; until that can
        be told it is one that runs."""
        if record.state == "stopped":
            expected = record.expected or self._expected(record)
            if not expected:
                self.untold[record.number] = record
            record = replace(record, state="complete" if expected else "running", objectives=expected)
        self.memory.learn(record, noted)

    def _last_reason(self) -> str:
        records = self.ledger.records.values()
        failed = [r for r in records if r.state == "failed" and r.same_as is None and not self.retries.is_earlier(r)]
        return max(failed, key=lambda record: record.finished or 0.0).reason

    def _tell(self, kind, trial: TrialRecord | None = None, epoch: Epoch | None = None, why: str = "") -> None:
        try:
            self.progress(Event(kind, self._status(), trial, epoch, why))
        except BaseException:
            self.crashed = False  # no trial is to blame for what the caller's function raises
            raise

    def _status(self) -> Status:
        done, target, median = self.ledger.done, self.budget.target, self.ledger.median_seconds()
        times = [self.budget.seconds_left()]
        if target is not None and median is not None:
            times.append(max(0, target - done) * median / self.plan.workers)
        return Status(
            study=self.writer.study.name,
            counts=self.ledger.counts(),
            target=target,
            seconds_left=min((seconds for seconds in times if seconds is not None), default=None),
            frontier=len(self.ledger.frontier),
            best=self.ledger.best(),
            objectives=self.plan.objectives,
        )
