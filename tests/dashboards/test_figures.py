"""Figures, tested by their data."""

from __future__ import annotations

import pandas
import pytest

from explorer.dashboard.data.trials import DRAWN, NEAR, frontier_points
from explorer.dashboard.figures.architecture import training_figure
from explorer.dashboard.figures.axes import log_ticks
from explorer.dashboard.figures.frontier import HOVER_LINES, frontier_figure
from explorer.dashboard.figures.style import PALETTE, SYMBOLS
from explorer.dashboard.quantities import Unit, unit_of
from explorer.records import Epoch, TrialRecord

OBJECTIVES = {"accuracy": "max", "macs": "min"}
SEED_COLUMNS = ["trial", "x", "y", "half", "text"]


def records(n: int) -> list[TrialRecord]:
    """Return trials 0..n-1: the even ones on the front, the odd ones dominated."""
    return [
        TrialRecord(
            k,
            "complete",
            choices={"order": f"order {k % 3}"},
            costs={"macs": 1e6 * (k + 1)},
            objectives={"accuracy": 0.3 + 0.6 * k / n - 0.2 * (k % 2)},
        )
        for k in range(n)
    ]


def drawn(n: int = 10, colour: str | None = "order", **options):
    table = frontier_points(records(n), "macs", "accuracy", OBJECTIVES, colour)
    return frontier_figure(table, unit_of("macs", table.x), unit_of("accuracy", table.y), colour=colour, **options)


def marker_traces(figure):
    return [trace for trace in figure.data if trace.customdata is not None and len(trace.customdata)]


def test_every_point_is_drawn_once_in_its_units():
    """Each trial is one point in millions and percent with its trial number."""
    points = {
        int(trial): (x, y)
        for trace in marker_traces(drawn())
        for trial, x, y in zip(trace.customdata, trace.x, trace.y)
    }
    assert sorted(points) == list(range(10))
    assert points[4] == pytest.approx((5, 54))
    assert sum(len(trace.customdata) for trace in marker_traces(drawn())) == 10


def test_the_line_joins_the_front():
    """The line goes through exactly the non-dominated points by ascending cost."""
    line = next(trace for trace in drawn().data if trace.mode == "lines")
    assert list(line.x) == [1, 3, 5, 7, 9]


def test_dominated_points_are_muted():
    """Dominated points are smaller and paler than those on the front, and a selection dims all others."""
    traces = marker_traces(drawn())
    assert {int(trace.customdata[0]) % 2 for trace in traces} == {0, 1}
    for trace in traces:
        muted = int(trace.customdata[0]) % 2 == 1
        assert (trace.marker.opacity < 1) == muted
        assert trace.unselected.marker.opacity < trace.marker.opacity


def test_axes_have_units():
    """Both axes have a title, and their labels SI units; a logarithmic axis has labels at 1, 2 and 5."""
    figure = drawn(log_x=True)
    assert figure.layout.xaxis.title.text == "MACs"
    assert figure.layout.yaxis.title.text == "validation accuracy"
    assert figure.layout.yaxis.ticksuffix == "%"
    assert figure.layout.xaxis.type == "log"
    assert {"500k", "1M", "2M", "5M", "10M"} <= set(figure.layout.xaxis.ticktext)
    places = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals))
    assert places["500k"] == 0.5 and places["10M"] == 10
    assert drawn().layout.xaxis.type == "linear"
    assert drawn().layout.xaxis.ticksuffix == "M"


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(1e6, 1.5e7, 4), (2.1e6, 2.9e6, 3), (1e3, 1e9, 4), (10.0, 20.0, 3)],
)
def test_a_logarithmic_axis_has_a_few_labels(low, high, labels):
    """Short and long axes have labels too, and not too many."""
    inside = [place for place in log_ticks(low, high) if low <= place <= high]
    assert labels <= len(inside) <= 9


def test_the_axes_fit_the_data():
    """The range of each axis is that of the data with some room."""
    low, high = drawn().layout.yaxis.range
    points = [value for trace in marker_traces(drawn()) for value in trace.y]
    assert low < min(points) < max(points) < high
    assert high - low < 1.3 * (max(points) - min(points))


def test_levels_differ_in_colour_and_symbol():
    """Each alternative of the choice has its own legend entry, colour and symbol."""
    legend = [trace for trace in drawn().data if trace.showlegend is not False]
    assert [trace.name for trace in legend] == ["order 0", "order 1", "order 2"]
    assert [trace.marker.color for trace in legend] == list(PALETTE[:3])
    assert len({trace.marker.symbol for trace in legend}) == 3
    assert not [trace for trace in drawn(colour=None).data if trace.showlegend is not False]


