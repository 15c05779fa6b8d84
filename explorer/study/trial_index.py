"""The trials of a study in this process, without curves and architectures, updated from the store."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Mapping, Sequence

from explorer.analysis.limits import Limit
from explorer.analysis.pareto import non_dominated
from explorer.records import STATES, TrialRecord
from explorer.store.study import Study
from explorer.study.budget import Budget
from explorer.study.candidates import limit_violation
from explorer.study.events import Status
from explorer.study.plan import Plan

_EFFECTIVE = ("complete", "stopped")


class TrialIndex:
    """All trials of a study by number.

    Args:
        study: The study.
        limits: The limits of the search.

    Attributes:
        records: Trials by number.
        digests: Networks that are not proposed again.
        frontier: Complete trials on the Pareto front, by number.
        unchanged: Complete and stopped trials since the last one that enlarged the hypervolume, without counterparts,
            which no sampler proposed.
    """

    def __init__(self, study: Study, limits: Sequence[Limit] = ()):
        self._study = study
        self._limits = limits
        self._revision = 0
        self.records: dict[int, TrialRecord] = {}
        self.digests: set[str] = set()
        self.frontier: list[TrialRecord] = []
        self.unchanged = 0

    def update(self) -> list[TrialRecord]:
        """Read the trials that changed since the last call; return them in order of their numbers."""
        changed = self._study.trials(self._revision, full=False)
        for record in changed:
            self.records[record.number] = record
            if not self.can_be_proposed_again(record):
                self.digests.add(record.digest)
            self._revision = max(self._revision, record.revision)
        for record in sorted(changed, key=lambda record: record.revision):  # in the order in which they ended
            if record.state in _EFFECTIVE:
                grows = record.state == "complete" and self.joins_frontier(record.quantities)
                self.unchanged = 0 if grows else self.unchanged + (not record.counterpart)
                if grows:
                    self._extend_frontier(record)
        return changed

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
        return sum(record.state in _EFFECTIVE for record in self.records.values())

    @property
    def in_flight(self) -> int:
        """Running trials on all machines, except those that wait for another trial of the same network."""
        return sum(record.state == "running" and record.same_as is None for record in self.records.values())

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
        return any(record.state == "interrupted" for record in self.among(numbers))

    def counts(self, numbers: Collection[int] | None = None) -> dict[str, int]:
        """Return the number of trials by state, of all or of those with these numbers."""
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        for record in self.among(numbers):
            counts[record.state] += 1
        return counts

    def median_seconds(self) -> float | None:
        """The median time of a trial, None before the first has ended."""
        times = [
            record.seconds
            for record in self.records.values()
            if record.state in _EFFECTIVE and record.seconds is not None
        ]
        return statistics.median(times) if times else None

    def joins_frontier(self, objectives: Mapping[str, float]) -> bool:
        """Return whether a trial with these values would be on the current Pareto front."""
        point = self._point(objectives)
        return not any(all(a <= b for a, b in zip(self._point(record.quantities), point)) for record in self.frontier)

    def best(self) -> TrialRecord | None:
        """Return the best complete trial by the first objective."""
        return min(self.frontier, key=lambda record: self._point(record.quantities)[0], default=None)

    def _extend_frontier(self, record: TrialRecord) -> None:
        """Add a complete trial; complete trials do not change, so a dominated one stays dominated."""
        rivals = sorted([*self.frontier, record], key=lambda record: record.number)
        self.frontier = [
            rivals[place] for place in non_dominated([self._point(record.quantities) for record in rivals])
        ]

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
    if target is not None and median is not None:
        times.append(max(0, target - done) * median / plan.workers)
    return Status(
        study=study,
        counts=counts,
        target=target,
        seconds_left=min((seconds for seconds in times if seconds is not None), default=None),
        frontier=len(trial_index.frontier),
        best=trial_index.best(),
        objectives=plan.objectives,
        seconds=time.monotonic() - budget.began,
        limit_seconds=budget.seconds,
    )
