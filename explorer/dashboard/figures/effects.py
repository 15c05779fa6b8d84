"""The figure of effects: what each choice does all else equal, at equal cost and on the frontier, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from statistics import median_low

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from explorer.analysis.effects import Effect, EqualCost, Frontier, Paired
from explorer.dashboard.data.effects import (
    answer_titles,
    answers_of,
    interval_text,
    points_name,
    range_text,
    ratio_text,
    signed,
)
from explorer.dashboard.figures.style import GREY, PALETTE
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.text import safe_text

EFFECTS_CAPTION = (
    "Each row compares a level with the choice's most frequent one. All else equal: networks that differ only in this"
    " choice, whatever they cost; the ratio of their costs is given. At equal cost: networks of like cost, the other"
    " choices free. On the frontier: the best networks under the same budget. Lines are 95% intervals; one"
    " that goes beyond the panel ends in an arrow. A filled mark is an effect that is not zero, corrected for the"
    " number of comparisons; a pale open one may be zero. Choices with the largest effects come first."
)
MAX_ROWS = 100  # of more, the page shows one choice at a time
ROW_HEIGHT = 54  # pixels: a line for the name, a line for the numbers, a line for the marks
NAME, NUMBERS, MARK = -0.34, -0.02, 0.28  # of a row, the places of the three lines in units of its height
NUMBER_SIZE = 11  # pixels; three columns of numbers then fit the width of a phone
LONG = 10  # rows from which the names of the columns are repeated at the end
SYMBOLS = ("circle", "square", "diamond")
NO_ANSWER = "no answer"
INDENT = "\u2005"  # before the numbers of a cell, which then start where the name of the row starts
FADED = 0.65  # opacity of an answer that may be zero: visible on black
BAND = "rgba(140,140,140,0.13)"  # visible on white and on black


def effects_figure(effects: Sequence[Effect], objective: Unit, cost: str) -> go.Figure:
    """Draw the three answers for each level of each choice, one row per level, on one scale.

    Where there is no answer, the cell says so and shows the note on hover.

    Args:
        effects: As ``explorer.analysis.effects.choice_effects`` returns them; the rows from the top.
        objective: Unit of the objective.
        cost: Name of the cost.
    """
    titles = answer_titles(cost)
    low, high = _span(effects, objective)
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.02)
    for panel, (symbol, colour) in enumerate(zip(SYMBOLS, PALETTE)):
        answers = [answers_of(effect)[panel] for effect in effects]
        told = [(row, answer) for row, answer in enumerate(answers) if answer is not None]
        hovers = [_hover(effect, titles[panel], answer, objective, cost) for effect, answer in zip(effects, answers)]
        marks = [
            _marks(
                [each for each in told if each[1].significant is sure], symbol, colour, hovers, objective, (low, high)
            )
            for sure in (False, True)
        ]
        arrows = _arrows(told, colour, hovers, objective, (low, high))
        numbers = go.Scatter(
            x=[low] * len(effects),
            y=[row + NUMBERS for row in range(len(effects))],
            mode="text",
            text=[INDENT + _numbers(answer, objective, cost) for answer in answers],
            textposition="middle right",
            textfont={"size": NUMBER_SIZE},
            cliponaxis=False,
            hovertext=hovers,
        )
        for trace in (*marks, *arrows, numbers):
            trace.update(hovertemplate="%{hovertext}<extra></extra>")
        for trace in (_zero_line([row for row, _ in told]), *marks, *arrows, numbers):
            figure.add_trace(trace.update(showlegend=False), row=1, col=panel + 1)
    _draw_rows(figure, effects)
    points = points_name(objective)
    difference = f"difference of {objective.title}" + (f" ({points})" if points else "")
    for panel, title in enumerate(titles):
        name = safe_text(title, "plotly", length=22)
        figure.add_annotation(
            text=f"<b>{name}</b>",
            **{"xref": f"x{panel + 1} domain".replace("x1", "x"), "x": 0, "xanchor": "left"},
            **{"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "font": {"size": 12}},
        )
        figure.update_xaxes(title=name if len(effects) > LONG else "", col=panel + 1, row=1)
    figure.add_annotation(
        text=safe_text(difference, "plotly", length=60),
        **{
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "paper",
            "y": 0,
            "yanchor": "top",
            "yshift": -58 if len(effects) > LONG else -24,
        },
        showarrow=False,
    )
    figure.update_xaxes(
        range=[low, high], fixedrange=True, zeroline=False, showgrid=False, nticks=5, exponentformat="SI"
    )
    figure.update_xaxes(ticklabeloverflow="hide past domain", automargin=True)
    figure.update_yaxes(range=[len(effects) - 0.45, -0.6], fixedrange=True, visible=False)
    figure.update_layout(height=110 + ROW_HEIGHT * len(effects), margin={"l": 8, "r": 8, "t": 30, "b": 80})
    return figure


def row_name(effect: Effect) -> str:
    """Return the label of an effect: ``order: full_preact, not original``."""
    factor, level, reference = (
        safe_text(text, "plotly", length=length)
        for text, length in ((effect.factor, 18), (effect.level, 22), (effect.reference, 18))
    )
    return f"{factor}: <b>{level}</b>, not {reference}"


def _marks(
    told: Sequence[tuple[int, Paired | EqualCost | Frontier]],
    symbol: str,
    colour: str,
    hovers: Sequence[str],
    objective: Unit,
    panel: tuple[float, float],
) -> go.Scatter:
    """Return the marks and intervals of answers that are all conclusive, or all inconclusive, which are pale.

    Args:
        told: Rows and answers.
        symbol: The symbol of a conclusive answer.
        colour: The colour of the column.
        hovers: The hover text of each row.
        objective: Unit of the objective.
        panel: The range of the axis, at whose ends intervals are cut.
    """
    values = [answer.effect / objective.divisor for _, answer in told]
    lows, highs = ([answer.ci95[end] / objective.divisor for _, answer in told] for end in (0, 1))
    sure = bool(told) and told[0][1].significant
    return go.Scatter(
        x=values,
        y=[row + MARK for row, _ in told],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [min(end, panel[1]) - value for end, value in zip(highs, values)],
            "arrayminus": [value - max(end, panel[0]) for end, value in zip(lows, values)],
            "thickness": 2 if sure else 1.2,
            "width": 3,
        },
        mode="markers",
        opacity=1 if sure else FADED,
        marker={"symbol": symbol if sure else f"{symbol}-open", "size": 10 if sure else 8, "color": colour},
        hovertext=[hovers[row] for row, _ in told],
    )


def _arrows(
    told: Sequence[tuple[int, Paired | EqualCost | Frontier]],
    colour: str,
    hovers: Sequence[str],
    objective: Unit,
    panel: tuple[float, float],
) -> list[go.Scatter]:
    """Return arrows at the ends of a panel where intervals go on; the arguments are those of ``_marks``."""
    found = []
    for end, symbol in enumerate(("triangle-left", "triangle-right")):
        beyond = [
            row for row, answer in told if (answer.ci95[end] / objective.divisor - panel[end]) * (1 if end else -1) > 0
        ]
        if beyond:
            found.append(
                go.Scatter(
                    x=[panel[end]] * len(beyond),
                    y=[row + MARK for row in beyond],
                    mode="markers",
                    name="goes on",
                    marker={"symbol": symbol, "size": 9, "color": colour},
                    cliponaxis=False,
                    hovertext=[hovers[row] for row in beyond],
                )
            )
    return found


def _zero_line(rows: Sequence[int]) -> go.Scatter:
    """Return the line at zero behind the marks of some rows; it does not cross their texts."""
    return go.Scatter(
        x=[0, 0, None] * len(rows),
        y=[place for row in rows for place in (row + 0.1, row + 0.46, None)],
        mode="lines",
        line={"color": GREY, "width": 1},
        hoverinfo="skip",
    )


def _draw_rows(figure: go.Figure, effects: Sequence[Effect]) -> None:
    """Write the name of each row across all columns, and shade every second choice."""
    row = 0
    for number, (_, group) in enumerate(groupby(effects, key=lambda effect: effect.factor)):
        own = list(group)
        if number % 2:
            figure.add_hrect(y0=row - 0.55, y1=row + len(own) - 0.55, line_width=0, fillcolor=BAND, layer="below")
        for effect in own:
            figure.add_annotation(
                text=row_name(effect),
                **{"xref": "paper", "x": 0, "xanchor": "left", "align": "left"},
                **{"yref": "y", "y": row + NAME, "yanchor": "middle", "showarrow": False, "font": {"size": 12}},
            )
            row += 1


def _span(effects: Sequence[Effect], objective: Unit) -> tuple[float, float]:
    """Return the range of the axis: zero, all estimates, and of the intervals what is not far beyond both the
    estimates and the other intervals."""
    told = [answer for effect in effects for answer in answers_of(effect) if answer is not None]
    values = [0.0, *(answer.effect / objective.divisor for answer in told)]
    lows, highs = ([answer.ci95[end] / objective.divisor for answer in told] for end in (0, 1))
    reach = max(map(abs, values))
    if told:
        reach = max(reach, median_low(max(abs(low), abs(high)) for low, high in zip(lows, highs)))
    low = max(min(values) - reach, min([*values, *lows]))
    high = min(max(values) + reach, max([*values, *highs]))
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _numbers(answer: Paired | EqualCost | Frontier | None, objective: Unit, cost: str) -> str:
    """Return the line of numbers of a cell: ``+6.1, 3.9x MACs`` or ``+2.3 at 0.91–2.1M``."""
    if answer is None:
        return f'<span style="color:{GREY}">{NO_ANSWER}</span>'
    value = f"<b>{signed(answer.effect, objective)}</b>"
    if isinstance(answer, Paired):
        title = safe_text(unit_of(cost, []).title, "plotly", length=10)
        return f"{value}, {ratio_text(answer.cost_ratio)} {title}"
    return f"{value} at {range_text(answer.low, answer.high, cost)}"


def _hover(effect: Effect, title: str, answer: Paired | EqualCost | Frontier | None, objective: Unit, cost: str) -> str:
    points, name = points_name(objective), unit_of(cost, []).title
    if answer is None:
        note = effect.note or "The trained networks cannot tell it."
        lines = [f"{title}: {NO_ANSWER}", *textwrap.wrap(note, 60)]
    else:
        value = signed(answer.effect, objective)
        lines = [f"{title}: {value} {points}".rstrip(), f"95% interval {interval_text(answer, objective)}"]
        if isinstance(answer, Paired):
            lines += [f"{answer.pairs:,} pairs of networks", f"{ratio_text(answer.cost_ratio)} {name}"]
        else:
            lines += [f"{name} {range_text(answer.low, answer.high, cost)}"]
        if isinstance(answer, EqualCost):
            lines += [f"{answer.trials:,} and {answer.reference_trials:,} networks"]
        lines += ["not zero, corrected for the number of comparisons" if answer.significant else "may be zero"]
    return "<br>".join([row_name(effect), *(safe_text(line, "plotly", length=80) for line in lines)])
