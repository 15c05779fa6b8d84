"""Figures as pure functions of tables. Nothing here knows Streamlit or a database.

Texts that come with the data are made safe for plotly, which takes ``<b>`` and ``<a>`` in them for markup.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import pandas
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from dashboards.quantities import Unit
from dashboards.tables import NOT_ASKED, OTHERS
from dashboards.text import safe_text
from explorer.records import Epoch, GradientFlow

# Paul Tol's "bright" scheme: told apart with any colour vision, on white and on black.
# Symbols change with the colours, so that nothing hangs on colour alone.
PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star")
PLAIN = "#8C8C8C"  # read on white and on black
CHOSEN = "#E8590C"
MANY = 1_000  # points from which drawing with WebGL pays
HOVERED_CHOICES = 12
FAINTEST = 0.3  # opacity of a point that is surely not on the frontier
# The least room a figure is drawn in, in pixels: labels that do not overlap there overlap nowhere.
NARROW = (250, 300)
LABEL_HEIGHT, DIGIT_WIDTH = 15, 8
NOTE_LENGTH, NOTE_LINES = 50, 6  # signs that fit a narrow figure; the page says the whole


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
    likely: Mapping[int, float] = MappingProxyType({}),
    seeds: pandas.DataFrame | None = None,
    note: str = "",
) -> go.Figure:
    """The accuracy-versus-cost plane: ``points`` as ``tables.frontier_points`` makes them.

    Dominated points are muted; the frontier is a staircase through its points, which bear their trial
    numbers: on the stairs' lower right side lies all that is dominated. ``maximised``: whether more is
    better, for x and y; ``chosen``: the trial that is marked as if clicked; ``earlier``: the points of a
    frontier as it once was, dashed; ``bound``: a budget on x, drawn upright; ``likely``: trial -> probability that
    it is on the frontier, its opacity; ``seeds``: as ``tables.seed_points`` makes them, with error bars; ``note``: said
    above the plane. Each point's ``customdata`` is its trial.
    """
    points = points.assign(x=points.x / x.divisor, y=points.y / y.divisor)
    if log_x:
        points = points[points.x > 0]
    scatter = go.Scattergl if len(points) > MANY else go.Scatter
    front = points[points.frontier]
    figure = go.Figure()
    shape = "hv" if maximised == (False, True) else "linear"
    if earlier is not None:
        line = {"color": CHOSEN, "width": 1.5, "dash": "dash", "shape": shape}
        past = {"x": earlier.x / x.divisor, "y": earlier.y / y.divisor}
        figure.add_trace(scatter(**past, mode="lines", name="frontier then", line=line, hoverinfo="skip"))
    line = {"color": PLAIN, "width": 1.5, "shape": shape}
    figure.add_trace(
        scatter(x=front.x, y=front.y, mode="lines", name="frontier", line=line, hoverinfo="skip", showlegend=False)
    )
    if seeds is not None and not seeds.empty:
        figure.add_trace(_seeds_trace(seeds, x, y))
    if bound is not None:
        figure.add_vline(x=bound / x.divisor, line={"color": CHOSEN, "width": 1.5, "dash": "dot"})
    for level, (colour_of, symbol) in level_looks(points.level).items():
        name = safe_text(level, "plotly", length=40)
        for is_front, size, opacity in ((False, 7, 0.45), (True, 11, 1.0)):
            own = points[(points.level == level) & (points.frontier == is_front)]
            usual = {"color": colour_of, "size": size, "opacity": opacity}
            marker, rest = usual, usual
            if likely:  # in the colours: a selection leaves them as they are, but not single opacities
                shades = [_shaded(colour_of, likely.get(trial, 0.0)) for trial in own.trial]
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
                    selectedpoints=[place for place, trial in enumerate(own.trial) if trial == chosen],
                    selected={"marker": {"color": CHOSEN, "size": 18, "opacity": 1}},
                    # Without this a selection would fade all the rest, and the last one would stay large.
                    unselected={"marker": rest},
                    customdata=own.trial,
                    **_hovers(own, x, y, likely, brief=len(points) > MANY and not is_front),
                )
            )
        if colour is not None:
            look = {"color": colour_of, "symbol": symbol, "size": 9}
            figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=look, legendgroup=level))
    ranges = _padded(points.x, log_x), _padded(points.y, False)
    for place in _labelled(front, ranges, log_x):
        row = front.iloc[place]
        figure.add_annotation(
            x=math.log10(row.x) if log_x else row.x,
            y=row.y,
            text=str(row.trial),
            showarrow=False,
            # The corner beyond the frontier holds no points.
            xanchor="left" if maximised[0] else "right",
            yanchor="bottom" if maximised[1] else "top",
            xshift=11 if maximised[0] else -11,  # clear of the mark of a chosen neighbour
            yshift=3 if maximised[1] else -3,
            font={"size": 12, "color": PLAIN},
        )
    # A logarithmic axis is labelled at 1, 2 and 5 of each decade, or where plotly likes when it spans less than one.
    decades = ranges[0][1] - ranges[0][0] if log_x and ranges[0] else 0
    figure.update_xaxes(
        title=safe_text(x.label, "plotly", length=60), type="log" if log_x else "linear", range=ranges[0]
    )
    figure.update_xaxes(dtick="D2" if decades > 1 else None, minorloglabels="complete")
    figure.update_yaxes(title=safe_text(y.label, "plotly", length=60), range=ranges[1])
    figure.update_layout(
        height=460,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        hovermode="closest",
        clickmode="event+select",
        dragmode="zoom",
        uirevision="kept",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
    )
    return noted(figure, note)


def noted(figure: go.Figure, note: str) -> go.Figure:
    """The figure with a line above its plane that says what to mind, if there is one."""
    if note:
        lines = textwrap.wrap(note, NOTE_LENGTH)[:NOTE_LINES]
        figure.add_annotation(
            text="<br>".join(safe_text(line, "plotly") for line in lines),
            **{"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
            align="left",
            showarrow=False,
            font={"size": 11, "color": CHOSEN},
        )
        figure.update_layout(margin={"t": 20 + LABEL_HEIGHT * len(lines)})
    return figure


def training_figure(curve: Sequence[Epoch]) -> go.Figure:
    """Training and validation loss over epochs, and validation accuracy below them."""
    epochs = [epoch.epoch for epoch in curve]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, name, colour, values in (
        (1, "training loss", PALETTE[0], [epoch.train_loss for epoch in curve]),
        (1, "validation loss", PALETTE[1], [epoch.val_loss for epoch in curve]),
        (2, "validation accuracy", PALETTE[2], [100 * epoch.val_accuracy for epoch in curve]),
    ):
        dash = "dash" if name == "training loss" else "solid"
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_trace(
            go.Scatter(x=epochs, y=values, name=name, mode="lines+markers", line=line, marker={"size": 5}), row, 1
        )
    figure.update_yaxes(title="loss", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="accuracy (%)", row=2, col=1)
    figure.update_xaxes(title="epoch", row=2, col=1)
    figure.update_xaxes(tick0=1, dtick=max(1, math.ceil(len(epochs) / 10)))
    figure.update_layout(
        height=400,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def gradient_figure(flow: GradientFlow) -> go.Figure:
    """Through the blocks of a network at its initialisation: gradient norms, and below them what shares the shortcut
    carries and dead units take."""
    names = [f"{block.stage}.{block.block}" for block in flow.blocks]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    for row, name, place, values in (
        (1, "gradient norm", 0, [block.grad_norm for block in flow.blocks]),
        (2, "share of the shortcut", 2, [100 * block.shortcut_share for block in flow.blocks]),
        (2, "dead units", 1, [100 * block.dead_share for block in flow.blocks]),
    ):
        look = {"color": PALETTE[place], "symbol": SYMBOLS[place], "size": 7}
        figure.add_trace(
            go.Scatter(x=names, y=values, name=name, mode="lines+markers", marker=look, line={"width": 1.5}), row, 1
        )
    positive = all(block.grad_norm > 0 for block in flow.blocks)
    figure.update_yaxes(title="norm", type="log" if positive else "linear", row=1, col=1)
    figure.update_yaxes(title="share (%)", range=[-4, 104], row=2, col=1)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title="stage.block", row=2, col=1)
    figure.update_layout(
        height=360,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def level_looks(levels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Level -> (colour, symbol): by name, so that a level keeps its look as long as the levels stay the same."""
    known = sorted(set(levels), key=lambda level: (level in (OTHERS, NOT_ASKED), _natural(level)))
    looks = {}
    for place, level in enumerate(known):
        grey = level in (OTHERS, NOT_ASKED)
        looks[level] = (PLAIN, "x") if grey else (PALETTE[place % len(PALETTE)], SYMBOLS[place % len(SYMBOLS)])
    return looks


