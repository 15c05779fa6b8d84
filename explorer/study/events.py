"""What a running search tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from explorer.records import Epoch, TrialRecord


@dataclass(frozen=True, slots=True)
class Status:
    """Where the search stands. ``target``: complete and stopped trials wanted, or None; ``seconds_left``: until
    the end as far as it can be told; ``frontier``: trials on it; ``best``: by the first objective."""

    study: str
    counts: Mapping[str, int]
    target: int | None
    seconds_left: float | None
    frontier: int
    best: TrialRecord | None
    objectives: Mapping[str, str]

    @property
    def done(self) -> int:
        return self.counts["complete"] + self.counts["stopped"]


@dataclass(frozen=True, slots=True)
class Event:
    """``begun``: the search; ``started``, ``epoch``, ``ended``: one ``trial``; ``finished``: the search, ``why``."""

    kind: Literal["begun", "started", "epoch", "ended", "finished"]
    status: Status
    trial: TrialRecord | None = None
    epoch: Epoch | None = None
    why: str = ""


Progress = Callable[[Event], None]
