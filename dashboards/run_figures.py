"""Figures of how a search went: who worked on what and when, how the frontier grew, studies side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas
from plotly import graph_objects as go

from dashboards.figures import PALETTE, PLAIN, level_looks, noted
from dashboards.quantities import Unit
from dashboards.text import safe_text
from explorer.records import STATES

MARGIN = {"l": 10, "r": 10, "t": 30, "b": 10}
STATE_COLOURS = {
    "complete": PALETTE[2],
    "stopped": PALETTE[3],
    "running": PALETTE[4],
    "failed": PALETTE[1],
    "cached": PALETTE[5],
    "rejected": PLAIN,
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


def timeline_figure(rows: pandas.DataFrame) -> go.Figure:
    """Who worked on what and when: a bar a trial, a row a lane. ``rows``: as ``run_tables.timeline`` makes it."""
    figure = go.Figure()
    for state in STATES:
        own = rows[rows.state == state]
        if own.empty:
            continue
        figure.add_trace(
            go.Bar(
                base=own.start / 60,
                x=(own.end - own.start) / 60,
                y=own.lane,
                orientation="h",
                name=state,
                marker={
                    "color": STATE_COLOURS[state],
                    "pattern": {"shape": STATE_PATTERNS[state], "solidity": 0.25},
                    "line": {"width": 0.5, "color": PLAIN},
                },
                customdata=own.trial,
                hovertemplate=f"trial %{{customdata}}, {state}<br>from %{{base:.2f}} min on<extra></extra>",
            )
        )
    lanes = list(dict.fromkeys(rows.lane))
    figure.update_xaxes(title="time since the study began (minutes)", rangemode="tozero")
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


def growth_figure(rows: pandas.DataFrame, against: str, title: str) -> go.Figure:
    """How the frontier grew: hypervolume, as a share of what it is now. ``rows``: as ``run_tables.growth`` makes it;
    ``against``: its column on the x axis, ``title`` its name."""
    figure = go.Figure(
        go.Scatter(
            x=rows[against],
            y=100 * rows.share,
            mode="lines",
            line={"color": PALETTE[0], "width": 2, "shape": "hv"},
            customdata=rows.trial,
            hovertemplate="after trial %{customdata}: %{y:.1f}%<extra></extra>",
        )
    )
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_yaxes(title="hypervolume (% of now)", range=[0, 104])
    figure.update_layout(height=300, margin=MARGIN)
    return figure


def studies_figure(
    frontiers: Mapping[str, pandas.DataFrame],
    x: Unit,
    y: Unit,
    maximised: Sequence[bool],
    log_x: bool,
    note: str = "",
) -> go.Figure:
    """The frontiers of several studies in one plane. Values: tables with x, y and trial, by ascending x; ``note``:
    said above the plane."""
    figure = go.Figure()
    for name, (colour, symbol) in level_looks(frontiers).items():
        points = frontiers[name]
        figure.add_trace(
            go.Scatter(
                x=points.x / x.divisor,
                y=points.y / y.divisor,
                mode="lines+markers",
                name=safe_text(name, "plotly", length=60),
                line={"shape": "hv" if tuple(maximised) == (False, True) else "linear", "color": colour, "width": 1.5},
                marker={"symbol": symbol, "size": 9, "color": colour},
                customdata=points.trial,
                hovertemplate=f"trial %{{customdata}}: %{{y:.4g}}{y.suffix} at %{{x:.4g}}{x.suffix}",
            )
        )
    figure.update_xaxes(title=safe_text(x.label, "plotly", length=60), type="log" if log_x else "linear")
    if log_x:
        figure.update_xaxes(minorloglabels="complete")
    figure.update_yaxes(title=safe_text(y.label, "plotly", length=60))
    figure.update_layout(
        height=440, margin=MARGIN, showlegend=True, legend={"orientation": "h", "yanchor": "top", "y": -0.18, "x": 0}
    )
    return noted(figure, note)
