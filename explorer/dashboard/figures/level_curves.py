"""The figure of one choice over cost: networks, smooth curves, frontiers and the ranges that were compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plotly import graph_objects as go

from explorer.analysis.effects import Effect
from explorer.analysis.effects.curves import LevelCurve
from explorer.dashboard.data.effects import range_text
from explorer.dashboard.figures.axes import quantity_axis
from explorer.dashboard.figures.style import GREY, MARGIN, PALETTE, SYMBOLS
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.text import safe_text

CURVES_CAPTION = (
    "A point is a trained network; a line is the estimated mean of all networks of like cost; a dotted step is the best"
    " trained network under each budget. The shaded range, and the bar of a level's colour below, are the costs at"
    " which that level was compared with the reference: both have networks of like cost there."
)
MAX_LEVELS = len(PALETTE)  # of which each has a colour and a symbol of its own
LANE = 0.035  # height of a bar below the plane, as a share of the figure
SHADE = 0.15  # opacity of all shaded ranges together, where they overlap
MIN_OPACITY, MAX_OPACITY = 0.25, 0.7  # of points: many are paler


def curves_figure(
    curves: Sequence[LevelCurve], effects: Sequence[Effect], shown: Sequence[str], objective: Unit, cost: str
) -> go.Figure:
    """Draw the objective over log cost for some levels of a choice; networks of other levels are grey.

    Args:
        curves: As ``explorer.analysis.effects.curves.level_curves`` returns them.
        effects: The effects of the choice, with the ranges of cost that were compared.
        shown: At most ``MAX_LEVELS`` levels that have a colour.
        objective: Unit of the objective.
        cost: Name of the cost.
    """
    unit = unit_of(cost, [curve.costs[-1] for curve in curves])
    styles = dict(zip(shown, zip(PALETTE, SYMBOLS)))
    spans = {effect.level: effect for effect in effects if effect.equal_cost and effect.level in styles}
    figure = go.Figure()
    opacity = max(MIN_OPACITY, min(MAX_OPACITY, 60 / max(1, sum(len(curve.costs) for curve in curves))))
    others = [curve for curve in curves if curve.level not in styles]
    if others:
        for curve in others:
            figure.add_trace(_points(curve, GREY, "x", opacity / 2, objective, unit, cost).update(showlegend=False))
        figure.data[0].update(name="other levels", showlegend=True)
    for curve in curves:
        if curve.level in styles:
            figure.add_traces(_level(curve, *styles[curve.level], opacity, objective, unit, cost))
    for lane, (level, effect) in enumerate(spans.items()):
        _draw_span(figure, lane, effect, styles[level][0], SHADE / len(spans), unit, cost)
    ends = [value for curve in curves for value in (curve.costs[0], curve.costs[-1])]
    axis = quantity_axis(unit, min(ends), max(ends), log=True)
    figure.update_xaxes(**axis, anchor="y2" if spans else "y", zeroline=False)
    bottom = LANE * len(spans) + (0.02 if spans else 0)
    figure.update_layout(
        yaxis={"title": safe_text(objective.label, "plotly", length=60), "domain": [bottom, 1], "zeroline": False},
        height=460 + 14 * len(spans),
        margin=MARGIN,
        hovermode="closest",
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    if spans:
        figure.update_layout(
            yaxis2={"domain": [0, bottom - 0.02], "range": [len(spans) - 0.5, -0.5], "visible": False, "anchor": "x"}
        )
    return figure


def _points(
    curve: LevelCurve, colour: str, symbol: str, opacity: float, objective: Unit, unit: Unit, cost: str
) -> go.Scatter:
    name = unit_of(cost, []).title
    hovers = [
        f"{curve.level}: {objective.of(value)} at {unit.of(spent)} {name}"
        + (f", mean of {trainings} trainings" if trainings > 1 else "")
        for spent, value, trainings in zip(curve.costs, curve.values, curve.trainings)
    ]
    return go.Scatter(
        x=[value / unit.divisor for value in curve.costs],
        y=[value / objective.divisor for value in curve.values],
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 6, "opacity": opacity},
        name=safe_text(f"{curve.level} ({len(curve.costs)})", "plotly", length=36),
        legendgroup=curve.level,
        hovertext=[safe_text(text, "plotly", length=120) for text in hovers],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _level(
    curve: LevelCurve, colour: str, symbol: str, opacity: float, objective: Unit, unit: Unit, cost: str
) -> list[go.Scatter]:
    """Return the points, the curve and the frontier of a level."""
    smooth = go.Scatter(
        x=[at / unit.divisor for at, _ in curve.curve],
        y=[None if mean is None else mean / objective.divisor for _, mean in curve.curve],
        mode="lines",
        line={"color": colour, "width": 2.5},
        connectgaps=False,
    )
    # The last step continues to the most expensive network, which is not better.
    front = [*curve.frontier, (curve.costs[-1], curve.frontier[-1][1])]
    steps = go.Scatter(
        x=[at / unit.divisor for at, _ in front],
        y=[value / objective.divisor for _, value in front],
        mode="lines",
        line={"color": colour, "width": 1.3, "dash": "dot", "shape": "hv"},
    )
    for trace in (smooth, steps):
        trace.update(legendgroup=curve.level, showlegend=False, hoverinfo="skip")
    return [_points(curve, colour, symbol, opacity, objective, unit, cost), smooth, steps]


def _draw_span(
    figure: go.Figure, lane: int, effect: Effect, colour: str, opacity: float, unit: Unit, cost: str
) -> None:
    """Shade the range of cost in which a level was compared with the reference, and draw it as a bar below."""
    answer = effect.equal_cost
    assert answer is not None
    low, high = answer.low / unit.divisor, answer.high / unit.divisor
    figure.add_shape(
        **{"type": "rect", "x0": low, "x1": high, "y0": 0, "y1": 1, "xref": "x", "yref": "y domain"},
        **{"fillcolor": colour, "opacity": opacity, "line_width": 0, "layer": "below"},
    )
    text = (
        f"{effect.level}, not {effect.reference}: compared at {range_text(answer.low, answer.high, cost)},"
        f" {answer.trials:,} and {answer.reference_trials:,} networks"
    )
    middle = math.sqrt(low * high)
    figure.add_trace(
        go.Scatter(
            x=[low, middle, high],  # the middle one is found by the pointer
            y=[lane] * 3,
            yaxis="y2",
            mode="lines",
            line={"color": colour, "width": 6},
            showlegend=False,
            legendgroup=effect.level,
            hovertext=[safe_text(text, "plotly", length=120)] * 3,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
