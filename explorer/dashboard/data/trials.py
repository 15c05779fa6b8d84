"""Tables of trials: points of a frontier, lists of trials, and trials at an earlier epoch of their training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeGuard

import numpy as np
import pandas

from explorer.analysis.estimates import Estimate
from explorer.analysis.pareto_pairs import non_dominated_pairs
from explorer.analysis.quantities import TRAINED, is_maximised, names
from explorer.dashboard.data.columns import TrialTable, table_of_records
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.text import safe_text
from explorer.records import Curve, TrialRecord

LEVELS = 10  # most frequent levels of a choice that are shown by name
OTHERS = "others"
NOT_ASKED = "not asked"
DRAWN = 2_000  # most points that a figure draws one by one
NEAR = 200  # of more points, those next to the frontier that are drawn besides it
SPENT = names("spent")  # costs that are known only for a trained network
SHARES = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}

Progress = float | int | None  # of a training: a share of its epochs, an epoch counted from 1, or None for its end


def as_table(trials: TrialTable | Iterable[TrialRecord]) -> TrialTable:
    """Return trials as a table."""
    return trials if isinstance(trials, TrialTable) else table_of_records(trials)


def quantities(
    trials: TrialTable | Iterable[TrialRecord], objectives: Mapping[str, str], plane: tuple[str, str]
) -> tuple[list[str], list[str]]:
    """Return the names of the quantities for the y axis and for the x axis.

    The y list has all maximised quantities and the study's y; the x list has the rest. Each starts with the study's own
    axis and objectives.

    Args:
        trials: The trials; quantities of complete ones are listed.
        objectives: Objective -> "max" or "min".
        plane: The study's own (x, y).
    """
    x, y = plane
    table = as_table(trials)
    done = table.complete
    costs, measured = (
        [name for name, values in group.items() if not np.isnan(values[done]).all()]
        for group in (table.costs, table.objectives)
    )
    known = [name for name in (y, x, *objectives, *costs, *measured) if name in measured or name in costs]
    ups = [name for name in known if name == y or is_maximised(name, objectives)]
    downs = [name for name in known if name not in ups]
    return list(dict.fromkeys(ups)), list(dict.fromkeys(downs))


def choice_points(trials: TrialTable | Iterable[TrialRecord]) -> list[str]:
    """Return the choice points with at least two different answers, in the order in which they were asked."""
    return [name for name, texts in as_table(trials).levels.items() if len(texts) > 1]


def frontier_points(
    trials: TrialTable | Iterable[TrialRecord],
    x: str,
    y: str,
    objectives: Mapping[str, str],
    colour: str | None = None,
    drawn: int = DRAWN,
) -> pandas.DataFrame:
    """Return one row per complete trial with finite ``x`` and ``y``, by ascending ``x``.

    A cached trial has the network of another trial and is left out.

    Args:
        trials: The trials.
        x: Name of the quantity on the x axis.
        y: Name of the quantity on the y axis.
        objectives: Objective -> "max" or "min".
        colour: The choice point whose answers are the levels; None for one level.
        drawn: Of more trials, only the frontier and ``NEAR`` trials next to it have their choices in the table; a
            figure draws the others as a density.

    Returns:
        A table with the columns trial, x, y, frontier (not dominated), level (rare ones are ``OTHERS``) and choices
        (choice point -> answer; None for a trial that is not drawn by itself).
    """
    whole = as_table(trials)
    table = whole.select(whole.complete & ~np.isnan(whole.value(x)) & ~np.isnan(whole.value(y)))
    values = table.value(x), table.value(y)
    level = np.full(len(table), "", object) if colour is None else table.level(colour, NOT_ASKED)
    names, counts = np.unique(level.astype(str), return_counts=True)
    common = set(names[np.argsort(-counts, kind="stable")][:LEVELS])
    minimised = [-each if is_maximised(name, objectives) else each for name, each in zip((x, y), values)]
    frontier = non_dominated_pairs(*minimised)
    shown = np.arange(len(table)) if len(table) <= drawn else _near(frontier, *minimised)
    choices = np.full(len(table), None, object)
    for place, own in zip(shown, table.choices(shown)):
        choices[place] = own
    columns = {
        "trial": table.number,
        "x": values[0],
        "y": values[1],
        "frontier": frontier,
        "level": level if len(names) <= LEVELS else [each if each in common else OTHERS for each in level],
        "choices": choices,
    }
    return pandas.DataFrame(columns).sort_values(["x", "trial"], ignore_index=True)


def _near(frontier: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the places of the frontier and of the ``NEAR`` points that lose least to the frontier at their cost."""
    front = np.flatnonzero(frontier)
    front = front[np.argsort(x[front], kind="stable")]
    best = y[front][np.maximum(np.searchsorted(x[front], x, side="right") - 1, 0)]
    loss = np.where(frontier, -np.inf, y - best)
    kept = min(len(front) + NEAR, len(x)) - 1
    return np.sort(np.argpartition(loss, kept)[: kept + 1])


