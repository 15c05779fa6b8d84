"""Figures of interactions: whether one choice's effect differs between the levels of another choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
from plotly import graph_objects as go

from explorer.analysis.effects import Interaction, levels_of, quantity
from explorer.analysis.effects.conditional import ConditionalEffect
from explorer.analysis.effects.equal_cost import PairAtCost
from explorer.dashboard.data.effects import clearest_pairs, interval_text, points_name, range_text, signed
from explorer.dashboard.figures.style import GREY, MARGIN, PALETTE, SYMBOLS, level_styles
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.text import safe_text
from explorer.records import TrialRecord

MATRIX_CAPTION = (
    "By how much the effect of one choice differs between the levels of the other, all else equal: of all pairs of"
    " levels, the one that is farthest from zero in widths of its interval. A filled cell is not zero, corrected for"
    " the number of comparisons; an empty one has too few networks. Hover for the levels and the interval."
)
CONDITIONAL_CAPTION = (
    "The effect all else equal, under each level of the other choice. A filled mark differs from the mark of the same"
    " colour in the first row, corrected for the number of comparisons. Lines are 95% intervals."
)
COST_HEAT_CAPTION = (
    "How much better networks with both levels are than all networks of like cost; red is better. A bold number has an"
    " interval that does not contain zero, in parentheses is the number of networks where they are too few. Hover for"
    " the interval and the costs compared."
)
MEANS_CAPTION = (
    "Mean values, whatever the networks cost: costs are not taken into account. In parentheses the number of networks."
)
MAX_LEVELS = len(PALETTE)  # of a choice, as colours
FEW = 8  # rows and columns of a matrix whose cells have room for text on a phone
BAR_ABOVE = {"orientation": "h", "thickness": 12, "y": 1.02, "yanchor": "bottom"}
# Half-transparent, so that a text in the colour of the theme is readable on it.
FILL = ((0.0, "rgba(140,140,140,0.12)"), (0.001, "rgba(232,89,12,0.15)"), (1.0, "rgba(232,89,12,0.5)"))


def matrix_figure(interactions: Sequence[Interaction], unit: Unit) -> go.Figure:
    """Draw for each pair of choices its clearest interaction; the fill is its size if it is significant.

    Args:
        interactions: As ``explorer.analysis.effects.interactions`` returns them.
        unit: Unit of the objective.
    """
    pairs = clearest_pairs(interactions)
    factors = list(dict.fromkeys(name for each in interactions for name in (each.factor, each.other)))
    places = {factor: place for place, factor in enumerate(factors)}
    sizes = [[_fill(pairs.get((row, column)), unit) for column in factors] for row in factors]
    names = [safe_text(factor, "plotly", length=16) for factor in factors]
    cells = [(places[row], places[column], each) for (row, column), each in pairs.items()]
    strongest = max((size for line in sizes for size in line if size), default=1.0)
    figure = go.Figure(
        go.Heatmap(z=sizes, zmin=0, zmax=strongest, colorscale=FILL, showscale=False, hoverinfo="skip", xgap=2, ygap=2)
    )
    figure.add_trace(
        go.Scatter(
            x=[column for _, column, _ in cells],
            y=[row for row, _, _ in cells],
            mode="text" if len(factors) <= FEW else "markers",
            marker={"opacity": 0, "size": 12},
            text=[f"<b>{_size(each, unit)}</b>" if each.significant else _size(each, unit) for *_, each in cells],
            hovertext=[_interaction_hover(each, unit) for *_, each in cells],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
        )
    )
    ticks = {"tickmode": "array", "tickvals": list(range(len(factors))), "ticktext": names, "showgrid": False}
    figure.update_xaxes(ticks, zeroline=False, side="top", tickangle=-60, fixedrange=True, automargin=True)
    figure.update_yaxes(ticks, zeroline=False, autorange="reversed", fixedrange=True, automargin=True)
    figure.update_layout(height=150 + 34 * max(len(factors), 2), margin={**MARGIN, "t": 10})
    return figure


def _fill(each: Interaction | None, unit: Unit) -> float | None:
    if each is None:
        return None
    return abs(each.effect) / unit.divisor if each.significant else 0.0


def _size(each: Interaction, unit: Unit) -> str:
    return signed(abs(each.effect), unit).lstrip("+")


def _interaction_hover(each: Interaction, unit: Unit) -> str:
    points = points_name(unit)
    lines = (
        f"{each.factor}: effect of {each.level}, not {each.reference},",
        f"where {each.other} is {each.other_level}, not {each.other_reference}:",
        f"{signed(each.effect, unit)} {points} different, 95% interval {interval_text(each, unit)}",
        f"{each.trials:,} networks have both levels",
        "not zero, corrected for the number of comparisons" if each.significant else "may be zero",
    )
    return "<br>".join(safe_text(line, "plotly", length=90) for line in lines)


def conditional_figure(
    found: Sequence[ConditionalEffect], interactions: Sequence[Interaction], unit: Unit
) -> go.Figure:
    """Draw the effect of each level of a choice under each level of another one, with 95% intervals.

    Args:
        found: As ``explorer.analysis.effects.conditional.conditional_effects`` returns them. At most ``MAX_LEVELS``
            levels of either choice are drawn, the first ones.
        interactions: Those of the two choices; an effect that differs significantly from that in the first row is
            filled.
        unit: Unit of the objective.
    """
    rows = list(dict.fromkeys(each.other_level for each in found))[:MAX_LEVELS]
    levels = list(dict.fromkeys(each.level for each in found))[:MAX_LEVELS]
    significant = _significant(interactions)
    figure = go.Figure()
    for number, level in enumerate(levels):
        own = [each for each in found if each.level == level and each.other_level in rows and each.effect is not None]
        offset = 0.7 * ((number + 0.5) / len(levels) - 0.5)
        values = [each.effect / unit.divisor for each in own if each.effect is not None]
        ends = [[each.ci95[end] / unit.divisor for each in own if each.ci95] for end in (0, 1)]
        filled = [significant.get(frozenset(((each.factor, level), (each.other, each.other_level)))) for each in own]
        symbol = SYMBOLS[number % len(SYMBOLS)]
        figure.add_trace(
            go.Scatter(
                x=values,
                y=[rows.index(each.other_level) + offset for each in own],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - value for value, high in zip(values, ends[1])],
                    "arrayminus": [value - low for value, low in zip(values, ends[0])],
                    "thickness": 1.5,
                    "width": 3,
                },
                mode="markers",
                name=safe_text(f"{level}, not {own[0].reference}" if own else level, "plotly", length=44),
                marker={
                    "symbol": [symbol if each else f"{symbol}-open" for each in filled],
                    "size": 9,
                    "color": PALETTE[number],
                },
                hovertext=[_conditional_hover(each, unit) for each in own],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    factor, other = (found[0].factor, found[0].other) if found else ("", "")
    points = points_name(unit)
    title = f"effect of {safe_text(factor, length=30)}" + (f" ({points})" if points else "")
    figure.update_xaxes(title=safe_text(title, "plotly", length=60), zeroline=False, automargin=True)
    figure.update_yaxes(
        title=safe_text(other, "plotly", length=30),
        tickmode="array",
        tickvals=list(range(len(rows))),
        ticktext=[safe_text(level, "plotly", length=20) for level in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    figure.update_layout(
        height=150 + 22 * len(levels) + len(rows) * (24 + 12 * len(levels)),
        margin=MARGIN,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure


def _significant(interactions: Sequence[Interaction]) -> Mapping[frozenset[tuple[str, str]], bool]:
    """Return the levels of two choices -> whether their interaction is significant."""
    return {
        frozenset(((each.factor, each.level), (each.other, each.other_level))): each.significant
        for each in interactions
    }


def _conditional_hover(each: ConditionalEffect, unit: Unit) -> str:
    if each.effect is None or each.ci95 is None:
        return ""
    low, high = (signed(end, unit) for end in each.ci95)
    lines = (
        f"{each.factor}: {each.level}, not {each.reference}, where {each.other} is {each.other_level}",
        f"{signed(each.effect, unit)} {points_name(unit)}, 95% interval [{low}, {high}]",
        f"{each.trials:,} and {each.reference_trials:,} networks",
    )
    return "<br>".join(safe_text(line, "plotly", length=90) for line in lines)


def cost_heat_figure(
    found: Sequence[PairAtCost], factor: str, other: str, unit: Unit, cost: str, *, maximised: bool
) -> go.Figure:
    """Draw how much better each pair of levels is than all networks of like cost; red is better, blue is worse.

    Args:
        found: As ``EffectModel.pairs_at_cost`` returns them.
        factor: The choice of the rows.
        other: The choice of the columns.
        unit: Unit of the objective.
        cost: Name of the cost.
        maximised: Whether more of the objective is better.
    """
    rows, columns = (list(dict.fromkeys(getattr(each, name) for each in found)) for name in ("level", "other_level"))
    known = {(each.level, each.other_level): each for each in found}
    values = [[_told(known.get((row, column)), unit) for column in columns] for row in rows]
    reach = max((abs(value) for line in values for value in line if value is not None), default=1.0) or 1.0
    texts, hovers = (
        [[text(known.get((row, column)), unit, cost) for column in columns] for row in rows]
        for text in (_cell_text, _cell_hover)
    )
    better, worse = "rgba(232,89,12,0.6)", "rgba(68,119,170,0.6)"
    low, high = (worse, better) if maximised else (better, worse)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=[safe_text(level, "plotly", length=30) for level in columns],
            y=[safe_text(level, "plotly", length=30) for level in rows],
            zmin=-reach,
            zmax=reach,
            colorscale=[(0.0, low), (0.5, "rgba(140,140,140,0.12)"), (1.0, high)],
            showscale=False,
            text=texts,
            texttemplate="%{text}",
            textfont={"size": 12} if len(columns) <= FEW else None,
            hovertext=hovers,
            hovertemplate="%{hovertext}<extra></extra>",
            xgap=2,
            ygap=2,
        )
    )
    title = {"text": safe_text(other, "plotly", length=40), "standoff": 12}
    figure.update_xaxes(title=title, type="category", showgrid=False, automargin=True)
    figure.update_yaxes(
        title=safe_text(factor, "plotly", length=40), type="category", autorange="reversed", showgrid=False
    )
    figure.update_layout(height=150 + 46 * max(len(rows), 2), margin=MARGIN)
    return figure


def _told(each: PairAtCost | None, unit: Unit) -> float | None:
    return None if each is None or each.effect is None else each.effect / unit.divisor


def _cell_text(each: PairAtCost | None, unit: Unit, cost: str) -> str:
    """Return the difference with its interval, which is bold if the interval does not contain zero."""
    if each is None or each.effect is None or each.ci95 is None:
        return "" if each is None else f"({each.trials})"
    value = signed(each.effect, unit)
    sure = each.ci95[0] > 0 or each.ci95[1] < 0
    return f"<b>{value}</b>" if sure else value


def _cell_hover(each: PairAtCost | None, unit: Unit, cost: str) -> str:
    if each is None:
        return ""
    lines = [f"{each.level} and {each.other_level}: {each.trials:,} networks"]
    if each.effect is None or each.ci95 is None or each.low is None or each.high is None:
        lines.append("too few networks of like cost")
    else:
        low, high = (signed(end, unit) for end in each.ci95)
        lines.append(f"{signed(each.effect, unit)} {points_name(unit)}, 95% interval [{low}, {high}]")
        lines.append(f"compared at {range_text(each.low, each.high, cost)} {unit_of(cost, []).title}")
    return "<br>".join(safe_text(line, "plotly", length=90) for line in lines)


def means_figure(records: Sequence[TrialRecord], rows: str, columns: str, objective: str, unit: Unit) -> go.Figure:
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
            textfont={"size": 12} if len(levels[1]) <= FEW else None,
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
