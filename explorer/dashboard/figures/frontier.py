"""The figure of a frontier: the objective versus cost plane of one study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas
from plotly import graph_objects as go

from explorer.dashboard.figures.axes import quantity_axis
from explorer.dashboard.figures.style import GREY, HIGHLIGHT, LINE_HEIGHT, MARGIN, add_note, level_styles
from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text

CAPTION = "A point is a trained network; the line is the frontier of non-dominated networks."
SEEDS_CAPTION = (
    "Dashes with error bars: mean over trainings from fresh seeds with its 95% confidence interval, which is also the"
    " ± of texts. The opacity of a point is its probability to stay on the frontier. A network without fresh seeds is"
    " drawn at the value that they are expected to give."
)
DENSITY_CAPTION = "Most dominated networks are drawn as a density: darker where there are more."
MIN_OPACITY = 0.3  # of a point whose probability to stay on the frontier is 0
BUDGET = "budget"  # the name of the vertical line, which the user can drag
DENSITY_CELLS = (72, 48)  # of the density, along x and y
HOVER_LINE, HOVER_LINES = 64, 5  # characters of a line of a hover text, and its most lines
# Smallest size of the plane in pixels: labels that do not overlap at this size do not overlap at any.
SMALLEST_PLANE = (250, 300)
DIGIT_WIDTH = 8  # pixels
MARK = 5  # pixels, half the size of a mark
BESIDE = 12  # pixels beside its point of a label without a line: outside the ring around the shown network
LINES = (17, 32, 47)  # pixels above its point, or below it, of a label with a line to it
NAME_WIDTH = 6.8  # pixels of a character of the legend; a saved SVG may be shown in a wider font than the browser's
LEGEND_INDENT = -14  # pixels; names of 17 characters are then in two columns on a phone
BUDGET_LABEL = 0.13  # of the smallest plane: half the width of the label of the budget line, which the plane cuts
UNSELECTED = {False: 0.15, True: 0.35}  # opacity beside selected points, of dominated points and of the frontier


def frontier_figure(
    points: pandas.DataFrame,
    x: Unit,
    y: Unit,
    *,
    log_x: bool = False,
    maximised: tuple[bool, bool] = (False, True),
    colour: str | None = None,
    earlier: pandas.DataFrame | None = None,
    bound: float | None = None,
    probabilities: Mapping[int, float] = MappingProxyType({}),
    seeds: pandas.DataFrame | None = None,
    note: str = "",
) -> go.Figure:
    """Draw the trials of a study in the plane of an objective and a cost.

    Dominated points are small and pale; if there are thousands, those far from the frontier are a density. The frontier
    is a staircase through its points, each step labelled with the number of its trial. The ``customdata`` of a point is
    its trial number.

    Args:
        points: As ``data.trials.frontier_points`` returns it.
        x: Unit of the x axis.
        y: Unit of the y axis.
        log_x: Whether the x axis is logarithmic.
        maximised: Whether more is better, for x and for y.
        colour: The choice point whose answers are the levels of ``points``; None for one colour.
        earlier: Points of an earlier frontier, drawn as a dashed line.
        bound: A budget on x, drawn as a vertical line that can be dragged.
        probabilities: Trial number -> probability to stay on the frontier in another run, drawn as opacity.
        seeds: As ``data.trials.seed_points`` returns it, drawn with error bars.
        note: A warning above the plane.
    """
    points = points.assign(x=points.x / x.divisor, y=points.y / y.divisor)
    if log_x:
        points = points[points.x > 0]
    front = points[points.frontier]
    single = points[points.choices.notna()]
    figure = go.Figure()
    if len(single) < len(points):
        figure.add_trace(_density(points[points.choices.isna()], log_x))
    shape = "hv" if maximised == (False, True) else "linear"
    if earlier is not None:
        line = {"color": HIGHLIGHT, "width": 1.5, "dash": "dash", "shape": shape}
        past = {"x": earlier.x / x.divisor, "y": earlier.y / y.divisor}
        figure.add_trace(go.Scatter(**past, mode="lines", name="earlier frontier", line=line, hoverinfo="skip"))
    line = {"color": GREY, "width": 1.5, "shape": shape}
    figure.add_trace(
        go.Scatter(x=front.x, y=front.y, mode="lines", name="frontier", line=line, hoverinfo="skip", showlegend=False)
    )
    if seeds is not None and not seeds.empty:
        figure.add_trace(_seeds_trace(seeds, x, y))
    if bound is not None:
        figure.add_vline(
            x=bound / x.divisor,
            name=BUDGET,
            line={"color": HIGHLIGHT, "width": 2.5, "dash": "dot"},
            label={"text": "◂ budget ▸", "textposition": "end", "textangle": 0},
        )
    hovers = _Hovers(front, x, y, maximised, probabilities, seeds)
    for level, (colour_of, symbol) in level_styles(points.level).items():
        name = safe_text(level, "plotly", length=40)
        for is_front, size, opacity in ((False, 7, 0.45), (True, 11, 1.0)):
            own = single[(single.level == level) & (single.frontier == is_front)]
            marker: dict[str, Any] = {"color": colour_of, "size": size, "opacity": opacity, "symbol": symbol}
            if probabilities:  # opacity is part of the colour: a selection would reset opacities of single points
                shades = [_shaded(colour_of, probabilities.get(trial, 0.0)) for trial in own.trial]
                marker |= {"color": shades, "opacity": 1.0}
            figure.add_trace(
                go.Scatter(
                    x=own.x,
                    y=own.y,
                    mode="markers",
                    name=name,
                    legendgroup=level,
                    showlegend=False,
                    marker=marker,
                    selected={"marker": {"opacity": marker["opacity"]}},
                    unselected={"marker": {"opacity": min(opacity, UNSELECTED[is_front])}},
                    customdata=own.trial,
                    text=[hovers.text(row) for row in own.itertuples()],
                    hovertemplate="%{text}<extra></extra>",
                )
            )
        if colour is not None:
            marker = {"color": colour_of, "symbol": symbol, "size": 9}
            figure.add_trace(
                go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, legendgroup=level)
            )
    _draw_axes(figure, points, x, y, log_x)
    _place_budget_label(figure, log_x)
    for label in _labels(figure, front, log_x, maximised):
        figure.add_annotation(**label)
    entry = NAME_WIDTH * max((len(trace.name or "") for trace in figure.data), default=0)
    figure.update_layout(
        height=450,
        margin={**MARGIN, "r": 24, "t": 48},  # room for the end of the budget line and its label
        hovermode="closest",
        clickmode="event+select",
        dragmode="zoom",
        uirevision="kept",
        # Below the plane: the buttons that zoom and save are above it.
        legend={
            "orientation": "h",
            "yref": "container",
            "yanchor": "bottom",
            "y": 0,
            "x": 0,
            "xref": "container",
            "entrywidth": entry,
            "indentation": LEGEND_INDENT,
        },
    )
    return add_note(figure, note)


def _draw_axes(figure: go.Figure, points: pandas.DataFrame, x: Unit, y: Unit, log_x: bool) -> None:
    """Set the axes to the range of the data and of their error bars, with room at both ends."""
    heights = [points.y.to_numpy(float)]
    for trace in figure.data:
        if trace.type == "scatter" and trace.error_y.array is not None:
            middle, half = np.asarray(trace.y, float), np.asarray(trace.error_y.array, float)
            heights += [middle - half, middle + half]
    spans = [
        (np.nanmin(own), np.nanmax(own)) if len(own) else (math.nan, math.nan)
        for own in (points.x.to_numpy(float), np.concatenate(heights))
    ]
    figure.update_xaxes(**quantity_axis(x, *(value * x.divisor for value in spans[0]), log=log_x))
    figure.update_yaxes(**quantity_axis(y, *(value * y.divisor for value in spans[1])))


def _place_budget_label(figure: go.Figure, log_x: bool) -> None:
    """Write the label of the budget line beside the line if the line is near an end of the x axis."""
    low, high = figure.layout.xaxis.range or (0, 1)
    for line in figure.select_shapes(selector={"name": BUDGET}):
        if log_x and line.x0 <= 0:
            continue
        place = ((math.log10(line.x0) if log_x else line.x0) - low) / (high - low)
        line.label.xanchor = "right" if place > 1 - BUDGET_LABEL else "left" if place < BUDGET_LABEL else "center"


def _density(points: pandas.DataFrame, log_x: bool) -> go.Heatmap:
    """Return the density of very many points, on a logarithmic scale of their number."""
    across = np.log10(points.x) if log_x else points.x
    counts, edges_x, edges_y = np.histogram2d(across, points.y, bins=DENSITY_CELLS)
    shown = np.where(counts.T > 0, np.log10(np.maximum(counts.T, 1)) + 0.3, np.nan)
    return go.Heatmap(
        x=10**edges_x if log_x else edges_x,
        y=edges_y,
        z=shown,
        text=counts.T.astype(int),
        hovertemplate="%{text} networks<extra></extra>",
        colorscale=[[0, "rgba(120,130,150,0.12)"], [1, "rgba(90,100,120,0.75)"]],
        showscale=False,
        name="density",
    )


class _Hovers:
    """Hover texts: number, values, and what differs from the nearest network of the frontier, in at most five lines."""

    def __init__(
        self,
        front: pandas.DataFrame,
        x: Unit,
        y: Unit,
        maximised: tuple[bool, bool],
        probabilities: Mapping[int, float],
        seeds: pandas.DataFrame | None,
    ) -> None:
        self.front: list[Any] = list(front.itertuples())
        self.costs = front.x.to_numpy(float)
        self.places = {int(row.trial): place for place, row in enumerate(self.front)}
        self.x, self.y = x, y
        self.descending = maximised[0]
        self.probabilities = probabilities
        self.estimates = {} if seeds is None else dict(zip(seeds.trial, seeds.text))

    def text(self, row: Any) -> str:
        """Return the hover text of a row of points."""
        first = f"trial {row.trial}" + (", on the frontier" if row.frontier else "")
        if row.trial in self.probabilities:
            first += f", {'stays' if row.frontier else 'joins'} with probability {self.probabilities[row.trial]:.0%}"
        values = [unit.titled(value * unit.divisor) for unit, value in ((self.y, row.y), (self.x, row.x))]
        if row.trial in self.estimates:  # of the same value
            values[0] = self.estimates[row.trial]
        lines = [first, ", ".join(values)]
        neighbour = self._neighbour(row)
        if neighbour is not None:
            lines += self._differences(row, neighbour)
        return "<br>".join(safe_text(line, "plotly", length=90) for line in lines[:HOVER_LINES])

    def _neighbour(self, row: Any) -> Any:
        """Return the frontier's network to compare with: the next cheaper one, or the one that costs as much."""
        place = self.places.get(int(row.trial))
        if place is None:
            place = int(np.searchsorted(self.costs, row.x, side="left" if self.descending else "right"))
            place = min(place, len(self.front) - 1) if self.descending else max(place - 1, 0)
            return self.front[place] if self.front else None
        other = place + 1 if self.descending else place - 1
        return self.front[other] if 0 <= other < len(self.front) else None

    def _differences(self, row: Any, other: Any) -> list[str]:
        names = dict.fromkeys([*row.choices, *other.choices])
        changed = [
            f"{name}: {row.choices.get(name, 'not asked')} (not {other.choices.get(name, 'not asked')})"
            for name in names
            if row.choices.get(name) != other.choices.get(name)
        ]
        if not changed:
            return [f"same choices as trial {other.trial} of the frontier"]
        head = f"differs from trial {other.trial} of the frontier in {len(changed)} choice{'s' * (len(changed) > 1)}:"
        lines, shown = [""], 0
        for text in changed:
            text = text if len(text) <= HOVER_LINE else text[: HOVER_LINE - 1] + "…"
            joined = f"{lines[-1]}; {text}" if lines[-1] else text
            if len(joined) <= HOVER_LINE:
                lines[-1] = joined
            elif len(lines) < HOVER_LINES - 3:
                lines.append(text)
            else:
                break
            shown += 1
        if shown < len(changed):
            lines[-1] += f"; {len(changed) - shown} more"
        return [head, *lines]


