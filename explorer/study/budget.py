"""The budget of a search: when to start no more trials, to stop waiting for running ones, and to give up."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field

from explorer.analysis.amounts import plural
from explorer.study.stopping.rules import Allowance

DEFAULT_TRIALS = 120  # most are stopped early: they cost about as much as 60 complete trials
DEFAULT_SECONDS = 150.0  # of a search on embedded data: three minutes including start and end
GRACE_SHARE = 0.2  # share of its time that a search waits for running trials after the time is over
GRACE_SECONDS = 10.0  # the least of this wait
LAST_SHARE = 1 / 3  # of the time of a search, in which a rule that pauses trials begins no new ones
FAILURE_WINDOW = 20  # a search gives up if more than half of the last trials failed (the rule of Ax)


@dataclass
class Budget:
    """The budget of a search. None means no limit.

    Attributes:
        target: Complete and stopped trials of the study.
        seconds: Time of this search.
        until_stable: Trials in a row that do not enlarge the hypervolume.
        began: Start of the search by the monotonic clock.
        reserved: Usual times of a trial that are kept free at the end, for repeats.
        failed: Whether each of the last trials failed.
        is_hopeless: Whether a trial failed for a reason that other trials share, and none has succeeded.
    """

    target: int | None
    seconds: float | None
    until_stable: int | None = None
    began: float = field(default_factory=time.monotonic)
    reserved: int = 0
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=FAILURE_WINDOW))
    is_hopeless: bool = False

    def spent(self, done: int, in_flight: int, median_seconds: float | None, unchanged: int = 0) -> str:
        """Return the reason to start no trial now, or an empty text.

        Args:
            done: Complete and stopped trials of the study.
            in_flight: Running trials.
            median_seconds: Median time of a trial; a trial that would end too late is not started.
            unchanged: Trials since the last one that enlarged the hypervolume.
        """
        if self.target is not None and done >= self.target:
            return f"the study has its {plural(self.target, 'trial')}"
        if self.until_stable is not None and unchanged >= self.until_stable:
            return f"the hypervolume has not changed for {plural(unchanged, 'trial')}"
        if self.is_time_used(median_seconds):
            return f"the time of {self.seconds:g} s is used"
        if self.target is not None and done + in_flight >= self.target:
            return "the study's last trials are running"
        return ""

    def is_time_used(self, median_seconds: float | None) -> bool:
        """Return whether a trial of the median time would end too late."""
        left = self.seconds_left()
        return left is not None and left <= (1 + self.reserved) * (median_seconds or 0.0)

    def allowance(self, begun: int, unchanged: int, is_exhausted: bool) -> Allowance:
        """Return what a rule that pauses trials may train.

        Args:
            begun: Complete, stopped and running trials of the study.
            unchanged: As of ``spent``.
            is_exhausted: Whether no network is left to begin.
        """
        target, left = self.target, self.seconds_left()
        is_last = is_exhausted or (self.until_stable is not None and unchanged >= self.until_stable)
        trials: float = begun if target is None or is_last else max(target, begun)
        new = math.inf if target is None else trials - begun
        if self.seconds is None or left is None:
            return Allowance(0.0 if is_last else new, trials)
        is_last |= left <= LAST_SHARE * self.seconds
        return Allowance(0.0 if is_last else new, math.inf if target is None else trials)

    def seconds_left(self) -> float | None:
        """Return the time left, or None without a limit."""
        return None if self.seconds is None else max(0.0, self.began + self.seconds - time.monotonic())

    def overdue(self) -> bool:
        """Whether the time for running trials after the end of the budget is over."""
        if self.seconds is None:
            return False
        return time.monotonic() > self.began + self.seconds + max(GRACE_SECONDS, GRACE_SHARE * self.seconds)

    def note(self, failed: bool) -> None:
        """Record whether a trial failed."""
        self.failed.append(failed)

    def has_failed(self) -> bool:
        """Whether to give up: more than half of the last ``FAILURE_WINDOW`` trials failed, or all others would fail."""
        return self.is_hopeless or sum(self.failed) > FAILURE_WINDOW / 2
