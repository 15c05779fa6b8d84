"""Trainings at a stage of theirs, and what they had spent by then. Pure functions of records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from explorer.quantities import TRAINED, names
from explorer.records import Curve, TrialRecord

SPENT = names("spent")  # costs that only a training tells
SHARES = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}

Stage = float | int | None  # a share of the training, an epoch from 1, or its end


def stages(epochs: int) -> list[Stage]:
    """The stages of a training of so many epochs, its end first."""
    return [None, *SHARES, *range(1, epochs)]


def stage_name(stage: Stage) -> str:
    """A stage as people read it."""
    return "the end" if stage is None else SHARES[stage] if isinstance(stage, float) else f"epoch {stage}"


def at_stage(
    records: Iterable[TrialRecord], curves: Mapping[int, Curve], stage: Stage, epochs: int
) -> list[TrialRecord]:
    """The trials whose training came to the stage, with accuracy and loss as they were then, and among the costs the
    epochs and seconds of training steps spent until then. ``curves``: trial -> its course; ``epochs``: of a whole one.

    Before its end a training that was stopped later is as good as one that was not, and counts as complete.
    """
    until = math.ceil(stage * epochs) if isinstance(stage, float) else stage
    reached = []
    for record in records:
        curve = curves.get(record.number)
        if curve is None or (record.state != "complete" and until is None) or len(curve.epochs) < (until or 1):
            continue
        last = -1 if until is None else until - 1
        spent = dict(zip(SPENT, (curve.epochs[last], curve.seconds[last])))
        then = {} if until is None else {name: getattr(curve, field)[last] for name, field in TRAINED.items()}
        costs, objectives = {**record.costs, **spent}, {**record.objectives, **then}
        reached.append(replace(record, state="complete", costs=costs, objectives=objectives))
    return reached