def _natural(level: str) -> tuple[float, str]:
    try:
        return float(level), level
    except ValueError:
        return math.inf, level


def _hovers(own: pandas.DataFrame, x: Unit, y: Unit, likely: Mapping[int, float], *, brief: bool) -> dict:
    """What is said of each point that is pointed at; ``brief``: number and values alone, or the texts of thousands of
    points would be most of what a browser has to read."""
    if not brief:
        return {
            "text": [_hover(row, x, y, likely) for row in own.itertuples()],
            "hovertemplate": "%{text}<extra></extra>",
        }
    titles = [safe_text(unit.title, "plotly", length=60).replace("{", "&#123;") for unit in (y, x)]
    lines = ("trial %{customdata}", f"{titles[0]}: %{{y:.4g}}{y.suffix}", f"{titles[1]}: %{{x:.4g}}{x.suffix}")
    return {"hovertemplate": "<br>".join(lines) + "<extra></extra>"}


def _hover(row, x: Unit, y: Unit, likely: Mapping[int, float]) -> str:
    lines = [f"trial {row.trial}" + (", on the frontier" if row.frontier else "")]
    if row.trial in likely:
        lines.append(f"on the frontier with probability {likely[row.trial]:.2f}")
    for unit, value in ((y, row.y), (x, row.x)):
        lines.append(f"{unit.title}: {unit.of(value * unit.divisor)}")
    choices: Mapping[str, str] = row.choices
    shown = list(choices.items())[:HOVERED_CHOICES]
    lines += [f"{name} = {text}" for name, text in shown]
    if len(choices) > len(shown):
        lines.append(f"and {len(choices) - len(shown)} more choices")
    return "<br>".join(safe_text(line, "plotly", length=80) for line in lines)