def seed_points(table: TrialTable, estimates: Mapping[int, Estimate], x: str) -> pandas.DataFrame:
    """Return one row per complete trial whose network was trained again from fresh seeds.

    Args:
        table: The trials.
        estimates: Trial number -> best estimate of the quantity on the y axis.
        x: Name of the quantity on the x axis.

    Returns:
        A table with the columns trial, x, y (mean over fresh seeds), half (half the width of its 95% interval; NaN if
        unknown), and text (y with its interval and its source).
    """
    costs, rows = table.value(x), []
    for number, estimate in sorted(estimates.items()):
        place = table.place(number)
        if estimate.seeds and place is not None and not np.isnan(costs[place]):
            half = math.nan if estimate.ci95 is None else estimate.ci95
            rows.append((number, costs[place], estimate.value, half, str(estimate)))
    columns = ["trial", "x", "y", "half", "text"]
    return pandas.DataFrame(rows, columns=columns).astype({"x": float, "y": float, "half": float})


def best_trial(trials: TrialTable | Iterable[TrialRecord], name: str, objectives: Mapping[str, str]) -> int | None:
    """Return the number of the complete trial with the best value of a quantity, the first of equals; None if none."""
    table = as_table(trials)
    values = table.value(name) * (-1 if is_maximised(name, objectives) else 1)
    values = np.where(table.complete, values, np.nan)
    return None if np.isnan(values).all() else int(table.number[np.nanargmin(values)])


def trial_rows(
    records: Iterable[TrialRecord],
    objectives: Mapping[str, str],
    probabilities: Mapping[int, float] = MappingProxyType({}),
    estimates: Mapping[int, Estimate] = MappingProxyType({}),
) -> pandas.DataFrame:
    """Return one row per trial for display: number, state, objectives, choices, other quantities, seconds, reason.

    Quantities are in their units. Text is safe for a cell that may be downloaded as CSV. If two headings are equal, the
    later one gets a prime.

    Args:
        records: The trials.
        objectives: Objective -> "max" or "min".
        probabilities: Trial number -> probability to stay on the frontier, shown in percent as the column "stays";
            without any there is no such column.
        estimates: Trial number -> the best estimate that the trial's objective is; its fresh seeds are a column if any
            estimate has some.
    """
    records = list(records)
    columns: dict[str, list[object]] = {
        "trial": [record.number for record in records],
        "state": [safe_text(record.state, "cell") for record in records],
    }

    def add(heading: str, values: list[object]) -> None:
        while heading in columns:
            heading += "′"
        columns[heading] = values

    def add_quantity(name: str) -> None:
        column = [float(value) if _is_finite(value := row.get(name)) else math.nan for row in values]
        unit = unit_of(name, [value for value in column if not math.isnan(value)])
        add(unit.label, [value / unit.divisor for value in column])

    values = [record.quantities for record in records]
    for name in objectives:
        add_quantity(name)
    if probabilities:
        add("stays (%)", [round(100 * probabilities.get(record.number, math.nan), 1) for record in records])
    if any(estimate.seeds for estimate in estimates.values()):
        add("fresh seeds", [estimates[r.number].seeds if r.number in estimates else 0 for r in records])
    for name in dict.fromkeys(name for record in records for name in record.choices):
        answers = [record.choices.get(name) for record in records]
        add(safe_text(name, length=60), ["" if answer is None else safe_text(answer, "cell") for answer in answers])
    for name in dict.fromkeys(name for row in values for name in row if name not in objectives):
        add_quantity(name)
    add("seconds", [record.seconds for record in records])
    add("same as trial", [record.same_as for record in records])
    add("reason", [safe_text(record.reason, "cell", length=500) for record in records])
    return pandas.DataFrame(columns).astype({"seconds": "Float64", "same as trial": "Int64"})


def progress_options(epochs: int) -> list[Progress]:
    """Return the moments of a training that can be shown: its end, three shares, and each epoch but the last."""
    return [None, *SHARES, *range(1, epochs)]


def progress_label(progress: Progress) -> str:
    """Return a moment of a training as text."""
    if progress is None:
        return "the end"
    return SHARES[progress] if isinstance(progress, float) else f"epoch {progress}"


def trials_at(
    records: Iterable[TrialRecord], curves: Mapping[int, Curve], progress: Progress, epochs: int
) -> list[TrialRecord]:
    """Return the trials as they were at a moment of their training.

    Accuracy and loss are those of that epoch; the costs include the epochs and the seconds of training steps until
    then. A training that was stopped after that moment counts as complete.

    Args:
        records: The trials. Those that did not reach the moment are left out.
        curves: Trial number -> its training curve.
        progress: The moment.
        epochs: Length of a whole training.
    """
    until = math.ceil(progress * epochs) if isinstance(progress, float) else progress
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


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)
