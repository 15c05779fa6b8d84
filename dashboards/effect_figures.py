"""Figures of what choices do: effects at equal cost, interactions, error distributions, who goes with whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import pandas
from plotly import graph_objects as go

from dashboards.figures import PALETTE, PLAIN, level_looks
from dashboards.quantities import Unit
from dashboards.text import safe_text
from explorer.effects import Effect, levels_of, quantity
from explorer.records import TrialRecord

ROW_HEIGHT = 26
MARGIN = {"l": 10, "r": 10, "t": 30, "b": 10}
RIBBONS = 50  # that can be told apart
SHADES = 8  # of the ribbons of many networks
FEW = 8  # columns of a heat map that leave room for figures on a phone
# Above or below a figure that needs the width of a phone for itself.
BAR_ABOVE = {"orientation": "h", "thickness": 12, "y": 1.02, "yanchor": "bottom"}
BAR_BELOW = {"orientation": "h", "thickness": 12, "y": -0.02, "yanchor": "top"}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def effects_figure(effects: Sequence[Effect], objective: Unit, cost: Unit) -> go.Figure:
    """One row a level: its effect against the factor's reference at equal cost, with its 95% interval.

    Filled marks come from pairs of networks, open ones from the model. Effects that cannot be told are left out.
    """
    told = [effect for effect in effects if effect.effect is not None and effect.ci95 is not None]
    figure = go.Figure()
    factors = list(dict.fromkeys(effect.factor for effect in told))
    for method, symbol, colour, name in (
        ("pairs", "circle", PALETTE[0], "from pairs that differ in this choice alone"),
        ("model", "circle-open", PALETTE[1], "from a model of all networks"),
    ):
        own = [effect for effect in told if effect.method == method]
        if not own:
            continue
        figure.add_trace(
            go.Scatter(
                x=[effect.effect / objective.divisor for effect in own],
                y=[row_name(effect) for effect in own],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [(effect.ci95[1] - effect.effect) / objective.divisor for effect in own],
                    "arrayminus": [(effect.effect - effect.ci95[0]) / objective.divisor for effect in own],
                    "thickness": 1.5,
                    "width": 4,
                },
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 9, "color": colour},
                text=[_effect_text(effect, objective) for effect in own],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    rows = [row_name(effect) for factor in factors for effect in told if effect.factor == factor]
    figure.add_vline(x=0, line={"color": PLAIN, "width": 1, "dash": "dot"})
    points = "points" if objective.name == "%" else objective.name
    lines = objective.title, "gained" + (f" ({points})" if points else ""), f"at equal {cost.title}"
    title = "<br>".join(safe_text(line, "plotly", length=60) for line in lines)  # a phone has room for one of them
    figure.update_xaxes(title=title, zeroline=False, automargin=True)
    figure.update_yaxes(categoryorder="array", categoryarray=rows[::-1], automargin=True)
    figure.update_layout(
        height=110 + ROW_HEIGHT * max(len(rows), 2),
        margin=MARGIN,
        showlegend=True,  # it says where the effects come from, also where all come from one of the two
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure


def row_name(effect: Effect) -> str:
    """``order: full_preact, not original``."""
    return safe_text(f"{effect.factor}: {effect.level}, not {effect.reference}", "plotly", length=70)


def _effect_text(effect: Effect, objective: Unit) -> str:
    assert effect.effect is not None and effect.ci95 is not None
    shown = [value / objective.divisor for value in (effect.effect, *effect.ci95)]
    source = f"{effect.pairs} pairs" if effect.method == "pairs" else f"model; {effect.trials} networks have it"
    lines = [row_name(effect), f"{shown[0]:+.3g}, 95% interval {shown[1]:+.3g} .. {shown[2]:+.3g}", f"from {source}"]
    return "<br>".join(lines)


def interaction_figure(
    records: Sequence[TrialRecord], rows: str, columns: str, objective: str, unit: Unit
) -> go.Figure:
    """Mean objective for each pair of levels of two choices, whatever it cost; below it in brackets, of how many.

    Where one choice alone matters, all rows (or columns) run alike.
    """
    levels = [list(level_looks(levels_of(records, factor))) for factor in (rows, columns)]
    cells: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if rows in record.choices and columns in record.choices:
            cell = cells.setdefault((record.choices[rows], record.choices[columns]), [])
            cell.append(quantity(record, objective) / unit.divisor)
    means = [[numpy.mean(cells[r, c]) if (r, c) in cells else None for c in levels[1]] for r in levels[0]]
    form = ".1f" if unit.name == "%" else ".3g"
    texts = [
        [f"{numpy.mean(cells[r, c]):{form}}<br>({len(cells[r, c])})" if (r, c) in cells else "" for c in levels[1]]
        for r in levels[0]
    ]
    figure = go.Figure(
        go.Heatmap(
            z=means,
            x=[safe_text(level, "plotly", length=30) for level in levels[1]],
            y=[safe_text(level, "plotly", length=30) for level in levels[0]],
            text=texts,
            texttemplate="%{text}",
            # Of a size that is read where there is room for it; of so many columns plotly sees to it.
            textfont={"size": 12} if len(levels[1]) <= FEW else None,
            colorscale="Cividis",
            colorbar=BAR_ABOVE | {"title": {"text": safe_text(unit.label, "plotly", length=40), "side": "top"}},
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        )
    )
    # A standoff keeps the title below labels that were turned to find room.
    title = {"text": safe_text(columns, "plotly", length=40), "standoff": 12}
    figure.update_xaxes(title=title, type="category", showgrid=False, automargin=True)
    figure.update_yaxes(
        title=safe_text(rows, "plotly", length=40), type="category", autorange="reversed", showgrid=False
    )
    figure.update_layout(height=210 + 46 * max(len(levels[0]), 2), margin=MARGIN)
    return figure


def distribution_figure(records: Sequence[TrialRecord], factor: str | None, objective: str, unit: Unit) -> go.Figure:
    """The share of networks that reach at most each value, a curve a level (Radosavovic et al. 2019,
    arXiv:1905.13214, eq. 1: the error distribution function, here of the objective as it is shown)."""
    groups: dict[str, list[float]] = {}
    for record in records:
        level = "all networks" if factor is None else record.choices.get(factor)
        if level is not None:
            groups.setdefault(level, []).append(quantity(record, objective) / unit.divisor)
    figure = go.Figure()
    for place, (level, (colour, _)) in enumerate(level_looks(groups).items()):
        values = sorted(groups[level])
        figure.add_trace(
            go.Scatter(
                x=[values[0], *values],
                y=[100 * number / len(values) for number in range(len(values) + 1)],
                mode="lines",
                line={"shape": "hv", "color": colour, "dash": DASHES[place % len(DASHES)], "width": 2},
                name=safe_text(f"{level} ({len(values)})", "plotly", length=40),
                hovertemplate="%{y:.0f}% reach at most %{x:.4g}",
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
    """Parallel categories: each network a ribbon through its choices, coloured by the objective. Of more than RIBBONS,
    those that answer these choices alike and lie in one of SHADES equal parts of the objective's range share one."""
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
    for place, factor in enumerate(factors):
        shown = {answer: safe_text(answer, "plotly", length=title_length) for answer in level_looks(rows[place])}
        dimensions.append(
            {
                "label": safe_text(factor, "plotly", length=title_length),
                "values": [shown[answer] for answer in rows[place]],
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
            tickfont={"size": 12, "weight": "bold"},  # they stand on the ribbons
        )
    )
    figure.update_layout(height=460, margin={"l": 30, "r": 20, "t": 40, "b": 70})
    return figure
