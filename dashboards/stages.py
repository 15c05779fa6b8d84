"""Trainings at a stage of theirs, and what they had spent by then. Pure functions of records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from explorer.records import TrainingResult, TrialRecord

SPENT = ("epochs_spent", "training_seconds")  # costs that only a training tells
SHARES = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}
CURVES = {"accuracy": "val_accuracy", "top5": "val_top5", "loss": "val_loss"}

Stage = float | int | None  # a share of the training, an epoch from 1, or its end


class Curve(NamedTuple):
    """A training's course in little room: for each epoch the values of CURVES on the validation split, the epoch's
    number from 1, and the seconds of training steps (validation left out) until its end."""

    accuracy: tuple[float, ...]
    top5: tuple[float, ...]
    loss: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]


def curve_of(result: TrainingResult) -> Curve:
    """The course of a training."""
    values = [tuple(getattr(epoch, field) for epoch in result.curve) for field in CURVES.values()]
    seconds = tuple(itertools.accumulate(epoch.seconds for epoch in result.curve))
    return Curve(*values, tuple(epoch.epoch for epoch in result.curve), seconds)


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
        then = {} if until is None else {name: getattr(curve, name)[last] for name in CURVES}
        costs, objectives = {**record.costs, **spent}, {**record.objectives, **then}
        reached.append(replace(record, state="complete", costs=costs, objectives=objectives))
    return reached