def test_labels_do_not_overlap():
    """Labels on the front that would overlap are left out, and the labels of both ends stay."""
    sparse = [annotation.text for annotation in drawn(10).layout.annotations]
    assert sparse == ["0", "2", "4", "6", "8"]
    steps = drawn(10).layout.annotations
    assert {each.xanchor for each in steps} == {"left"}  # each above its own step
    dense = [annotation.text for annotation in drawn(400).layout.annotations]
    assert 4 < len(dense) < 60
    assert {"0", "398"} <= set(dense)


def test_labels_fit_a_logarithmic_axis():
    """On a logarithmic axis, annotations are placed by the power of ten, as plotly requires."""
    annotations = drawn(10, log_x=True).layout.annotations
    assert annotations[0].x == 0
    assert annotations[-1].x == pytest.approx(0.9542, abs=1e-3)


def test_selected_points_keep_their_looks():
    """A selection box changes neither colour, size nor opacity of its points."""
    for trace in marker_traces(drawn()):
        assert trace.selected.to_plotly_json() == {"marker": {"opacity": trace.marker.opacity}}


def test_thousands_of_points_are_a_density():
    """Of thousands of trials, the frontier and those next to it are points; the counts of the density are the rest."""
    count = 2 * DRAWN
    made = [
        TrialRecord(
            k, "complete", costs={"macs": 1e6 + 1e3 * k}, objectives={"accuracy": 0.1 + (k * 7919 % count) / 1e5}
        )
        for k in range(count)
    ]
    table = frontier_points(made, "macs", "accuracy", OBJECTIVES)
    figure = frontier_figure(table, unit_of("macs", table.x), unit_of("accuracy", table.y), log_x=True)
    single = [int(trial) for trace in marker_traces(figure) for trial in trace.customdata]
    front = set(table.trial[table.frontier])
    assert front <= set(single) and len(single) == len(front) + NEAR
    density = next(trace for trace in figure.data if trace.type == "heatmap")
    assert int(density.text.sum()) == count - len(single)


def test_a_hover_text_says_what_differs_from_the_frontier():
    """A hover text has at most five lines: number, values, and what differs from the frontier's network at its cost."""
    texts = [text for trace in marker_traces(drawn()) for text in trace.text]
    assert all(text.count("<br>") < HOVER_LINES for text in texts)
    third = next(text for text in texts if text.startswith("trial 3<"))
    assert third.split("<br>") == [
        "trial 3",
        "28.0% validation accuracy, 4M MACs",
        "differs from trial 2 of the frontier in 1 choice:",
        "order: order 0 (not order 2)",
    ]
    many = [
        TrialRecord(
            k,
            "complete",
            choices={f"choice {n}": f"level {k} of many" for n in range(30)},
            costs={"macs": 1e6 * (k + 1)},
            objectives={"accuracy": 0.5 + k / 10},
        )
        for k in range(2)
    ]
    table = frontier_points(many, "macs", "accuracy", OBJECTIVES)
    figure = frontier_figure(table, unit_of("macs", table.x), unit_of("accuracy", table.y))
    text = next(text for trace in marker_traces(figure) for text in trace.text if text.startswith("trial 1"))
    assert text.count("<br>") == HOVER_LINES - 1
    assert "in 30 choices" in text and text.endswith(" more")


def test_crosses_of_fresh_seeds_leave_the_mouse_to_the_points():
    """The crosses take no click and no hover; the text of the point below has the estimate with its interval."""
    seeds = pandas.DataFrame([(2, 3e6, 0.42, 0.01, "42.0% ± 1.0 (3 fresh seeds)")], columns=SEED_COLUMNS)
    figure = drawn(seeds=seeds)
    assert next(trace for trace in figure.data if trace.name == "fresh seeds").hoverinfo == "skip"
    texts = [text for trace in marker_traces(figure) for text in trace.text if text.startswith("trial 2,")]
    assert [text.split("<br>")[1] for text in texts] == ["42.0% ± 1.0 (3 fresh seeds), 3M MACs"]


