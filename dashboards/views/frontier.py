"""The page Frontier: what the study found, an objective over any cost, one network in detail, and all trials."""

from __future__ import annotations

import streamlit as st

from explorer.dashboard.data.summary import result_text
from explorer.dashboard.panels.charts import draw_hypervolume
from explorer.dashboard.panels.header import current_study, has_trials
from explorer.dashboard.panels.network import draw_detail
from explorer.dashboard.panels.picked_trial import pick_trial
from explorer.dashboard.panels.plane import Plane, draw_plane, pick_plane
from explorer.dashboard.panels.trial_list import draw_trial_list
from explorer.dashboard.panels.view_address import follow_address, set_address
from explorer.dashboard.session import show_message, table_of
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.store import Study

BELOW = "below"  # key of the tabs below the figure
TRIALS, GROWTH = "Trials", "Growth of the frontier"


@st.fragment
def _draw_page(study: Study) -> None:
    """Draw the page. As a fragment, a click reruns it without reading the studies again."""
    try:
        problem = follow_address(study)
        if problem:
            show_message(problem)
        result = st.container(key="result")
        plane = pick_plane(study)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            if plane is None:
                show_message(_nothing_to_draw(study))
            elif plane.refused:
                show_message(f"Latencies were measured in {plane.mixed}; they compare machines, not networks.")
                st.toggle("Draw them in one plane anyway", key="mix_environments")
        with right:
            number = pick_trial(study, plane.front if plane else [], plane.best if plane else None)
            draw_detail(study, number)
        if plane is not None and not plane.refused:
            with result:
                st.text(safe_text(_result(plane), length=400))
            with left:
                draw_plane(study, plane, number)
        set_address(study, plane, number)
        _draw_below(study, plane)
    except StoreError as error:
        show_message(f"{error}.")


def _draw_below(study: Study, plane: Plane | None) -> None:
    trials, growth = st.tabs([TRIALS, GROWTH], on_change="rerun", key=BELOW)
    if trials.open:
        with trials:
            draw_trial_list(study, plane)
    if growth.open:
        with growth:
            draw_hypervolume(study)


def _result(plane: Plane) -> str:
    return result_text(
        plane.points,
        (plane.x, plane.y),
        plane.maximised,
        bound=plane.bound,
        certainty=plane.certainty,
        estimates=plane.estimates,
    )


def _nothing_to_draw(study: Study) -> str:
    if (table_of(study).state == 0).any():
        return "No trial is complete yet. The first point appears here when its training ends."
    return "No trial of this study is complete, so there is nothing to draw. The table below shows how each one ended."


found = current_study()
if found is not None and has_trials(found):
    _draw_page(found)
