"""Figures and tables of effects, by the data they hold."""

from __future__ import annotations

import csv
import io
import itertools
import math

import pytest

from explorer.analysis.effects import Effect, EffectModel, EqualCost, Frontier, Interaction, Paired, interactions
from explorer.analysis.effects.conditional import ConditionalEffect
from explorer.analysis.effects.curves import LevelCurve
from explorer.dashboard.data.effects import (
    clearest_factor,
    clearest_pairs,
    effect_rows,
    effects_csv,
    range_text,
    ratio_text,
    signed,
)
from explorer.dashboard.figures.effects import INDENT, ROW_HEIGHT, effects_figure
from explorer.dashboard.figures.interactions import conditional_figure, matrix_figure, means_figure
from explorer.dashboard.figures.level_curves import curves_figure
from explorer.dashboard.quantities import unit_of
from explorer.records import TrialRecord
from tests.dashboards.payloads import HOSTILE

PERCENT = unit_of("accuracy", [0.5])
NOTE = "no common range of macs: relu has 1-2M macs, silu 4-8M; train relu networks of 4-8M macs"
ANSWERED = Effect(
    "order", "pre", "post", 17,
    EqualCost(0.023, (0.004, 0.042), 0.91e6, 2.1e6, 61, 58, significant=True),
    Paired(0.061, (0.02, 0.101), 12, 3.9),
    Frontier(-0.012, (-0.03, 0.006), 0.91e6, 2.1e6),
)  # fmt: skip
UNANSWERED = Effect("act", "silu", "relu", 5, None, Paired(-0.004, (-0.02, 0.012), 4, 1.0), None, NOTE)


def test_three_answers_stand_side_by_side():
    """Each answer is one mark in its own column, in points with its interval; only significant ones are filled."""
    figure = effects_figure([ANSWERED, UNANSWERED], PERCENT, "macs")
    drawn = [trace for trace in figure.data if trace.mode == "markers" and len(trace.x)]
    marks = {trace.xaxis: trace for trace in drawn}
    assert len(drawn) == 3  # here the answers of a column are all conclusive, or all not
    assert [list(marks[axis].x) for axis in ("x", "x2", "x3")] == [
        pytest.approx([6.1, -0.4]),
        pytest.approx([2.3]),
        pytest.approx([-1.2]),
    ]
    assert marks["x"].error_x.array[0] == pytest.approx(4.0)
    assert marks["x"].error_x.arrayminus[0] == pytest.approx(4.1)
    filled = {axis: "open" not in trace.marker.symbol for axis, trace in marks.items()}
    assert filled == {"x": False, "x2": True, "x3": False}
    assert {axis: trace.opacity == 1 for axis, trace in marks.items()} == filled
    titles = [note.text for note in figure.layout.annotations]
    assert {"<b>all else equal</b>", "<b>at equal MACs</b>", "<b>on the frontier</b>"} <= set(titles)


def test_a_cell_says_what_was_compared():
    """The ratio of costs stands beside the answer all else equal, the range of costs beside the others; hover has the
    numbers of pairs and networks."""
    figure = effects_figure([ANSWERED], PERCENT, "macs")
    texts = [trace.text[0].removeprefix(INDENT) for trace in figure.data if trace.mode == "text"]
    assert texts == ["<b>+6.1</b>, 3.9x MACs", "<b>+2.3</b> at 0.91–2.1M", "<b>-1.2</b> at 0.91–2.1M"]
    paired, equal, _ = (trace.hovertext[0] for trace in figure.data if trace.mode == "text")
    assert "12 pairs of networks" in paired and "95% interval [+2.0, +10.1]" in paired
    assert "61 and 58 networks" in equal and "not zero" in equal


def test_an_answer_that_is_missing_is_an_empty_cell():
    """A cell without an answer has no mark and no number; it says so, and why on hover."""
    figure = effects_figure([UNANSWERED], PERCENT, "macs")
    texts = [trace for trace in figure.data if trace.mode == "text"]
    assert ["no answer" in trace.text[0] for trace in texts] == [False, True, True]
    assert "train relu networks" in " ".join(texts[1].hovertext[0].split("<br>"))
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == 1


