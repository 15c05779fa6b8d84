"""Figures of a search: the timeline of its workers and the growth of the hypervolume."""

from __future__ import annotations

import pandas
from plotly import graph_objects as go

from explorer.dashboard.figures.style import GREY, MARGIN, PALETTE
from explorer.records import STATES

MAX_BARS = 2_000  # more than a screen has pixels
STATE_COLOURS = {
    "complete": PALETTE[2],
    "stopped": PALETTE[3],
    "running": PALETTE[4],
    "failed": PALETTE[1],
    "cached": PALETTE[5],
    "rejected": GREY,
    "interrupted": PALETTE[0],
}
STATE_PATTERNS = {
    "complete": "",
    "stopped": "/",
    "running": ".",
    "failed": "x",
    "cached": "-",
    "rejected": "+",
    "interrupted": "|",
}
HYPERVOLUME_AXES = {"trials": "complete trials", "seconds": "seconds of training, all workers together"}


def timeline_figure(rows: pandas.DataFrame) -> go.Figure:
    """Draw one bar per trial and one row per lane of a worker.

    Args:
        rows: As ``data.runs.timeline`` returns it. Only the last ``MAX_BARS`` trials are drawn.
    """
    rows = rows.nlargest(MAX_BARS, "start").sort_values(["lane", "start"])
    unit, length = _time_unit(float(rows.end.max()))
    figure = go.Figure()
    for state in STATES:
        own = rows[rows.state == state]
        if own.empty:
            continue
        figure.add_trace(
            go.Bar(
                base=own.start / length,
                x=(own.end - own.start) / length,
                y=own.lane,
                orientation="h",
                name=state,
                marker={
                    "color": STATE_COLOURS[state],
                    "pattern": {"shape": STATE_PATTERNS[state], "solidity": 0.25},
                    "line": {"width": 0.5, "color": GREY},
                },
                customdata=own.trial,
                hovertemplate=f"trial %{{customdata}}, {state}<br>started at %{{base:.2f}} {unit}<extra></extra>",
            )
        )
    lanes = list(dict.fromkeys(rows.lane))
    figure.update_xaxes(title=f"time since the first trial started ({unit})", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=lanes[::-1], automargin=True)
    figure.update_layout(
        barmode="overlay",
        bargap=0.3,
        height=120 + 28 * max(len(lanes), 2),
        margin=MARGIN,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure


def _time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit that fits a length of time, and its seconds."""
    units = (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0))
    return next((each for each in units if seconds >= 3 * each[1]), ("s", 1.0))


def hypervolume_figure(rows: pandas.DataFrame, x: str) -> go.Figure:
    """Draw the hypervolume of the frontier as a share of its final value.

    Args:
        rows: As ``data.runs.hypervolume_growth`` returns it.
        x: The column on the x axis: "trials" or "seconds".
    """
    figure = go.Figure(
        go.Scatter(
            x=rows[x],
            y=100 * rows.share,
            mode="lines",
            line={"color": PALETTE[0], "width": 2, "shape": "hv"},
            customdata=rows.trial,
            hovertemplate="after trial %{customdata}: %{y:.1f}%<extra></extra>",
        )
    )
    figure.update_xaxes(title=HYPERVOLUME_AXES[x], rangemode="tozero")
    figure.update_yaxes(title="hypervolume (% of present)", range=[0, 104])
    figure.update_layout(height=300, margin=MARGIN)
    return figure
