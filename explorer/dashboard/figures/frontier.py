"""Figures of frontiers: the objective versus cost plane of one study, and the frontiers of several studies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas
from plotly import graph_objects as go

from explorer.dashboard.figures.style import GREY, HIGHLIGHT, LINE_HEIGHT, MARGIN, add_note, level_styles
from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text

CAPTION = "A point is a trained network; the line is the frontier of non-dominated networks."
SEEDS_CAPTION = (
    "Crosses with error bars: mean over trainings from fresh seeds, and standard deviation of one training. The opacity"
    " of a point is its probability to stay on the frontier. A network without fresh seeds is drawn at the value that"
    " they are expected to give."
)
WEBGL_POINTS = 1_000  # number of points above which WebGL draws faster than SVG
HOVER_CHOICES = 12  # most choices that a hover text lists
MIN_OPACITY = 0.3  # of a point whose probability to stay on the frontier is 0
# Smallest size of the plane in pixels: labels that do not overlap at this size do not overlap at any.
SMALLEST_PLANE = (250, 300)
DIGIT_WIDTH = 8  # pixels


def frontier_figure(
    points: pandas.DataFrame,
    x: Unit,
    y: Unit,
    *,
    log_x: bool = False,
    maximised: tuple[bool, bool] = (False, True),
    colour: str | None = None,
    chosen: int | None = None,
    earlier: pandas.DataFrame | None = None,
    bound: float | None = None,
    probabilities: Mapping[int, float] = MappingProxyType({}),
    seeds: pandas.DataFrame | None = None,
    note: str = "",
) -> go.Figure:
    """Draw the trials of a study in the plane of an objective and a cost.

    Dominated points are small and pale. The frontier is a staircase through its points, which are labelled with their
    trial numbers. The ``customdata`` of a point is its trial number.

    Args:
        points: As ``data.trials.frontier_points`` returns it.
        x: Unit of the x axis.
        y: Unit of the y axis.
        log_x: Whether the x axis is logarithmic.
        maximised: Whether more is better, for x and for y.
        colour: The choice point whose answers are the levels of ``points``; None for one colour.
        chosen: The trial that is highlighted.
        earlier: Points of an earlier frontier, drawn as a dashed line.
        bound: A budget on x, drawn as a vertical line.
        probabilities: Trial number -> probability to stay on the frontier in another run, drawn as opacity.
        seeds: As ``data.trials.seed_points`` returns it, drawn with error bars.
        note: A warning above the plane.
    """
    points = points.assign(x=points.x / x.divisor, y=points.y / y.divisor)
    if log_x:
        points = points[points.x > 0]
    scatter = go.Scattergl if len(points) > WEBGL_POINTS else go.Scatter
    front = points[points.frontier]
    figure = go.Figure()
    shape = "hv" if maximised == (False, True) else "linear"
    if earlier is not None:
        line = {"color": HIGHLIGHT, "width": 1.5, "dash": "dash", "shape": shape}
        past = {"x": earlier.x / x.divisor, "y": earlier.y / y.divisor}
        figure.add_trace(scatter(**past, mode="lines", name="earlier frontier", line=line, hoverinfo="skip"))
    line = {"color": GREY, "width": 1.5, "shape": shape}
    figure.add_trace(
        scatter(x=front.x, y=front.y, mode="lines", name="frontier", line=line, hoverinfo="skip", showlegend=False)
    )
    if seeds is not None and not seeds.empty:
        figure.add_trace(_seeds_trace(seeds, x, y))
    if bound is not None:
        figure.add_vline(x=bound / x.divisor, line={"color": HIGHLIGHT, "width": 1.5, "dash": "dot"})
    for level, (colour_of, symbol) in level_styles(points.level).items():
        name = safe_text(level, "plotly", length=40)
        for is_front, size, opacity in ((False, 7, 0.45), (True, 11, 1.0)):
            own = points[(points.level == level) & (points.frontier == is_front)]
            usual = {"color": colour_of, "size": size, "opacity": opacity}
            marker, rest = usual, usual
            if probabilities:  # opacity is part of the colour: a selection would reset opacities of single points
                shades = [_shaded(colour_of, probabilities.get(trial, 0.0)) for trial in own.trial]
                marker, rest = {"color": shades, "size": size, "opacity": 1.0}, {"size": size, "opacity": 1.0}
            figure.add_trace(
                scatter(
                    x=own.x,
                    y=own.y,
                    mode="markers",
                    name=name,
                    legendgroup=level,
                    showlegend=False,
                    marker={**marker, "symbol": symbol},
                    selectedpoints=[index for index, trial in enumerate(own.trial) if trial == chosen],
                    selected={"marker": {"color": HIGHLIGHT, "size": 18, "opacity": 1}},
                    # Otherwise a selection fades all other points, and the last selected one stays large.
                    unselected={"marker": rest},
                    customdata=own.trial,
                    **_hovers(own, x, y, probabilities, brief=len(points) > WEBGL_POINTS and not is_front),
                )
            )
        if colour is not None:
            marker = {"color": colour_of, "symbol": symbol, "size": 9}
            figure.add_trace(
                go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, legendgroup=level)
            )
    ranges = _padded(points.x, log_x), _padded(points.y, False)
    for index in _labelled(front, ranges, log_x):
        row = front.iloc[index]
        figure.add_annotation(
            x=math.log10(row.x) if log_x else row.x,
            y=row.y,
            text=str(row.trial),
            showarrow=False,
            # The corner beyond the frontier has no points.
            xanchor="left" if maximised[0] else "right",
            yanchor="bottom" if maximised[1] else "top",
            xshift=11 if maximised[0] else -11,  # outside the mark of a highlighted neighbour
            yshift=3 if maximised[1] else -3,
            font={"size": 12, "color": GREY},
        )
    # A logarithmic axis has labels at 1, 2 and 5 of each decade; plotly places them if it spans less than one decade.
    decades = ranges[0][1] - ranges[0][0] if log_x and ranges[0] else 0
    figure.update_xaxes(
        title=safe_text(x.label, "plotly", length=60), type="log" if log_x else "linear", range=ranges[0]
    )
    figure.update_xaxes(dtick="D2" if decades > 1 else None, minorloglabels="complete")
    figure.update_yaxes(title=safe_text(y.label, "plotly", length=60), range=ranges[1])
    figure.update_layout(
        height=460,
        margin=MARGIN,
        hovermode="closest",
        clickmode="event+select",
        dragmode="zoom",
        uirevision="kept",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
    )
    return add_note(figure, note)


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
    figure.update_xaxes(title=safe_text(x.label, "plotly", length=60), type="log" if log_x else "linear")
    if log_x:
        figure.update_xaxes(minorloglabels="complete")
    figure.update_yaxes(title=safe_text(y.label, "plotly", length=60))
    figure.update_layout(
        height=440, margin=MARGIN, showlegend=True, legend={"orientation": "h", "yanchor": "top", "y": -0.18, "x": 0}
    )
    return add_note(figure, note)


def _hovers(
    own: pandas.DataFrame, x: Unit, y: Unit, probabilities: Mapping[int, float], *, brief: bool
) -> dict[str, Any]:
    """Return the hover texts of points as arguments of a trace.

    ``brief``: only trial and values; the texts of thousands of points would be most of the page's data.
    """
    if not brief:
        return {
            "text": [_hover(row, x, y, probabilities) for row in own.itertuples()],
            "hovertemplate": "%{text}<extra></extra>",
        }
    titles = [safe_text(unit.title, "plotly", length=60).replace("{", "&#123;") for unit in (y, x)]
    lines = ("trial %{customdata}", f"{titles[0]}: %{{y:.4g}}{y.suffix}", f"{titles[1]}: %{{x:.4g}}{x.suffix}")
    return {"hovertemplate": "<br>".join(lines) + "<extra></extra>"}


def _hover(row: Any, x: Unit, y: Unit, probabilities: Mapping[int, float]) -> str:
    lines = [f"trial {row.trial}" + (", on the frontier" if row.frontier else "")]
    if row.trial in probabilities:
        lines.append(f"{'stays' if row.frontier else 'joins'} with probability {probabilities[row.trial]:.0%}")
    for unit, value in ((y, row.y), (x, row.x)):
        lines.append(f"{unit.title}: {unit.of(value * unit.divisor)}")
    choices: Mapping[str, str] = row.choices
    shown = list(choices.items())[:HOVER_CHOICES]
    lines += [f"{name} = {text}" for name, text in shown]
    if len(choices) > len(shown):
        lines.append(f"and {len(choices) - len(shown)} more choices")
    return "<br>".join(safe_text(line, "plotly", length=80) for line in lines)


def _shaded(colour: str, probability: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{MIN_OPACITY + (1 - MIN_OPACITY) * probability:.3f})"


def _seeds_trace(seeds: pandas.DataFrame, x: Unit, y: Unit) -> go.Scatter:
    rows: Iterable[Any] = seeds.itertuples()
    texts = [
        f"trial {row.trial}, {row.seeds} fresh seed{'s' if row.seeds > 1 else ''}: {y.of(row.y)} ± {y.of(row.spread)}"
        for row in rows
    ]
    return go.Scatter(
        x=seeds.x / x.divisor,
        y=seeds.y / y.divisor,
        error_y={"type": "data", "array": seeds.spread / y.divisor, "thickness": 1.2, "width": 4, "color": GREY},
        mode="markers",
        name="fresh seeds",
        showlegend=True,
        marker={"symbol": "cross-thin", "size": 9, "color": GREY, "line": {"width": 1.5, "color": GREY}},
        text=[safe_text(text, "plotly") for text in texts],
        hovertemplate="%{text}<extra></extra>",
    )


def _padded(values: pandas.Series, log: bool) -> tuple[float, float] | None:
    """Return the axis range with room for labels at its ends; None without values."""
    if values.empty:
        return None
    low, high = (math.log10(values.min()), math.log10(values.max())) if log else (values.min(), values.max())
    room = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _labelled(front: pandas.DataFrame, ranges: Sequence[Any], log_x: bool) -> list[int]:
    """Return the indices of the rows whose labels do not overlap; the first and the last row take precedence."""
    boxes: dict[int, tuple[float, float, float]] = {}
    order = sorted(range(len(front)), key=lambda index: index not in (0, len(front) - 1))
    for index in order:
        row = front.iloc[index]
        shown = math.log10(row.x) if log_x else row.x, row.y
        at = [
            (value - low) / (high - low) * pixels for value, (low, high), pixels in zip(shown, ranges, SMALLEST_PLANE)
        ]
        width = DIGIT_WIDTH * len(str(row.trial)) + 6
        if all(abs(at[0] - x) >= max(width, w) or abs(at[1] - y) >= LINE_HEIGHT for x, y, w in boxes.values()):
            boxes[index] = (at[0], at[1], width)
    return sorted(boxes)
