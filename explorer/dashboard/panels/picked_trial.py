"""The trial that the frontier page shows in detail: picked from a list, typed, or clicked in the figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from explorer.dashboard.session import (
    LISTED,
    identity,
    last_viewed,
    select_trials,
    set_viewed,
    table_of,
)
from explorer.dashboard.text import safe_text
from explorer.records import STATES
from explorer.store import Study

# Keys of the session state: the trial in detail and its study, and the trial that the figure highlights.
TRIAL, TRIAL_OF, MARKED = "trial", "trial_of", "marked"
BEST = "best_trial"  # the trial that the page showed because it was the best; another one was picked by the user


def pick_trial(study: Study, on_frontier: list[int], best: int | None) -> int:
    """Draw the picker of trials.

    Args:
        study: The study, with at least one trial.
        on_frontier: The trials on the frontier, by ascending cost.
        best: The best trial within the budget; None if there is none.

    Returns:
        The trial to show: the one clicked or picked; ``best`` until then.
    """
    table = table_of(study)
    shown = st.session_state.get(TRIAL) if st.session_state.get(TRIAL_OF) == identity(study) else None
    if shown is None or table.place(shown) is None:
        shown = last_viewed(study)
    first = int(table.number[0]) if best is None else best
    follows = (identity(study), shown) == st.session_state.get(BEST) and best is not None
    if shown is None or table.place(shown) is None or follows:
        shown = first
        st.session_state[BEST] = identity(study), first
    st.session_state[TRIAL], st.session_state[TRIAL_OF] = shown, identity(study)
    front = set(on_frontier)

    def named(number: int) -> str:
        place = table.place(number)
        state = "" if place is None else STATES[table.state[place]]
        return f"trial {number}, {'on the frontier' if number in front else safe_text(state)}"

    if len(table) > LISTED:
        first, last = int(table.number[0]), int(table.number[-1])
        number = int(
            st.number_input(f"Trial ({first} to {last})", first, last, step=1, key=TRIAL, on_change=_handle_pick)
        )
    else:
        listed = [*on_frontier[::-1], *(number for number in map(int, table.number) if number not in front)]
        number = st.selectbox(
            "Trial", listed, format_func=named, key=TRIAL, on_change=_handle_pick, label_visibility="collapsed"
        )
    set_viewed(study, number)
    return number


def show_trial(number: int) -> None:
    """Show a trial in detail and highlight it in the figure."""
    st.session_state[TRIAL] = st.session_state[MARKED] = number


def _handle_pick() -> None:
    st.session_state[MARKED] = st.session_state[TRIAL]


def handle_selection(chart: str, plane: Any) -> None:
    """Show the clicked trial, or restrict all pages to the trials in a box; without a selection, show all trials.

    Args:
        chart: Key of the figure.
        plane: The ``Plane`` that the figure shows. A box also selects trials that are drawn as a density.
    """
    selection = st.session_state[chart]["selection"]
    found = [point["customdata"] for point in selection["points"] if point.get("customdata") is not None]
    numbers = [int(number[0] if isinstance(number, list) else number) for number in found]
    if selection.get("box"):
        select_trials(
            plane.study, _inside(selection["box"][0], plane) if plane.points.choices.isna().any() else numbers
        )
    elif numbers:
        st.session_state[TRIAL] = numbers[0]
    else:  # a double click
        select_trials(plane.study, [])


def _inside(box: dict[str, Any], plane: Any) -> list[int]:
    """Return the trials of a plane whose points are in a box, which has the units of the figure."""
    inside = np.ones(len(plane.points), bool)
    for unit, axis in zip(plane.units, ("x", "y")):
        values = plane.points[axis] / unit.divisor
        low, high = sorted(box[axis])
        inside &= (values >= low) & (values <= high)
    return [int(number) for number in plane.points.trial[inside]]
