"""Figures of costs: where a network's lie, and where the networks of a space lie."""

from __future__ import annotations

import pandas
from plotly import graph_objects as go

from dashboards.cost_tables import KINDS, OTHER_KIND
from dashboards.figures import CHOSEN, PALETTE, PLAIN, level_looks
from dashboards.quantities import Unit
from dashboards.text import safe_text

PATTERNS = ("", "/", "\\", "x", ".", "-", "+")
MARGIN = {"l": 10, "r": 10, "t": 30, "b": 10}


def place_figure(table: pandas.DataFrame, cost: str, unit: Unit) -> go.Figure:
    """A network's cost part by part, stacked by kind of op. ``table``: as ``cost_by_place`` makes it."""
    figure = go.Figure()
    for place, kind in enumerate((*KINDS.values(), OTHER_KIND)):
        own = table[(table.kind == kind) & (table[cost] > 0)]
        if own.empty:
            continue
        figure.add_trace(
            go.Bar(
                x=own.part,
                y=own[cost] / unit.divisor,
                name=kind,
                marker={
                    "color": PALETTE[place] if place < len(PALETTE) else PLAIN,
                    "pattern": {"shape": PATTERNS[place % len(PATTERNS)], "fillmode": "overlay", "solidity": 0.2},
                },
                hovertemplate=f"{kind} in %{{x}}: %{{y:.4g}} {unit.name}<extra></extra>",
            )
        )
    figure.update_xaxes(categoryorder="array", categoryarray=list(dict.fromkeys(table.part)))
    figure.update_yaxes(title=unit.label)
    figure.update_layout(
        barmode="stack",
        height=320,
        margin=MARGIN,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def cloud_figure(
    cloud: pandas.DataFrame, trained: pandas.DataFrame, x: Unit, y: Unit, *, colour: str | None, log: bool
) -> go.Figure:
    """The costs of a space's networks, those that were trained marked.

    Both tables: x, y, and ``level`` (the answer to the choice point ``colour``; one value where there is none).
    ``trained`` also has trial.
    """
    figure = go.Figure()
    for level, (colour_of, symbol) in level_looks(cloud.level).items():
        own = cloud[cloud.level == level]
        figure.add_trace(
            go.Scattergl(
                x=own.x / x.divisor,
                y=own.y / y.divisor,
                mode="markers",
                name=safe_text(level, "plotly", length=40),
                showlegend=colour is not None,
                marker={
                    "size": 5,
                    "opacity": 0.35,
                    "color": colour_of if colour is not None else PLAIN,
                    "symbol": symbol if colour is not None else "circle",
                },
                hovertemplate=f"%{{x:.4g}}{x.suffix}, %{{y:.4g}}{y.suffix}<extra></extra>",
            )
        )
    figure.add_trace(
        go.Scattergl(
            x=trained.x / x.divisor,
            y=trained.y / y.divisor,
            mode="markers",
            name="trained",
            marker={"size": 10, "symbol": "circle-open", "color": CHOSEN, "line": {"width": 2}},
            customdata=trained.trial,
            hovertemplate="trial %{customdata}<extra></extra>",
        )
    )
    kind = "log" if log else "linear"
    figure.update_xaxes(title=safe_text(x.label, "plotly", length=60), type=kind)
    figure.update_yaxes(title=safe_text(y.label, "plotly", length=60), type=kind)
    if log:
        figure.update_xaxes(minorloglabels="complete")
        figure.update_yaxes(minorloglabels="complete")
    figure.update_layout(
        height=480,
        margin=MARGIN,
        hovermode="closest",
        legend={"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "itemsizing": "constant"},
    )
    return figure