def test_sixty_levels_have_a_row_each():
    """Each of 60 levels has a row of the same height, and its name once."""
    effects = [Effect("kind", f"level {n}", "level 0", 3, None, None, None, NOTE) for n in range(1, 61)]
    figure = effects_figure(effects, PERCENT, "macs")
    names = [note.text for note in figure.layout.annotations if "not level 0" in note.text]
    assert len(set(names)) == len(names) == 60
    assert figure.layout.height >= 60 * ROW_HEIGHT
    assert figure.layout.yaxis.range[0] > 59 > 0 > figure.layout.yaxis.range[1]


def test_a_wide_interval_leaves_the_scale_to_the_others():
    """An interval ten times as wide as all estimates does not set the scale of the figure."""
    wide = Effect("act", "silu", "relu", 3, None, Paired(0.01, (-1, 1), 3, 1.0), None)
    low, high = effects_figure([ANSWERED, wide], PERCENT, "macs").layout.xaxis.range
    assert -10 < low < -1.2 and 6.1 < high < 20


def test_an_interval_beyond_the_panel_ends_in_an_arrow():
    """An interval is cut at the ends of the panel, with an arrow there; the hover text has the whole interval."""
    wide = Effect("act", "silu", "relu", 3, None, Paired(0.01, (-1, 1), 3, 1.0), None)
    figure = effects_figure([ANSWERED, wide], PERCENT, "macs")
    low, high = figure.layout.xaxis.range
    arrows = {trace.marker.symbol: trace for trace in figure.data if trace.name == "goes on"}
    assert {symbol: list(trace.x) for symbol, trace in arrows.items()} == {
        "triangle-left": [low],
        "triangle-right": [high],
    }
    assert all("[-100.0, +100.0]" in trace.hovertext[0] for trace in arrows.values())
    for trace in figure.data:
        if trace.error_x.array is not None:
            assert all(x + more <= high + 1e-9 for x, more in zip(trace.x, trace.error_x.array))
            assert all(x - less >= low - 1e-9 for x, less in zip(trace.x, trace.error_x.arrayminus))


