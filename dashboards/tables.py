"""Records to the rows that figures draw and pages list. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import pandas

from dashboards.quantities import unit_of
from dashboards.text import safe_text
from explorer.frontier import non_dominated
from explorer.noise import pooled_std
from explorer.quantities import TRAINED, is_maximised
from explorer.records import STATES, ConfirmationRecord, TrialRecord

LEVELS = 10
OTHERS = "others"
NOT_ASKED = "not asked"


def quantities(
    records: Iterable[TrialRecord], objectives: Mapping[str, str], plane: tuple[str, str]
) -> tuple[list[str], list[str]]:
    """(what was measured, what it costs): those of ``plane`` first, then the study's objectives, then all that a
    complete trial has. The first list holds what is maximised, and ``y`` of ``plane`` if that is minimised."""
    x, y = plane
    complete = [record for record in records if record.state == "complete"]
    measured = dict.fromkeys(name for record in complete for name in record.objectives)
    costs = dict.fromkeys(name for record in complete for name in record.costs)
    known = [name for name in (y, x, *objectives, *costs, *measured) if name in measured or name in costs]
    ups = [name for name in known if name == y or is_maximised(name, objectives)]
    downs = [name for name in known if name not in ups]
    return list(dict.fromkeys(ups)), list(dict.fromkeys(downs))


def choice_points(records: Iterable[TrialRecord]) -> list[str]:
    """The choice points that were answered in more than one way, in the order asked."""
    answers: dict[str, set[str]] = {}
    for record in records:
        for name, text in record.choices.items():
            answers.setdefault(name, set()).add(text)
    return [name for name, texts in answers.items() if len(texts) > 1]


def frontier_points(
    records: Iterable[TrialRecord], x: str, y: str, objectives: Mapping[str, str], colour: str | None = None
) -> pandas.DataFrame:
    """One row a complete trial that has both quantities as finite numbers, by ascending ``x``.

    Columns: trial, x, y, frontier (no other beats it in both), level (its answer to the choice point
    ``colour``), choices (a mapping). Cached trials hold the network of another and are left out.
    """
    rows = []
    for record in records:
        values = record.quantities
        if record.state == "complete" and _is_finite(values.get(x)) and _is_finite(values.get(y)):
            level = "" if colour is None else record.choices.get(colour, NOT_ASKED)
            rows.append((record.number, values[x], values[y], level, record.choices))
    signs = [-1 if is_maximised(name, objectives) else 1 for name in (x, y)]
    front = set(non_dominated([(signs[0] * row[1], signs[1] * row[2]) for row in rows]))
    common = {level for level, _ in Counter(row[3] for row in rows).most_common(LEVELS)}
    table = pandas.DataFrame(
        {
            "trial": [row[0] for row in rows],
            "x": [row[1] for row in rows],
            "y": [row[2] for row in rows],
            "frontier": [place in front for place in range(len(rows))],
            "level": [row[3] if row[3] in common else OTHERS for row in rows],
            "choices": [row[4] for row in rows],
        }
    )
    return table.astype({"x": float, "y": float, "frontier": bool}).sort_values(["x", "trial"], ignore_index=True)


def seed_points(
    confirmations: Iterable[ConfirmationRecord], records: Iterable[TrialRecord], x: str, y: str, epochs: int | None
) -> pandas.DataFrame:
    """One row a network that was trained from fresh seeds as long as a trial: trial, x, y (mean of its validation
    values), spread (standard deviation of one training, of this network or, where it has one seed, of all), seeds.

    Empty for a ``y`` that trainings do not measure.
    """
    values: dict[str, list[float]] = {}
    for record in confirmations:
        if record.result is not None and record.epochs == epochs and y in TRAINED:
            values.setdefault(record.digest, []).append(getattr(record.result, TRAINED[y]))
    pooled = pooled_std(values.values())
    rows = []
    for record in records:
        own, cost = values.get(record.digest), record.value(x)
        if own and record.state == "complete" and _is_finite(cost):
            spread = pooled if len(own) == 1 else pooled_std([own])
            rows.append((record.number, cost, math.fsum(own) / len(own), spread or 0.0, len(own)))
    table = pandas.DataFrame(rows, columns=["trial", "x", "y", "spread", "seeds"])
    return table.astype({"x": float, "y": float, "spread": float})


def state_counts(records: Iterable[TrialRecord]) -> dict[str, int]:
    """How many trials are in each state, states without any left out."""
    counts = Counter(record.state for record in records)
    return {state: counts[state] for state in STATES if counts[state]}


def best_trial(records: Iterable[TrialRecord], name: str, objectives: Mapping[str, str]) -> TrialRecord | None:
    """The complete trial of the best ``name``, of equals the first; None without any."""
    sign = -1 if is_maximised(name, objectives) else 1
    known = [r for r in records if r.state == "complete" and _is_finite(r.value(name))]
    return min(known, key=lambda record: (sign * record.quantities[name], record.number), default=None)


def trial_rows(records: Iterable[TrialRecord], objectives: Mapping[str, str]) -> pandas.DataFrame:
    """The table of all trials as people read it: number, state, objectives, choices, other
    costs and measurements in their units, seconds, reason.

    Text is safe for a cell that may be downloaded as CSV. Of two headings that are alike the later gets a mark.
    """
    records = list(records)
    columns: dict[str, list] = {
        "trial": [record.number for record in records],
        "state": [safe_text(record.state, "cell") for record in records],
    }

    def add(heading: str, values: list) -> None:
        while heading in columns:
            heading += "′"
        columns[heading] = values

    def add_quantity(name: str) -> None:
        column = [float(row[name]) if _is_finite(row.get(name)) else math.nan for row in values]
        unit = unit_of(name, [value for value in column if not math.isnan(value)])
        add(unit.label, [value / unit.divisor for value in column])

    values = [record.quantities for record in records]
    for name in objectives:
        add_quantity(name)
    for name in dict.fromkeys(name for record in records for name in record.choices):
        answers = [record.choices.get(name) for record in records]
        add(safe_text(name, length=60), ["" if answer is None else safe_text(answer, "cell") for answer in answers])
    for name in dict.fromkeys(name for row in values for name in row if name not in objectives):
        add_quantity(name)
    add("seconds", [record.seconds for record in records])
    add("same as trial", [record.same_as for record in records])
    add("reason", [safe_text(record.reason, "cell", length=500) for record in records])
    return pandas.DataFrame(columns).astype({"seconds": "Float64", "same as trial": "Int64"})


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