def _labels(
    figure: go.Figure, front: pandas.DataFrame, log_x: bool, maximised: tuple[bool, bool]
) -> list[dict[str, Any]]:
    """Return the labels of the frontier's steps, without those that have no free place near their point.

    A label is above its own step if it fits there, else in a corner of its point, else farther away with a line to it.
    """
    ranges = [axis.range for axis in (figure.layout.xaxis, figure.layout.yaxis)]
    if front.empty or None in ranges:
        return []
    across = np.log10(front.x.to_numpy()) if log_x else front.x.to_numpy()
    at = [
        (values - low) / (high - low) * pixels
        for values, (low, high), pixels in zip((across, front.y.to_numpy()), ranges, SMALLEST_PLANE)
    ]
    steps = np.append(at[0][1:], SMALLEST_PLANE[0] + 30) - at[0]
    outer = (1 if maximised[0] else -1, 1 if maximised[1] else -1)  # nothing is better, so no mark is in this corner
    taken: list[tuple[float, float, float]] = []  # left end, bottom, width
    found = {}
    # Both ends first, then the longest steps: of points above each other the best one has the label.
    for index in sorted(range(len(front)), key=lambda place: (place not in (0, len(front) - 1), -steps[place])):
        text = str(front.trial.iloc[index])
        width = DIGIT_WIDTH * len(text) + 6
        above_step = maximised == (False, True) and steps[index] >= width + BESIDE + 1
        for number, (x, y) in enumerate(_places(outer, above_step)):
            left = at[0][index] + (x if x > 0 else x - width)
            bottom = at[1][index] + (y if y > 0 else y - LINE_HEIGHT)
            inside = 0 <= left <= SMALLEST_PLANE[0] - width and 0 <= bottom <= SMALLEST_PLANE[1] - LINE_HEIGHT
            if number and not (inside and _is_free_of_marks(left, bottom, width, at, index)):
                continue
            if any(x0 < left + width and left < x0 + w and abs(bottom - b) < LINE_HEIGHT for x0, b, w in taken):
                continue
            taken.append((left, bottom, width))
            found[index] = {"x": float(across[index]), "y": front.y.iloc[index], "text": text, **_placed(x, y)}
            break
    return [found[index] for index in sorted(found)]


