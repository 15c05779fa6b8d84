"""Draw figures on a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from plotly import graph_objects as go

from explorer.dashboard.data.runs import constant_objectives, hypervolume_growth, left_out_text
from explorer.dashboard.figures.runs import HYPERVOLUME_AXES, hypervolume_figure
from explorer.dashboard.figures.style import template
from explorer.dashboard.panels.theme import is_dark
from explorer.dashboard.session import cached, confirmed_of, identity, show_message, table_of
from explorer.dashboard.text import safe_text
from explorer.store import Study


def draw_figure(figure: go.Figure, key: str, alt: str = "") -> None:
    """Draw a figure in the width of its column.

    Args:
        figure: The figure.
        key: A name that no other figure of the page has; the widget's key is ``{key}_chart``.
        alt: What the figure shows, for screen readers; by default the titles of its axes.
    """
    config = {"displayModeBar": False}
    shown = themed(figure)
    st.plotly_chart(
        shown, key=f"{key}_chart", width="stretch", theme=None, config=config, alt=alt or describe(shown, key)
    )


def draw_selectable(
    figure: go.Figure, key: str, alt: str, on_select: Callable[[], None], config: dict[str, Any]
) -> None:
    """Draw a figure, in the colours of the browser's theme, whose points can be clicked or selected with a box.

    The widget's key is ``key``.
    """
    st.plotly_chart(
        figure, key=key, width="stretch", theme=None, on_select=on_select, selection_mode=("points", "box"),
        config=config, alt=alt,
    )  # fmt: skip


def themed(figure: go.Figure) -> go.Figure:
    """Return a copy of a figure in the colours of the browser's theme."""
    return go.Figure(figure, layout_template=template(is_dark()))


def describe(figure: go.Figure, key: str) -> str:
    """Return a sentence about a figure for screen readers."""
    titles = [axis.title.text for axis in (figure.layout.yaxis, figure.layout.xaxis) if axis.title.text]
    return f"Figure of {' over '.join(titles)}" if titles else f"Figure: {key.replace('_', ' ')}"


def draw_hypervolume(study: Study) -> None:
    """Draw how the frontier's hypervolume grew, over trials and over seconds of training."""
    table = table_of(study)

    def growth() -> Any:
        done = table.records(table.complete.nonzero()[0], list(study.objectives))
        return hypervolume_growth(done, study.objectives), constant_objectives(done, study.objectives)

    rows, constant = cached((*identity(study), study.revision, "growth"), growth)
    if len(rows) < 2:
        show_message(
            "The hypervolume is drawn when a complete trial is better than the worst value of every objective."
        )
        return
    if constant:
        st.caption(safe_text(left_out_text(constant), "markdown"))
    for column, x in zip(st.columns(2, gap="medium"), HYPERVOLUME_AXES):
        with column:
            draw_figure(hypervolume_figure(rows, x), f"growth_{x}")
    if confirmed_of(study):
        st.caption("By the values of the search, one training of each network, without fresh seeds.")
