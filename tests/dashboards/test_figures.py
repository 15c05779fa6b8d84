"""Figures, tested by their data."""

from __future__ import annotations

import pytest

from explorer.dashboard.data.trials import frontier_points
from explorer.dashboard.figures.architecture import training_figure
from explorer.dashboard.figures.frontier import WEBGL_POINTS, frontier_figure
from explorer.dashboard.figures.style import PALETTE
from explorer.dashboard.quantities import unit_of
from explorer.records import Epoch, TrialRecord

OBJECTIVES = {"accuracy": "max", "macs": "min"}


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
    """Dominated points are smaller and paler than those on the front, also with a selection."""
    traces = marker_traces(drawn())
    assert {int(trace.customdata[0]) % 2 for trace in traces} == {0, 1}
    for trace in traces:
        muted = int(trace.customdata[0]) % 2 == 1
        assert (trace.marker.opacity < 1) == muted
        assert trace.unselected.marker.opacity == trace.marker.opacity


def test_axes_have_units():
    """Both axes have a title and a unit."""
    figure = drawn(log_x=True)
    assert figure.layout.xaxis.title.text == "MACs (millions)"
    assert figure.layout.yaxis.title.text == "validation accuracy (%)"
    assert figure.layout.xaxis.type == "log"
    assert drawn().layout.xaxis.type == "linear"


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
    dense = [annotation.text for annotation in drawn(400).layout.annotations]
    assert 4 < len(dense) < 60
    assert {"0", "398"} <= set(dense)


def test_labels_fit_a_logarithmic_axis():
    """On a logarithmic axis, annotations are placed by the power of ten, as plotly requires."""
    annotations = drawn(10, log_x=True).layout.annotations
    assert annotations[0].x == 0
    assert annotations[-1].x == pytest.approx(0.9542, abs=1e-3)


def test_the_selected_trial_is_marked():
    """Exactly the chosen trial is selected, on the front or off it."""
    for chosen in (4, 5):
        traces = marker_traces(drawn(chosen=chosen))
        assert [int(trace.customdata[place]) for trace in traces for place in trace.selectedpoints] == [chosen]


def test_many_points_use_webgl():
    """A large study is drawn completely with WebGL, because WebGL traces cover all others."""
    kinds = {trace.type for trace in drawn(WEBGL_POINTS + 1).data if trace.x is not None and len(trace.x) > 1}
    assert kinds == {"scattergl"}


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