def _places(outer: tuple[int, int], above_step: bool) -> Iterable[tuple[int, int]]:
    """Return the places of a label in the order of preference, in pixels from its point."""
    side, up = outer
    if above_step:
        yield BESIDE, up
    yield BESIDE * side, up
    yield -BESIDE * side, -up
    for away in (*LINES, *(-each for each in LINES)):
        yield 14 * side, away * up


def _placed(x: int, y: int) -> dict[str, Any]:
    """Return the settings of an annotation at a place of ``_places``."""
    settings: dict[str, Any] = {
        "showarrow": False,
        "xanchor": "left" if x > 0 else "right",
        "yanchor": "bottom" if y > 0 else "top",
        "font": {"size": 12},
    }
    if abs(y) not in LINES:
        return {**settings, "xshift": x, "yshift": y}
    line = {"ax": x, "ay": -y, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": GREY, "standoff": 6}
    return {**settings, "showarrow": True, **line}


def _is_free_of_marks(left: float, bottom: float, width: float, at: list[np.ndarray], own: int) -> bool:
    """Return whether no other mark of the frontier is in the box of a label."""
    inside = (at[0] > left - MARK) & (at[0] < left + width + MARK)
    inside &= (at[1] > bottom - MARK) & (at[1] < bottom + LINE_HEIGHT + MARK)
    inside[own] = False
    return not inside.any()


def _shaded(colour: str, probability: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{MIN_OPACITY + (1 - MIN_OPACITY) * probability:.3f})"


def _seeds_trace(seeds: pandas.DataFrame, x: Unit, y: Unit) -> go.Scatter:
    """Return the dashes of fresh seeds. They take no click and have no text: the network's point is at their place."""
    return go.Scatter(
        x=seeds.x / x.divisor,
        y=seeds.y / y.divisor,
        error_y={"type": "data", "array": seeds.half / y.divisor, "thickness": 1.2, "width": 4, "color": GREY},
        mode="markers",
        name="fresh seeds",
        showlegend=True,
        marker={"symbol": "line-ew", "size": 12, "color": GREY, "line": {"width": 2.5, "color": GREY}},  # of no level
        hoverinfo="skip",
    )