def _shaded(colour: str, probability: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{FAINTEST + (1 - FAINTEST) * probability:.3f})"


def _seeds_trace(seeds: pandas.DataFrame, x: Unit, y: Unit) -> go.Scatter:
    texts = [
        f"trial {row.trial}, {row.seeds} fresh seed{'s' if row.seeds > 1 else ''}: {y.of(row.y)} ± {y.of(row.spread)}"
        for row in seeds.itertuples()
    ]
    return go.Scatter(
        x=seeds.x / x.divisor,
        y=seeds.y / y.divisor,
        error_y={"type": "data", "array": seeds.spread / y.divisor, "thickness": 1.2, "width": 4, "color": PLAIN},
        mode="markers",
        name="fresh seeds",
        showlegend=True,
        marker={"symbol": "cross-thin", "size": 9, "color": PLAIN, "line": {"width": 1.5, "color": PLAIN}},
        text=[safe_text(text, "plotly") for text in texts],
        hovertemplate="%{text}<extra></extra>",
    )


def _padded(values: pandas.Series, log: bool) -> tuple[float, float] | None:
    """The axis range with room for labels at its ends, None for no values."""
    if values.empty:
        return None
    low, high = (math.log10(values.min()), math.log10(values.max())) if log else (values.min(), values.max())
    room = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _labelled(front: pandas.DataFrame, ranges: tuple, log_x: bool) -> list[int]:
    """The rows whose labels fit beside each other; both ends come first."""
    boxes: dict[int, tuple[float, float, float]] = {}
    order = sorted(range(len(front)), key=lambda place: place not in (0, len(front) - 1))
    for place in order:
        row = front.iloc[place]
        across = math.log10(row.x) if log_x else row.x
        at = [
            (value - low) / (high - low) * pixels for value, (low, high), pixels in zip((across, row.y), ranges, NARROW)
        ]
        width = DIGIT_WIDTH * len(str(row.trial)) + 6
        if all(abs(at[0] - x) >= max(width, w) or abs(at[1] - y) >= LABEL_HEIGHT for x, y, w in boxes.values()):
            boxes[place] = (at[0], at[1], width)
    return sorted(boxes)
