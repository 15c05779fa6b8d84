"""The controls of a budget: bounds on costs, and the best network within them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st

from explorer.analysis.estimates import Estimate
from explorer.analysis.quantities import LATENCY
from explorer.dashboard.data.trials import best_trial
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.session import show_message
from explorer.dashboard.text import safe_text
from explorer.records import TrialRecord
from explorer.store import Study

Number = TypeVar("Number", int, float)

STOPS = 60  # most values of a slider


def draw_slider(
    title: str, values: Sequence[Number], label: Callable[[Number], str], key: str, start: Number
) -> Number:
    """Draw a slider over at most ``STOPS`` of the values; return the picked one.

    The stops change when trials end; the slider then moves to the nearest stop.

    Args:
        title: The title.
        values: The values in increasing order.
        label: The text of a value.
        key: The widget's key.
        start: The value at first.
    """
    last = len(values) - 1
    stops = list(values) if last < STOPS else [values[k * last // (STOPS - 1)] for k in range(STOPS)]
    wanted = st.session_state.get(key, start)
    st.session_state[key] = min(stops, key=lambda stop: abs(stop - wanted))
    return st.select_slider(title, stops, format_func=label, key=key)


def pick_budget(
    study: Study,
    records: list[TrialRecord],
    axes: tuple[str, str],
    costs: list[str],
    environments: str,
    show: Callable[[int], None],
    estimates: Mapping[int, Estimate],
) -> float | None:
    """Draw bounds on costs and the best network within them; return the bound on the x axis, None for no bound.

    Args:
        study: The study.
        records: Its trained trials.
        axes: The cost on the x axis, which is bounded at first, and the objective on the y axis.
        costs: The names of the costs.
        environments: The environments of the latencies if they are several; otherwise empty.
        show: Called with the number of the best trial when it is to be shown.
        estimates: Trial number -> best estimate of the objective, whose source is shown.
    """
    x, y = axes
    chosen = st.multiselect("Bounds on", costs, default=[x], format_func=quantity_title, key=f"budget_of_{x}")
    bounds = {}
    for cost in chosen:
        values = sorted({value for record in records if (value := _value(record, cost)) is not None})
        if len(values) > 1:
            unit, key = unit_of(cost, values), f"budget_{study.name}_{cost}"
            bounds[cost] = draw_slider(unit.title, values, unit.of, key, values[-1])
    if LATENCY in chosen and environments:
        st.text(safe_text(f"Note: latencies were measured in {environments}.", length=700))
    within = [
        record for record in records if all(_value(record, cost, math.inf) <= bound for cost, bound in bounds.items())
    ]
    best = best_trial(within, y, study.objectives)
    if best is None:
        show_message("No complete trial is within this budget.")
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            values_of = {name: _value(best, name) for name in (y, *chosen)}
            parts = [
                f"{quantity_title(name)} {unit_of(name, [value]).of(value)}"
                for name, value in values_of.items()
                if value is not None
            ]
            source = f" ({estimates[best.number].source})" if best.number in estimates else ""
            st.text(f"Best within budget: trial {best.number}, {', '.join(parts)}{source}")
            st.button("Show it", key="show_best", on_click=show, args=(best.number,))
    return bounds[x] if x in bounds and bounds[x] < max(_value(r, x, 0.0) for r in records) else None


def _value(record: TrialRecord, name: str, default: Any = None) -> Any:
    value = record.value(name)
    return value if isinstance(value, (int, float)) and math.isfinite(value) else default
