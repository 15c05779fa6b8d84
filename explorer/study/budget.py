"""When a search begins no further trial, when it waits no longer for those that run, and when it gives up."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

DEFAULT_TRIALS = 120  # most of which are ended early: about as much training as half of them whole
DEFAULT_SECONDS = 150.0  # of a search on embedded data: with all around it, three minutes
GRACE_SHARE, GRACE_SECONDS = 0.2, 10.0  # of its time, but at least so long, a search waits for running trials beyond it
WATCHED = 20  # the last trials of which more than half failing ends the search (Ax's rule)


@dataclass
class Budget:
    """``target``: complete and stopped trials of the study; ``seconds``: of this search; ``until_stable``: trials
    in a row that bring nothing new. None is no bound."""

    target: int | None
    seconds: float | None
    until_stable: int | None = None
    began: float = field(default_factory=time.monotonic)
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=WATCHED))

    def spent(self, done: int, in_flight: int, median_seconds: float | None, unchanged: int = 0) -> str:
        """Why no trial is begun now, or an empty text. One that would end too late is not begun.

        ``unchanged``: trials since the last that enlarged the frontier.
        """
        if self.target is not None and done >= self.target:
            return f"the study has its {self.target} trials"
        if self.until_stable is not None and unchanged >= self.until_stable:
            return f"the hypervolume has not changed for {unchanged} trials"
        left = self.seconds_left()
        if left is not None and left <= (median_seconds or 0.0):
            return f"the time of {self.seconds:g} s is used"
        if self.target is not None and done + in_flight >= self.target:
            return "the study's last trials are running"
        return ""

    def seconds_left(self) -> float | None:
        return None if self.seconds is None else max(0.0, self.began + self.seconds - time.monotonic())

    def overdue(self) -> bool:
        """True when even the running trials have had their time."""
        if self.seconds is None:
            return False
        return time.monotonic() > self.began + self.seconds + max(GRACE_SECONDS, GRACE_SHARE * self.seconds)

    def note(self, failed: bool) -> None:
        self.failed.append(failed)

    def hopeless(self) -> bool:
        return sum(self.failed) > WATCHED / 2
