"""The figure of the frontiers of several studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas
from plotly import graph_objects as go

from explorer.dashboard.figures.axes import quantity_axis
from explorer.dashboard.figures.style import MARGIN, add_note, level_styles
from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text


def studies_figure(
    frontiers: Mapping[str, pandas.DataFrame],
    x: Unit,
    y: Unit,
    maximised: Sequence[bool],
    log_x: bool,
    note: str = "",
) -> go.Figure:
    """Draw the frontiers of several studies in one plane.

    Args:
        frontiers: Study -> a table with the columns x, y and trial, by ascending x.
        x: Unit of the x axis.
        y: Unit of the y axis.
        maximised: Whether more is better, for x and for y.
        log_x: Whether the x axis is logarithmic.
        note: A warning above the plane.
    """
    figure = go.Figure()
    for name, (colour, symbol) in level_styles(frontiers).items():
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
    every = [points[axis] for axis in "xy" for points in frontiers.values()]
    half = len(every) // 2
    spans = [(min(map(min, own)), max(map(max, own))) for own in (every[:half], every[half:])]
    figure.update_xaxes(**quantity_axis(x, *spans[0], log=log_x))
    figure.update_yaxes(**quantity_axis(y, *spans[1]))
    figure.update_layout(
        height=440, margin=MARGIN, showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0}
    )
    return add_note(figure, note)
