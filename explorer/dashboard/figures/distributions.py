"""Figures of results by choice: distribution functions and parallel categories."""

from __future__ import annotations

from collections.abc import Sequence

import pandas
from plotly import graph_objects as go

from explorer.analysis.effects import quantity
from explorer.dashboard.figures.style import MARGIN, level_styles
from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text
from explorer.records import TrialRecord

RIBBONS = 50  # most that a reader can distinguish
SHADES = 8  # colours of merged ribbons
# The colour bar stands below, so that the figure has the whole width of a phone.
BAR_BELOW = {"orientation": "h", "thickness": 12, "y": -0.02, "yanchor": "top"}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def distribution_figure(records: Sequence[TrialRecord], factor: str | None, objective: str, unit: Unit) -> go.Figure:
    """Draw the empirical distribution function of the objective, one curve per level of a choice.

    This is the error distribution function of Radosavovic et al. 2019 (arXiv:1905.13214, eq. 1), of the objective in
    place of the error.

    Args:
        records: Trials that have the objective.
        factor: The choice; None for one curve of all networks.
        objective: Name of the objective.
        unit: Its unit.
    """
    groups: dict[str, list[float]] = {}
    for record in records:
        level = "all networks" if factor is None else record.choices.get(factor)
        if level is not None:
            groups.setdefault(level, []).append(quantity(record, objective) / unit.divisor)
    figure = go.Figure()
    for index, (level, (colour, _)) in enumerate(level_styles(groups).items()):
        values = sorted(groups[level])
        figure.add_trace(
            go.Scatter(
                x=[values[0], *values],
                y=[100 * number / len(values) for number in range(len(values) + 1)],
                mode="lines",
                line={"shape": "hv", "color": colour, "dash": DASHES[index % len(DASHES)], "width": 2},
                name=safe_text(f"{level} ({len(values)})", "plotly", length=40),
                hovertemplate="%{y:.0f}% have at most %{x:.4g}",
            )
        )
    every = [value for values in groups.values() for value in values]
    room = 0.03 * (max(every) - min(every)) or 1.0
    figure.update_xaxes(title=safe_text(unit.label, "plotly", length=60), range=[min(every) - room, max(every) + room])
    figure.update_yaxes(title="networks (%)", range=[0, 103])
    figure.update_layout(
        height=380, margin=MARGIN, showlegend=True, legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0}
    )
    return figure


def categories_figure(
    records: Sequence[TrialRecord], factors: Sequence[str], objective: str, unit: Unit, title_length: int = 24
) -> go.Figure:
    """Draw parallel categories: one ribbon per network through its choices, coloured by the objective.

    Of more than ``RIBBONS`` networks, those with equal choices whose objectives lie in the same of ``SHADES`` equal
    parts of the range share a ribbon.

    Args:
        records: Trials that have the objective.
        factors: The choices, from left to right.
        objective: Name of the objective.
        unit: Its unit.
        title_length: Maximum length of the labels in characters.
    """
    rows = pandas.DataFrame(
        [[record.choices.get(factor, "–") for factor in factors] for record in records], columns=range(len(factors))
    )
    rows["value"] = [quantity(record, objective) / unit.divisor for record in records]
    rows["count"] = 1
    if len(rows) > RIBBONS:
        width = (rows.value.max() - rows.value.min()) / SHADES or 1.0
        shade = ((rows.value - rows.value.min()) / width).astype(int)
        by = [*range(len(factors)), shade.rename("shade")]
        rows = rows.groupby(by, sort=False).agg(value=("value", "mean"), count=("count", "sum")).reset_index()
    dimensions = []
    for index, factor in enumerate(factors):
        shown = {answer: safe_text(answer, "plotly", length=title_length) for answer in level_styles(rows[index])}
        dimensions.append(
            {
                "label": safe_text(factor, "plotly", length=title_length),
                "values": [shown[answer] for answer in rows[index]],
                "categoryorder": "array",
                "categoryarray": list(dict.fromkeys(shown.values())),
            }
        )
    figure = go.Figure(
        go.Parcats(
            dimensions=dimensions,
            counts=rows["count"],
            line={
                "color": rows.value,
                "colorscale": "Cividis",
                "showscale": True,
                "colorbar": BAR_BELOW | {"title": {"text": safe_text(unit.label, "plotly", length=40), "side": "top"}},
                "shape": "hspline",
            },
            hoveron="color",
            hoverinfo="count",
            labelfont={"size": 12},
            tickfont={"size": 12, "weight": "bold"},  # bold, because the labels lie on the ribbons
        )
    )
    figure.update_layout(height=460, margin={"l": 30, "r": 20, "t": 40, "b": 70})
    return figure
