"""The trials of a study in this process, without curves and architectures, updated from the store.

An update takes time for the trials that changed, not for all, so that a study can have many trials.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from explorer.analysis.estimates import with_estimates
from explorer.analysis.limits import Limit
from explorer.analysis.pareto import non_dominated
from explorer.records import STATES, ConfirmationRecord, TrialRecord
from explorer.store.study import Study
from explorer.study.budget import Budget
from explorer.study.candidates import limit_violation
from explorer.study.events import Status
from explorer.study.plan import Plan
from explorer.study.stopping.rules import RULES, FreezeThaw

_EFFECTIVE = ("complete", "stopped")


class TrialIndex:
    """All trials of a study by number.

    Args:
        study: The study.
        limits: The limits of the search.

    Attributes:
        records: Trials by number.
        digests: Networks that are not proposed again.
        frontier: Complete trials on the Pareto front of what the search measured, by number.
        unchanged: Complete and stopped trials since the last one that enlarged the hypervolume, without counterparts,
            which no sampler proposed.
    """

    def __init__(self, study: Study, limits: Sequence[Limit] = ()):
        self._study = study
        self._limits = limits
        self._revision = 0
        self._counts: Counter[str] = Counter()
        self._in_flight = 0
        self._interrupted: set[int] = set()
        self._times: list[float] = []  # of complete and stopped trials, in ascending order
        self.records: dict[int, TrialRecord] = {}
        self.digests: set[str] = set()
        self.frontier: list[TrialRecord] = []
        self._points: list[list[float]] = []  # of the frontier, by objectives that are all minimised
        self.unchanged = 0
        self._ended: set[int] = set()  # trials that are or were complete or stopped
        self._fresh: dict[tuple[str, int, int], ConfirmationRecord] = {}  # trainings from fresh seeds
        self._fresh_revision = 0
        self._estimated: list[TrialRecord] | None = None  # the front of the best estimates, once it was asked for

    def update(self) -> list[TrialRecord]:
        """Read the trials that changed since the last call; return them in order of their numbers."""
        changed = self._study.trials(self._revision, full=False)
        for record in changed:
            if (before := self.records.get(record.number)) is not None:
                self._count(before, -1)
            self._count(record, 1)
            self.records[record.number] = record
            if not self.can_be_proposed_again(record):
                self.digests.add(record.digest)
            self._revision = max(self._revision, record.revision)
        for record in sorted(changed, key=lambda record: record.revision):  # in the order in which they ended
            if record.state in _EFFECTIVE:
                grows = record.state == "complete" and self.joins_frontier(record.quantities)
                is_new = record.number not in self._ended and not record.counterpart  # a stopped one may end again
                self.unchanged = 0 if grows else self.unchanged + is_new
                self._ended.add(record.number)
                if grows:
                    self._extend_frontier(record)
        if changed:
            self.read_fresh_seeds()
        return changed

    def read_fresh_seeds(self) -> None:
        """Read the trainings from fresh seeds that changed since the last call, on which the best estimates depend."""
        for record in self._study.confirmations(self._fresh_revision):
            self._fresh[record.digest, record.seed, record.epochs] = record
            self._fresh_revision = max(self._fresh_revision, record.revision)
        self._estimated = None

    def _count(self, record: TrialRecord, by: int) -> None:
        """Add a trial to the counts, or take its earlier state out of them."""
        self._counts[record.state] += by
        self._in_flight += by * (record.state == "running" and record.same_as is None)
        if record.state == "interrupted":
            (self._interrupted.add if by > 0 else self._interrupted.discard)(record.number)
        if record.state in _EFFECTIVE and record.seconds is not None:
            if by > 0:
                insort(self._times, record.seconds)
            else:
                del self._times[bisect_left(self._times, record.seconds)]

    @property
    def revision(self) -> int:
        """The revision of the study up to which the trials were read."""
        return self._revision

    def can_be_proposed_again(self, record: TrialRecord) -> bool:
        """Return whether the trial was rejected by limits that were stricter than the current ones."""
        known = [limit for limit in self._limits if limit.cost in record.costs]
        return record.state == "rejected" and limit_violation(record.costs, known) is None

    @property
    def next_number(self) -> int:
        return len(self.records)

    @property
    def done(self) -> int:
        """Complete and stopped trials: the trials that a budget counts."""
        return self._counts["complete"] + self._counts["stopped"]

    @property
    def in_flight(self) -> int:
        """Running trials on all machines, except those that wait for another trial of the same network."""
        return self._in_flight

    @property
    def repeats(self) -> int:
        """The number of proposals in a row, up to the last, without a network to train."""
        count = 0
        for number in range(self.next_number - 1, -1, -1):
            record = self.records[number]
            if record.state != "rejected" and record.same_as is None:
                break
            count += 1
        return count

    def among(self, numbers: Collection[int] | None) -> list[TrialRecord]:
        """Return the trials with these numbers; all if it is None."""
        return list(self.records.values()) if numbers is None else [self.records[number] for number in numbers]

    def has_interrupted(self, numbers: Collection[int] | None) -> bool:
        """Return whether a trial is interrupted, of all or of those with these numbers."""
        return bool(self._interrupted if numbers is None else self._interrupted.intersection(numbers))

    def counts(self, numbers: Collection[int] | None = None) -> dict[str, int]:
        """Return the number of trials by state, of all or of those with these numbers."""
        found = self._counts if numbers is None else Counter(record.state for record in self.among(numbers))
        return {state: found[state] for state in STATES}

    def median_seconds(self) -> float | None:
        """The median time of a trial, None before the first has ended."""
        times, half = self._times, len(self._times) // 2
        return (times[half] + times[~half]) / 2 if times else None

    def joins_frontier(self, objectives: Mapping[str, float]) -> bool:
        """Return whether a trial with these values would be on the current Pareto front."""
        point = self._point(objectives)
        if len(point) == 2:  # most studies; the general case takes several times as long
            x, y = point
            return not any(a <= x and b <= y for a, b in self._points)
        return not any(all(a <= b for a, b in zip(other, point)) for other in self._points)

    def estimated_frontier(self) -> list[TrialRecord]:
        """Return the complete trials on the front of the best estimates, which they have as their objectives."""
        if self._estimated is None:
            found = self.frontier
            if self._fresh:
                complete = [record for record in self.records.values() if record.state == "complete"]
                epochs = self._study.fingerprint.get("epochs")
                complete = with_estimates(complete, self._fresh.values(), self._study.objectives, epochs)
                found = [
                    complete[place] for place in non_dominated([self._point(each.quantities) for each in complete])
                ]
            self._estimated = found
        return self._estimated

    def best(self) -> TrialRecord | None:
        """Return the best complete trial by the best estimate of the first objective."""
        return min(self.estimated_frontier(), key=lambda record: self._point(record.quantities)[0], default=None)

    def _extend_frontier(self, record: TrialRecord) -> None:
        """Add a complete trial; complete trials do not change, so a dominated one stays dominated."""
        rivals = sorted([*self.frontier, record], key=lambda record: record.number)
        points = [self._point(record.quantities) for record in rivals]
        places = non_dominated(points)
        self.frontier, self._points = [rivals[place] for place in places], [points[place] for place in places]

    def _point(self, values: Mapping[str, float]) -> list[float]:
        """Return the objectives, all minimised."""
        return [
            -values[name] if direction == "max" else values[name] for name, direction in self._study.objectives.items()
        ]


def status_of(
    trial_index: TrialIndex, plan: Plan, budget: Budget, study: str, only: Collection[int] | None = None
) -> Status:
    """Return the state of a search.

    Args:
        trial_index: The trials of its study.
        plan: The search.
        budget: Its budget.
        study: The name of its study.
        only: The numbers of the only trials that it runs; None: no such restriction.
    """
    counts, median = trial_index.counts(only), trial_index.median_seconds()
    done = counts["complete"] + counts["stopped"]
    target = budget.target if only is None else len(only)
    times = [budget.seconds_left()]
    pauses = isinstance(RULES.get(plan.stopping), FreezeThaw)  # its trials take one epoch, and then some go on
    if target is not None and median is not None and not pauses:
        times.append(max(0, target - done) * median / plan.workers)
    return Status(
        study=study,
        counts=counts,
        target=target,
        seconds_left=min((seconds for seconds in times if seconds is not None), default=None),
        frontier=len(trial_index.estimated_frontier()),
        best=trial_index.best(),
        objectives=plan.objectives,
        seconds=time.monotonic() - budget.began,
        limit_seconds=budget.seconds,
    )
