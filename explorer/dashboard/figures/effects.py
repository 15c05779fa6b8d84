"""Figures of choices: effects at equal cost, interactions, distributions and parallel categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import pandas
from plotly import graph_objects as go

from explorer.analysis.effects import Effect, levels_of, quantity
from explorer.dashboard.figures.style import GREY, MARGIN, PALETTE, level_styles
from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text
from explorer.records import TrialRecord

EFFECTS_CAPTION = (
    "The effect of each level relative to the choice's most frequent level. An interval that contains zero is"
    " compatible with no effect."
)
INTERACTION_CAPTION = "Mean values, whatever the networks cost; in parentheses the number of networks."
ROW_HEIGHT = 26
RIBBONS = 50  # most that a reader can distinguish
SHADES = 8  # colours of merged ribbons
FEW_COLUMNS = 8  # of a heat map: their cells have room for text on a phone
# Colour bars stand above or below, so that the figure has the whole width of a phone.
BAR_ABOVE = {"orientation": "h", "thickness": 12, "y": 1.02, "yanchor": "bottom"}
BAR_BELOW = {"orientation": "h", "thickness": 12, "y": -0.02, "yanchor": "top"}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def effects_figure(effects: Sequence[Effect], objective: Unit, cost: Unit) -> go.Figure:
    """Draw the effect of each level, relative to its factor's reference level at equal cost, with a 95% interval.

    Filled marks are estimated from pairs of networks, open ones from the model. Effects that could not be estimated are
    left out.

    Args:
        effects: As ``explorer.analysis.effects.choice_effects`` returns them.
        objective: Unit of the objective.
        cost: Unit of the cost.
    """
    scale = objective.divisor
    known = [
        (effect, effect.effect / scale, effect.ci95[0] / scale, effect.ci95[1] / scale)
        for effect in effects
        if effect.effect is not None and effect.ci95 is not None
    ]
    figure = go.Figure()
    factors = list(dict.fromkeys(effect.factor for effect, *_ in known))
    for method, symbol, colour, name in (
        ("pairs", "circle", PALETTE[0], "from pairs that differ only in this choice"),
        ("model", "circle-open", PALETTE[1], "from a model of all networks"),
    ):
        own = [each for each in known if each[0].method == method]
        if not own:
            continue
        figure.add_trace(
            go.Scatter(
                x=[value for _, value, _, _ in own],
                y=[row_name(effect) for effect, *_ in own],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - value for _, value, _, high in own],
                    "arrayminus": [value - low for _, value, low, _ in own],
                    "thickness": 1.5,
                    "width": 4,
                },
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 9, "color": colour},
                text=[_hover(*each) for each in own],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    rows = [row_name(effect) for factor in factors for effect, *_ in known if effect.factor == factor]
    figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"})
    points = "points" if objective.name == "%" else objective.name
    lines = objective.title, "gained" + (f" ({points})" if points else ""), f"at equal {cost.title}"
    title = "<br>".join(safe_text(line, "plotly", length=60) for line in lines)  # one line fits the width of a phone
    figure.update_xaxes(title=title, zeroline=False, automargin=True)
    figure.update_yaxes(categoryorder="array", categoryarray=rows[::-1], automargin=True)
    figure.update_layout(
        height=110 + ROW_HEIGHT * max(len(rows), 2),
        margin=MARGIN,
        showlegend=True,  # it names the source of the effects, also if there is only one
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure


def row_name(effect: Effect) -> str:
    """Return the label of an effect: ``order: full_preact, not original``."""
    return safe_text(f"{effect.factor}: {effect.level}, not {effect.reference}", "plotly", length=70)


def _hover(effect: Effect, value: float, low: float, high: float) -> str:
    source = f"{effect.pairs} pairs" if effect.method == "pairs" else f"model; {effect.trials} networks have this level"
    lines = [row_name(effect), f"{value:+.3g}, 95% interval {low:+.3g} .. {high:+.3g}", f"from {source}"]
    return "<br>".join(lines)


def interaction_figure(
    records: Sequence[TrialRecord], rows: str, columns: str, objective: str, unit: Unit
) -> go.Figure:
    """Draw the mean objective for each pair of levels of two choices, with the number of networks in parentheses.

    Costs are not taken into account. If only one choice has an effect, all rows (or all columns) are alike.

    Args:
        records: Trials that have the objective.
        rows: The choice of the rows.
        columns: The choice of the columns.
        objective: Name of the objective.
        unit: Its unit.
    """
    levels = [list(level_styles(levels_of(records, factor))) for factor in (rows, columns)]
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
            # Of many columns plotly chooses the size.
            textfont={"size": 12} if len(levels[1]) <= FEW_COLUMNS else None,
            colorscale="Cividis",
            colorbar=BAR_ABOVE | {"title": {"text": safe_text(unit.label, "plotly", length=40), "side": "top"}},
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        )
    )
    # The standoff keeps the title below labels that plotly rotates.
    title = {"text": safe_text(columns, "plotly", length=40), "standoff": 12}
    figure.update_xaxes(title=title, type="category", showgrid=False, automargin=True)
    figure.update_yaxes(
        title=safe_text(rows, "plotly", length=40), type="category", autorange="reversed", showgrid=False
    )
    figure.update_layout(height=210 + 46 * max(len(levels[0]), 2), margin=MARGIN)
    return figure


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