def test_differences_of_any_size_are_written_like_the_axis():
    """Differences of an objective without a unit have three digits and the prefixes of the axis."""
    score = unit_of("score", [1e6])
    values = (134_562, -42_840, 999.9, 12.34, 0.004, -4.28e-10, 0)
    assert [signed(value, score) for value in values] == ["+135k", "-42.8k", "+1k", "+12.3", "+0.004", "-428p", "+0"]
    assert signed(-0.0001, PERCENT) == "+0.0"
    figure = effects_figure([ANSWERED], score, "macs")
    assert figure.layout.xaxis.exponentformat == "SI"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text):
    """Names, levels and notes from a database are never markup in a figure, nor formulas in a table or a CSV file."""
    paired = Paired(0.01, (0.0, 0.02), 3, 1.0)
    effects = [Effect(text, f"{text}1", f"{text}2", 3, None, paired, None, text)]
    found = [Interaction(text, f"{text}1", f"{text}2", f"{text}3", text, f"{text}4", 0.1, (0.0, 0.2), 3, True)]
    under = [ConditionalEffect(text, f"{text}1", f"{text}2", f"{text}3", text, 3, 3, 0.1, (0.0, 0.2))]
    curves = [LevelCurve(text, (1e6,), (0.5,), (1,), (), ((1e6, 0.5),))]
    figures = [
        effects_figure(effects, PERCENT, text),
        matrix_figure(found, PERCENT),
        conditional_figure(under, found, PERCENT),
        curves_figure(curves, effects, [text], PERCENT, text),
    ]
    own = {"b", "/b", "br", 'span style="color:#8C8C8C"', "/span"}
    for each in strings([figure.to_plotly_json() for figure in figures]):
        tags = {part.split(">")[0] for part in each.split("<")[1:]}
        assert tags <= own
    cells = [str(cell) for cell in effect_rows(effects, PERCENT, "macs").to_numpy().ravel()]
    cells += [cell for row in csv.reader(io.StringIO(effects_csv(effects))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@")) or (cell[:1] in "+-" and not is_number(cell))]


def strings(value) -> list[str]:
    """All strings that a plotly document shows: not the names of its properties."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        hidden = ("hovertemplate", "legendgroup", "template")
        return [text for key, each in value.items() if key not in hidden for text in strings(each)]
    return [text for each in value for text in strings(each)] if isinstance(value, (list, tuple)) else []


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text or 0))
    except ValueError:
        return False


def test_the_table_has_no_number_where_there_is_none():
    """A missing answer is an empty cell in the table and in the CSV file; the others have their numbers."""
    table = effect_rows([ANSWERED, UNANSWERED], PERCENT, "macs")
    first, second = table.to_dict("records")
    assert first["all else equal"] == pytest.approx(6.1) and first["ratio of MACs"] == "3.9x"
    assert first["networks compared"] == "61 and 58" and first["not zero"] == "at equal MACs"
    assert math.isnan(second["at equal MACs"]) and math.isnan(second["on the frontier"])
    assert second["costs compared"] == second["at equal MACs: 95% interval"] == ""
    assert second["note"] == NOTE
    rows = list(csv.DictReader(io.StringIO(effects_csv([ANSWERED, UNANSWERED]))))
    assert [row["factor"] for row in rows] == ["order", "act"]
    assert float(rows[0]["equal_cost_ci95_high"]) == 0.042 and float(rows[0]["paired_cost_ratio"]) == 3.9
    assert float(rows[0]["frontier_from"]) == 0.91e6
    assert rows[1]["equal_cost_effect"] == rows[1]["effect"] == rows[1]["frontier_ci95_low"] == ""


def test_costs_read_well():
    """Ranges and ratios of costs have two digits and their unit once."""
    assert range_text(0.9127e6, 2.134e6, "macs") == "0.91–2.1M"
    assert range_text(99.7e6, 150e6, "macs") == "100–150M"
    assert range_text(0.5, 2, "latency_ms") == "0.5–2 ms"
    assert range_text(26.9e6, 27.1e6, "macs") == "27M"
    assert [ratio_text(ratio) for ratio in (1.0, 1.014, 3.94, 0.25, 123.4)] == [
        "1.00x",
        "1.01x",
        "3.9x",
        "0.25x",
        "123x",
    ]


def test_the_clearest_choice_is_shown_first():
    """The choice that is shown first has the effect at equal cost that is farthest from zero in widths of its
    interval; without any, it is the first."""
    clear = Effect("width", "8", "4", 9, EqualCost(0.01, (0.009, 0.011), 1e6, 2e6, 9, 9), None, None)
    assert clearest_factor([ANSWERED, clear, UNANSWERED]) == "width"
    assert clearest_factor([UNANSWERED]) == "act"


CURVES = [
    LevelCurve(
        "post", (1e6, 2e6), (0.5, 0.6), (1, 2), ((1e6, 0.5), (1.5e6, None), (2e6, 0.6)), ((1e6, 0.5), (2e6, 0.6))
    ),
    LevelCurve("pre", (0.9e6, 2.2e6), (0.55, 0.5), (1, 1), (), ((0.9e6, 0.55),)),
    LevelCurve("other", (0.5e6,), (0.3,), (1,), (), ((0.5e6, 0.3),)),
]


def test_the_costs_compared_are_drawn():
    """The range of costs in which a level was compared with the reference is shaded and a bar; curves have gaps where
    there are no networks of like cost; levels that were not picked are grey and have no curve."""
    figure = curves_figure(CURVES, [ANSWERED], ["post", "pre"], PERCENT, "macs")
    (bar,) = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert (bar.x[0], bar.x[-1]) == (pytest.approx(0.91), pytest.approx(2.1))
    assert "61 and 58 networks" in bar.hovertext[0]
    (shade,) = figure.layout.shapes
    assert (shade.x0, shade.x1) == (pytest.approx(0.91), pytest.approx(2.1))
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.yaxis != "y2"]
    assert {trace.legendgroup for trace in lines} == {"post", "pre"}
    (curve,) = [trace for trace in lines if trace.line.dash is None and len(trace.x)]
    assert list(curve.y) == [50, None, 60]
    steps = next(trace for trace in lines if trace.line.dash == "dot" and trace.legendgroup == "pre")
    assert list(steps.x) == pytest.approx([0.9, 2.2]) and list(steps.y) == pytest.approx([55, 55])
    points = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "markers"}
    assert points == {"other levels": [0.5], "post (2)": [1, 2], "pre (2)": [0.9, 2.2]}


def test_no_range_no_bar():
    """Where two levels have no common range of cost, nothing is shaded."""
    figure = curves_figure(CURVES, [UNANSWERED], ["post", "pre"], PERCENT, "macs")
    assert not figure.layout.shapes
    assert not [trace for trace in figure.data if trace.yaxis == "y2"]


STRONG = Interaction("order", "pre", "post", "attn", "se", "none", 0.03, (0.02, 0.04), 9, significant=True)
WEAK = Interaction("order", "pre", "post", "depth", "2", "1", 0.05, (-0.05, 0.15), 9)


def test_the_matrix_marks_what_interacts():
    """A pair of choices is filled if an interaction of it is significant, in both orders; hover has its interval."""
    weaker = Interaction("order", "pre", "post", "attn", "se2", "none", 0.2, (-0.1, 0.5), 9)
    figure = matrix_figure([weaker, STRONG, WEAK], PERCENT)
    heat, texts = figure.data
    names = list(figure.layout.yaxis.ticktext)
    assert names == ["order", "attn", "depth"]
    assert [list(row) for row in heat.z] == [
        [None, pytest.approx(3.0), 0.0],
        [pytest.approx(3.0), None, None],
        [0.0, None, None],
    ]
    assert dict(zip(zip(texts.y, texts.x), texts.text))[0, 1] == "<b>3.0</b>"
    assert "+3.0 points different, 95% interval [+2.0, +4.0]" in texts.hovertext[0]
    assert clearest_pairs([weaker, STRONG]) == {("order", "attn"): STRONG, ("attn", "order"): STRONG}


def crossed() -> list[TrialRecord]:
    """Two activations, two orders, two attentions, three depths; SE gives 3 points, in "pre" twice as much."""
    out = []
    answers = itertools.product(("a", "b"), ("post", "pre"), ("none", "se"), "123")
    for n, (act, order, attn, depth) in enumerate(answers):
        gain = 0.03 * (attn == "se") * (2 if order == "pre" else 1)
        value = 0.5 + 0.05 * int(depth) + gain + 0.002 * math.sin(7.0 * n)
        choices = {"order": order, "attn": attn, "depth": depth, "act": act}
        costs = {"macs": 1e6 * int(depth) * (1 + n / 100)}
        out.append(TrialRecord(n, "complete", choices=choices, costs=costs, objectives={"accuracy": value}))
    return out


def test_the_effect_under_each_level_is_drawn():
    """An effect is drawn under each level of the other choice, filled where it differs from that in the first row."""
    records = crossed()
    under = EffectModel(records).conditional_effects("attn", "order")
    figure = conditional_figure(under, interactions(records, "accuracy", "macs"), PERCENT)
    (trace,) = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["post", "pre"]
    assert list(trace.x) == pytest.approx([3, 6], abs=0.3)
    assert list(trace.marker.symbol) == ["circle-open", "circle"]
    assert trace.name == "se, not none"


def test_means_have_counts():
    """Each cell holds the mean of its networks and their number."""
    figure = means_figure(crossed(), "order", "attn", "accuracy", PERCENT)
    (heat,) = figure.data
    rows, columns = list(heat.y), list(heat.x)
    assert heat.z[rows.index("pre")][columns.index("se")] == pytest.approx(66.0, abs=0.2)
    assert heat.text[rows.index("post")][columns.index("none")] == "60.1<br>(6)"
