"""Events that a running search reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from explorer.records import ConfirmationRecord, Epoch, TrialRecord

EventKind = Literal["begun", "started", "epoch", "ended", "repeated", "finished"]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a search.

    Attributes:
        study: Name of the study.
        counts: Number of trials by state.
        target: Complete and stopped trials wanted, or None.
        seconds_left: Estimated time to the end, or None.
        frontier: Number of trials on the Pareto front of the best estimates (``Study.frontier``).
        best: Best trial by the first objective, with the best estimates as its objectives.
        objectives: Name to "max" or "min".
        repeats: Complete repeats, and how many are wanted.
        seconds: Time that this search has taken.
        limit_seconds: Time that it may take, or None.
    """

    study: str
    counts: Mapping[str, int]
    target: int | None
    seconds_left: float | None
    frontier: int
    best: TrialRecord | None
    objectives: Mapping[str, str]
    repeats: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    limit_seconds: float | None = None

    @property
    def done(self) -> int:
        return self.counts["complete"] + self.counts["stopped"]

    @property
    def share(self) -> float | None:
        """The share of the search that is done, 0 to 1, of its trials or its time, whichever ends first; None without
        a limit."""
        shares = [self.done / self.target] if self.target else []
        shares += [self.seconds / self.limit_seconds] if self.limit_seconds else []
        return min(1.0, max(shares)) if shares else None


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        kind: "begun" and "finished" concern the search, the others one trial; "repeated": a repeat has ended.
        status: State of the search after the event.
        trial: The trial, for "started", "epoch" and "ended"; for "repeated" the trial of the same network.
        epoch: The epoch, for "epoch".
        why: Why the search ended, for "finished".
        repeat: The repeat, for "repeated".
    """

    kind: EventKind
    status: Status
    trial: TrialRecord | None = None
    epoch: Epoch | None = None
    why: str = ""
    repeat: ConfirmationRecord | None = None


Progress = Callable[[Event], object]
