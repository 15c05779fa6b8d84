"""Controls of the frontier: bounds on costs with the best network within them, and an earlier frontier."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import streamlit as st

from explorer.analysis.estimates import Estimate
from explorer.analysis.quantities import LATENCY
from explorer.dashboard.data.columns import TrialTable
from explorer.dashboard.data.trials import best_trial
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.quantities import span_text, unit_of
from explorer.dashboard.session import show_message
from explorer.dashboard.text import safe_text
from explorer.store import Study

Number = TypeVar("Number", int, float)

STOPS = 60  # most values of a slider


def draw_slider(
    title: str,
    values: Sequence[Number],
    label: Callable[[Number], str],
    key: str,
    start: Number,
    keeps_any: bool = False,
) -> Number:
    """Draw a slider over at most ``STOPS`` of the values; return the picked one.

    The stops change when trials end; the slider then moves to the nearest stop.

    Args:
        title: The title.
        values: The values in increasing order.
        label: The text of a value.
        key: The widget's key.
        start: The value at first.
        keeps_any: Whether a value that is no stop becomes one, instead of moving to the nearest stop.
    """
    last = len(values) - 1
    stops: list[Number] = list(values) if last < STOPS else [values[k * last // (STOPS - 1)] for k in range(STOPS)]
    wanted = st.session_state.get(key, start)
    if keeps_any and wanted not in stops:
        stops.append(wanted)
        stops.sort()
    st.session_state[key] = min(stops, key=lambda stop: abs(stop - wanted))
    return st.select_slider(title, stops, format_func=label, key=key)


def budget_key(study: Study, cost: str) -> str:
    """Return the key of the slider that bounds a cost."""
    return f"budget_{study.name}_{cost}"


def nearest_cost(costs: Iterable[float], place: float, log: bool) -> float | None:
    """Return the cost that is nearest to a place on an axis.

    Args:
        costs: The costs of networks.
        place: The place, as a cost.
        log: Whether the axis is logarithmic; it has no place for a cost that is not positive.

    Returns:
        The cost; None if no cost is on the axis.
    """
    known = [cost for cost in costs if cost > 0 or not log]
    if log:
        return min(known, key=lambda cost: abs(math.log(cost / place)), default=None) if place > 0 else None
    return min(known, key=lambda cost: abs(cost - place), default=None)


def pick_budget(
    study: Study,
    table: TrialTable,
    axes: tuple[str, str],
    costs: list[str],
    environments: str,
    show: Callable[[int], None],
    estimates: Mapping[int, Estimate],
) -> float | None:
    """Draw bounds on costs and the best network within them; return the bound on the x axis, None for no bound.

    Args:
        study: The study.
        table: Its trained trials.
        axes: The cost on the x axis, which is bounded at first, and the objective on the y axis.
        costs: The names of the costs.
        environments: The environments of the latencies if they are several; otherwise empty.
        show: Called with the number of the best trial when it is to be shown.
        estimates: Trial number -> best estimate of the objective, whose source is shown.
    """
    x, y = axes
    chosen = st.multiselect("Bounds on", costs, default=[x], format_func=quantity_title, key=f"budget_of_{x}")
    within, bounds, digits = table.complete, {}, {}
    for cost in chosen:
        own = table.value(cost)
        values: list[float] = np.unique(own[table.complete & ~np.isnan(own)]).tolist()
        if len(values) > 1:
            bounds[cost], digits[cost] = _draw_bound(cost, values, budget_key(study, cost))
            within = within & (own <= bounds[cost])
            if cost == x and bounds[cost] == values[-1]:
                del bounds[cost]
    if LATENCY in chosen and environments:
        st.text(safe_text(f"Note: latencies were measured in {environments}.", length=700))
    best = best_trial(table.select(within), y, study.objectives)
    _draw_best(table, best, {y: 4, **dict.fromkeys(chosen, 4), **digits}, show, estimates)
    return bounds.get(x)


def _draw_bound(cost: str, values: list[float], key: str) -> tuple[float, int]:
    """Draw the slider of a bound; return the bound, which a link may have set to any value, and the digits of texts.

    A slider at the largest value is no bound, so it follows when a more expensive network was trained.
    """
    unit, largest_key = unit_of(cost, [values[0], values[-1]]), f"{key}_largest"
    if st.session_state.get(key, values[-1]) == st.session_state.get(largest_key):
        st.session_state[key] = values[-1]
    st.session_state[largest_key] = values[-1]
    given = st.session_state.get(key, values[-1])
    place = bisect_right(values, given)
    digits = unit.digits_around(given, values[max(0, place - 1) : place + 1])
    bound = draw_slider(unit.title, values, lambda value: unit.of(value, digits), key, values[-1], keeps_any=True)
    return bound, digits


def _draw_best(
    table: TrialTable,
    best: int | None,
    digits: Mapping[str, int],
    show: Callable[[int], None],
    estimates: Mapping[int, Estimate],
) -> None:
    if best is None:
        show_message("No complete trial is within this budget.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        values = {name: float(table.value(name)[table.place(best)]) for name in digits}
        parts = [
            f"{quantity_title(name)} {unit_of(name, [value]).exact(value, digits[name])}"
            for name, value in values.items()
            if not np.isnan(value)
        ]
        source = f" ({estimates[best].source})" if best in estimates else ""
        st.text(f"Best within budget: trial {best}, {', '.join(parts)}{source}")
        st.button("Show it", key="show_best", on_click=show, args=(best,))


def pick_earlier(study: Study, table: TrialTable) -> int:
    """Draw the controls of the earlier frontier; return after how many complete trials it is drawn, 0 for none."""
    if not st.toggle("Draw an earlier frontier", key="earlier"):
        return 0
    ended = np.sort(table.finished[table.complete])
    if len(ended) < 2:
        return 0
    start = np.nanmin(table.started)

    def label(count: int) -> str:
        return f"{count:,} of {len(ended):,} trials, {span_text(max(0.0, float(ended[count - 1] - start)))}"

    return draw_slider("Frontier after", range(1, len(ended) + 1), label, f"before_{study.name}", len(ended) // 2)
