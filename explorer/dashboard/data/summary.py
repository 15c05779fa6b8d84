"""A study in a few words: what was trained, how far the search is, and what it found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas

from explorer.analysis.amounts import plural
from explorer.analysis.estimates import Estimate
from explorer.analysis.frontier_certainty import FrontierCertainty
from explorer.analysis.quantities import FRACTIONS
from explorer.dashboard.data.columns import TrialTable
from explorer.dashboard.quantities import span_text, unit_of
from explorer.records import STATES
from explorer.store import Study

OWN_FUNCTION = "own evaluate function"  # in place of the data, of a study whose networks the caller evaluates
NEARLY = 0.02  # of a share: a network that is this little worse than the best is named if it is cheaper
NEARLY_OF_RANGE = 0.1  # the same of other objectives, relative to the range of the frontier
MUCH_CHEAPER = 0.75  # relative cost below which a network is worth naming


def state_counts(table: TrialTable) -> dict[str, int]:
    """Return state -> number of trials, without states that no trial has."""
    counts = np.bincount(table.state, minlength=len(STATES)) if len(table) else np.zeros(len(STATES), int)
    return {state: int(count) for state, count in zip(STATES, counts) if count}


def settings_text(study: Study) -> str:
    """Return how the networks of a study were trained: ``digits, 1,078 + 359 images, 5 epochs, quick, seed 0``."""
    settings: Mapping[str, Any] = study.fingerprint
    split, recipe = settings.get("split") or {}, settings.get("recipe") or {}
    images = [split[part] for part in ("train", "validation") if isinstance(split.get(part), int)]
    parts = [
        str(settings.get("data") or OWN_FUNCTION),
        " + ".join(f"{count:,}" for count in images) + " images" if images else "",
        plural(settings["epochs"], "epoch") if isinstance(settings.get("epochs"), int) else "",
        f"recipe {recipe['name']}" if recipe.get("name") else "",
        f"seed {study.seed}",
    ]
    return ", ".join(part for part in parts if part)


def progress_text(table: TrialTable, now: float | None = None) -> str:
    """Return how far a search is: ``running: 2 training, 84 complete, 3 failed, 12 min`` or when it ended."""
    moment = time.time() if now is None else now
    counts = Counter(state_counts(table))
    running = counts.pop("running", 0)
    started, finished = table.started[~np.isnan(table.started)], table.finished[~np.isnan(table.finished)]
    shown = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    if running:
        took = span_text(moment - started.min()) if len(started) else ""
        return ", ".join(filter(None, [f"running: {running:,} training now", shown, took]))
    if not len(finished):
        return shown or "no trials yet"
    took, ago = span_text(finished.max() - started.min()), span_text(max(0.0, moment - finished.max()))
    return f"ended {ago} ago: {shown} in {took}"


def result_text(
    points: pandas.DataFrame,
    axes: tuple[str, str],
    maximised: tuple[bool, bool],
    *,
    bound: float | None = None,
    certainty: FrontierCertainty | None = None,
    estimates: Mapping[int, Estimate] | None = None,
) -> str:
    """Return what a study found, in one or two sentences; empty without points.

    Args:
        points: As ``data.trials.frontier_points`` returns it.
        axes: The quantities x and y.
        maximised: Whether more is better, for x and for y.
        bound: The budget on x; None without one.
        certainty: How certain the frontier is; None if unknown.
        estimates: Trial number -> best estimate of y.
    """
    x, y = axes
    order = by_quality(points, maximised, bound)
    if order.empty:
        return "" if points.empty else "No complete trial is within this budget."
    best = order.iloc[0]
    digits = 4 if bound is None else unit_of(x, [bound]).digits_around(bound, points.x)
    limit = f" {'from' if maximised[0] else 'under'} {_shown(x, bound, digits)}" if bound is not None else ""
    cost = _shown(x, best.x, digits)
    first = f"Best{limit}: trial {int(best.trial)}, {_value(best, y, estimates)} at {cost}"
    if certainty is not None and int(best.trial) in certainty.probabilities:
        first += f"; stays on the frontier with probability {certainty.probabilities[int(best.trial)]:.2g}"
    second = _cheaper(order, x, y, maximised[0])
    return f"{first}.{f' {second}' if second else ''}"


def by_quality(points: pandas.DataFrame, maximised: tuple[bool, bool], bound: float | None) -> pandas.DataFrame:
    """Return the points of the frontier within a budget on x, the best y first.

    Args:
        points: As ``data.trials.frontier_points`` returns it.
        maximised: Whether more is better, for x and for y.
        bound: The budget; None without one.
    """
    front = points[points.frontier]
    if bound is not None:
        front = front[front.x >= bound] if maximised[0] else front[front.x <= bound]
    return front.sort_values("y", ascending=not maximised[1], kind="stable")


def _value(best: Any, y: str, estimates: Mapping[int, Estimate] | None) -> str:
    """Return the value of y with its interval and its source."""
    estimate = (estimates or {}).get(int(best.trial))
    unit = unit_of(y, [best.y])
    title = unit.title.removeprefix("validation ")
    if estimate is not None and not estimate.is_own:
        return f"{unit.joined(estimate.interval, title)} ({estimate.source})"
    source = f" ({estimate.source})" if estimate is not None else ""
    return f"{unit.joined(unit.of(best.y), title)}{source}"


def _cheaper(order: pandas.DataFrame, x: str, y: str, x_is_maximised: bool) -> str:
    """Return a sentence about a much cheaper network that is nearly as good, or an empty text."""
    best = order.iloc[0]
    if x_is_maximised or best.x <= 0:
        return ""
    reach = NEARLY if y in FRACTIONS else NEARLY_OF_RANGE * (order.y.max() - order.y.min())
    near = order[(abs(order.y - best.y) <= reach) & (order.x <= MUCH_CHEAPER * best.x)]
    if near.empty:
        return ""
    cheap = near.loc[near.x.idxmin()]
    loss = abs(cheap.y - best.y)
    points = f"{100 * loss:.1f} points" if y in FRACTIONS else unit_of(y, [loss]).of(loss)
    return f"Trial {int(cheap.trial)} is {points} behind with {cheap.x / best.x:.2g} of the {unit_of(x, []).title}."


def _shown(name: str, value: float, digits: int) -> str:
    unit = unit_of(name, [value])
    return unit.joined(unit.of(value, digits), unit.title)
