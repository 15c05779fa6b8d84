"""Draw figures on a page."""

from __future__ import annotations

import streamlit as st
from plotly import graph_objects as go

from explorer.dashboard.data.runs import hypervolume_growth
from explorer.dashboard.figures.runs import HYPERVOLUME_AXES, hypervolume_figure
from explorer.dashboard.session import cached, identity, show_message
from explorer.records import TrialRecord
from explorer.store import Study


def draw_figure(figure: go.Figure, key: str) -> None:
    """Draw a figure in the width of its column.

    Args:
        figure: The figure.
        key: A name that no other figure of the page has; the widget's key is ``{key}_chart``.
    """
    st.plotly_chart(figure, key=f"{key}_chart", width="stretch", config={"displayModeBar": False})


def draw_hypervolume(study: Study, records: list[TrialRecord]) -> None:
    """Draw how the frontier's hypervolume grew, over trials and over seconds of training."""
    st.subheader("Hypervolume of the frontier", anchor=False)
    rows = cached((*identity(study), study.revision, "growth"), lambda: hypervolume_growth(records, study.objectives))
    if len(rows) < 2:
        show_message("The hypervolume is drawn when two complete trials trade off the objectives.")
        return
    for column, x in zip(st.columns(2, gap="medium"), HYPERVOLUME_AXES):
        with column:
            draw_figure(hypervolume_figure(rows, x), f"growth_{x}")
