"""Figures of a space: the costs of its networks."""

from __future__ import annotations

import numpy as np
import pandas
from plotly import graph_objects as go

from explorer.dashboard.figures.axes import quantity_axis
from explorer.dashboard.figures.style import GREY, HIGHLIGHT, MARGIN, level_styles
from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text


def space_figure(
    points: pandas.DataFrame, trained: pandas.DataFrame, x: Unit, y: Unit, *, colour: str | None, log: bool
) -> go.Figure:
    """Draw the networks of a space in the plane of two costs, with a circle around each trained one.

    A point stands for all networks at its place; a larger one stands for more. It is drawn as SVG: what plotly draws
    with WebGL needs ``unsafe-eval`` in the server's policy.

    Args:
        points: As ``data.space.atlas_points`` returns it.
        trained: As ``data.space.trained_points`` returns it.
        x: Unit of the x axis.
        y: Unit of the y axis.
        colour: The choice point whose answers are the levels of ``points``; None for one colour.
        log: Whether both axes are logarithmic.
    """
    figure = go.Figure()
    for level, (colour_of, symbol) in level_styles(points.level).items():
        own = points[points.level == level]
        figure.add_trace(
            go.Scatter(
                x=own.x / x.divisor,
                y=own.y / y.divisor,
                mode="markers",
                name=safe_text(level, "plotly", length=40),
                showlegend=colour is not None,
                marker={
                    "size": 5 + 1.5 * np.log10(own.networks),
                    "opacity": 0.45,
                    "line": {"width": 0},
                    "color": colour_of if colour is not None else GREY,
                    "symbol": symbol if colour is not None else "circle",
                },
                customdata=own.networks,
                hovertemplate=(
                    f"%{{customdata:,}} networks, %{{x:.4g}}{x.suffix}, %{{y:.4g}}{y.suffix}<extra></extra>"
                ),
            )
        )
    figure.add_trace(
        go.Scatter(
            x=trained.x / x.divisor,
            y=trained.y / y.divisor,
            mode="markers",
            name="trained",
            marker={"size": 10, "symbol": "circle-open", "color": HIGHLIGHT, "line": {"width": 2}},
            customdata=trained.trial,
            hovertemplate="trial %{customdata}<extra></extra>",
        )
    )
    for update, unit, values in ((figure.update_xaxes, x, points.x), (figure.update_yaxes, y, points.y)):
        update(**quantity_axis(unit, values.min(), values.max(), log=log and bool((values > 0).all())))
    figure.update_layout(
        height=480,
        margin=MARGIN,
        hovermode="closest",
        legend={"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "itemsizing": "constant"},
    )
    return figure
