"""Repeats: a search trains networks near its front again, to learn how certain the front is.

A repeat is stored as a confirmation: same table, same seeds, same test. So ``explorer confirm`` uses the repeats that
there are, and a search counts confirmed networks. Repeats are no trials: they are neither proposed, cached nor stopped
early, and no budget of trials counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from explorer.analysis.frontier_certainty import next_repeats
from explorer.analysis.noise import repeats_of
from explorer.records import ConfirmationRecord, TrialRecord
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.presence.processes import Role
from explorer.store.study import Study
from explorer.study.budget import Budget
from explorer.study.confirm.loop import ConfirmationLoop, Event
from explorer.study.plan import Plan
from explorer.study.presence.attend import attend
from explorer.study.seeds import seed_for
from explorer.study.workers.executor import Executor
from explorer.study.workers.jobs import Retraining, Training, Work

# Called when a repeat has ended, with the trial of its network, the repeat, and the number of complete repeats.
Report = Callable[[TrialRecord, ConfirmationRecord, int], None]


@dataclass
class Repeats:
    """Trains repeats in batches of one per worker, until the study has those that were asked for.

    Each batch depends on the repeats so far, so two processes that repeat at the same time choose the same batch, and
    the keys of its trainings prevent that one runs twice. A repeat that fails is not tried again in this run, and
    neither is its network.

    Attributes:
        plan: The search.
        study: The study.
        worker: The name of this worker.
        role: What this process does.
        budget: The budget of the search; no batch starts that would end too late.
        report: Called when a repeat has ended.
        done: Number of complete repeats that the study has, as far as this process knows.
        interrupted: Whether a signal ended the repeats.
        signal: Number of that signal, or 0.
        broken: Whether the database could not be written.
    """

    plan: Plan
    study: Study
    worker: str
    role: Role
    budget: Budget
    report: Report
    done: int = 0
    interrupted: bool = False
    signal: int = 0
    broken: bool = False
    _failed: set[str] = field(default_factory=set)  # digests of networks whose repeat failed in this run

    def run(self, median_seconds: float | None) -> str:
        """Train repeats; return why no more are trained.

        Args:
            median_seconds: Median time of a trial, or None.
        """
        wanted = self.plan.settings.repeats or 0
        while True:
            known = repeats_of(self.study.confirmations(), self.study.fingerprint.get("epochs"))
            self.done = sum(record.state == "complete" for record in known)
            if self.done >= wanted:
                return f"the study has its {wanted} repeat{'s' * (wanted > 1)}"
            left = self.budget.seconds_left()
            if left is not None and left <= (median_seconds or 0.0):
                return f"the time is over after {self.done} of {wanted} repeats"
            batch = self._next_batch(known, wanted - self.done)
            if not batch:
                return f"{self.done} of {wanted} repeats are done, and no network is left whose repeat did not fail"
            why = self._train(batch)
            if why and (self.done < wanted or self.interrupted or self.broken):
                return f"{why} after {self.done} of {wanted} repeats"

    def _next_batch(self, known: Iterable[ConfirmationRecord], number: int) -> dict[Wanted, TrialRecord]:
        """Return at most ``number`` repeats to train next, or in training elsewhere, and the trial of each."""
        known = list(known)
        x, y = self.study.plane
        networks = [
            each for each in self.study.trainings(x, y, mix_environments=True) if each.digest not in self._failed
        ]
        trials = {each.digest: each.trial for each in networks}
        running = [record for record in known if record.state == "running" and record.digest in trials]
        places = next_repeats(
            networks,
            y,
            max(0, min(number, self.plan.workers) - len(running)),
            Counter(record.digest for record in running),
        )
        taken = {(record.digest, record.seed) for record in known}
        batch = [Wanted.of(record) for record in running]
        for digest in (networks[place].digest for place in places):
            seeds = (seed_for("confirm", self.study.seed, place) for place in count())
            seed = next(seed for seed in seeds if (digest, seed) not in taken)
            batch.append(Wanted(digest, self.plan.epochs, seed))
        return {each: self.study.trial(trials[each.digest]) for each in batch}

    def _train(self, batch: Mapping[Wanted, TrialRecord]) -> str:
        """Train a batch; return why the repeats end, empty if they go on."""
        trials = {trial.digest: trial for trial in batch.values()}

        def report(event: Event) -> None:
            if event.kind == "ended" and event.training is not None:
                self.done += event.training.state == "complete"
                self.report(trials[event.training.digest], event.training, self.done)

        writer = ConfirmationWriter(self.study, self.worker)
        executor, workers = self._workplace(trials.values()), self.plan.workers
        is_tested = isinstance(self.plan.work, Training)
        loop = ConfirmationLoop(batch, writer, executor, workers, report, self.plan.trial_limits, is_tested)
        settings = self.plan.settings
        with attend(loop, self.role, device=settings.training.device, engine=settings.engine):
            ended = loop.run()
        self._failed |= {each.digest for each in loop.failures}
        self.interrupted, self.signal = loop.interrupted, loop.signal
        stopped = loop.stop.reason if loop.stop is not None else ""  # it may have come while the last one ended
        is_stopped = bool(stopped) and ended.startswith(stopped)
        self.broken = not loop.interrupted and not is_stopped and loop.done < len(batch)
        return ended if self.interrupted or self.broken else stopped

    def _workplace(self, trials: Iterable[TrialRecord]) -> Executor:
        """Return where a batch is trained: with the precision of each network's trial, and tested."""
        work: Work = self.plan.work
        if isinstance(work, Training):
            work = Retraining(work, {each.digest: each.result.precision for each in trials if each.result is not None})
        return self.plan.start_executor(work, job="repeat")