def test_hostile_names_are_text():
    """Markup in choices, levels and quantities is escaped in hover texts, legend and axis titles."""
    hostile = '<a href="javascript:alert(1)">x</a>'
    row = TrialRecord(0, "complete", choices={"<b>": hostile}, costs={hostile: 1e6}, objectives={"<b>": 0.5})
    table = frontier_points([row], hostile, "<b>", {"<b>": "max"}, "<b>")
    figure = frontier_figure(table, unit_of(hostile, table.x), unit_of("<b>", table.y), colour="<b>")
    for trace in figure.data:
        assert "<a" not in (trace.name or "")
        assert all("<a" not in text and "<b>" not in text for text in trace.text or ())
    assert figure.layout.xaxis.title.text.startswith("&lt;a")
    assert figure.layout.yaxis.title.text == "&lt;b&gt;"


def test_an_empty_table_gives_empty_axes():
    """Without points, the figure is empty and gives no error."""
    table = frontier_points([], "macs", "accuracy", OBJECTIVES)
    assert not marker_traces(frontier_figure(table, unit_of("macs", []), unit_of("accuracy", []), log_x=True))


def test_training_curves():
    """The figure has both losses, and the accuracy in percent, for each epoch."""
    curve = [Epoch(1, 2.0, 2.1, 0.25, 0.5, 0.1, 1.0), Epoch(2, 1.0, 1.5, 0.5, 0.8, 0.05, 1.0)]
    held = {trace.name: (list(trace.x), list(trace.y)) for trace in training_figure(curve).data}
    assert held == {
        "training loss": ([1, 2], [2.0, 1.0]),
        "validation loss": ([1, 2], [2.1, 1.5]),
        "validation accuracy": ([1, 2], [25.0, 50.0]),
    }


def test_points_above_each_other_have_labels():
    """Of three points at one cost the best one has its label above its step, and the others one beside them or a line
    to it; no label covers another."""
    columns = {"x": [1.0, 5.0, 5.01, 5.02, 9.0], "y": [60.0, 75.0, 75.5, 76.0, 90.0], "trial": [1, 43, 27, 67, 29]}
    shown = pandas.DataFrame({**columns, "frontier": True, "level": "", "choices": [{}] * 5})
    number = Unit("cost", "", "", 1.0), Unit("value", "", "", 1.0)
    labels = {note.text: note for note in frontier_figure(shown, *number).layout.annotations}
    assert set(labels) == {"1", "43", "27", "67", "29"}
    assert labels["67"].xanchor == "left" and not labels["67"].showarrow
    places = {(note.xanchor, note.yanchor, note.ay) for text, note in labels.items() if text in ("43", "27", "67")}
    assert len(places) == 3


def test_the_axis_holds_the_error_bars_of_fresh_seeds():
    """The y axis reaches beyond all error bars, and the mark of fresh seeds is that of no level."""
    points = frontier_points(records(10), "macs", "accuracy", OBJECTIVES, "order")
    seeds = pandas.DataFrame({"trial": [0], "x": [1e6], "y": [0.5], "half": [0.9], "spread": [0.9], "seeds": [3]})
    seeds["text"] = "90%"
    figure = frontier_figure(
        points, unit_of("macs", points.x), unit_of("accuracy", points.y), colour="order", seeds=seeds
    )
    low, high = figure.layout.yaxis.range
    assert low < 50 - 90 and high > 50 + 90
    (mark,) = [trace.marker.symbol for trace in figure.data if trace.name == "fresh seeds"]
    assert mark.split("-")[0] not in {symbol.split("-")[0] for symbol in SYMBOLS}


def test_the_legend_leaves_room_for_wider_fonts_and_for_the_buttons():
    """The legend is below the plane, and an entry has the width of its name in any usual font."""
    legend = drawn().layout.legend
    assert legend.yref == "container" and (legend.y, legend.yanchor) == (0, "bottom")
    assert legend.entrywidth >= 6.5 * len("order 0")


def test_the_label_of_the_budget_is_inside_the_plane():
    """The plane cuts the label at its sides, so near an end of the axis the label is beside the line."""
    points = frontier_points(records(10), "macs", "accuracy", OBJECTIVES, "order")
    low, high = points.x.min(), points.x.max()
    for log in (False, True):
        for bound, side in (
            (low, "left"),
            ((low * high) ** 0.5 if log else (low + high) / 2, "center"),
            (high, "right"),
        ):
            figure = frontier_figure(
                points, unit_of("macs", points.x), unit_of("accuracy", points.y), log_x=log, bound=bound
            )
            assert figure.layout.shapes[0].label.xanchor == side
