"""Figures and tables of effects, costs and runs, tested by their data."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from explorer.analysis.pareto import hypervolume
from explorer.costs.analytic import count_cost
from explorer.dashboard.data.architecture import COSTED, compared_stage_rows, comparison_rows, cost_by_part, stage_rows
from explorer.dashboard.data.runs import (
    constant_objectives,
    failure_groups,
    hypervolume_growth,
    left_out_text,
    timeline,
    trials_per_hour,
    worker_rows,
    workload,
)
from explorer.dashboard.data.trials import frontier_points
from explorer.dashboard.figures.architecture import cost_figure, gradient_figure
from explorer.dashboard.figures.distributions import categories_figure, distribution_figure
from explorer.dashboard.figures.runs import hypervolume_figure, timeline_figure
from explorer.dashboard.figures.studies import studies_figure
from explorer.dashboard.quantities import unit_of
from explorer.records import BlockFlow, GradientFlow, TrialRecord
from explorer.space.search_space import load_space
from explorer.space.shipped import shipped_spaces

PERCENT = unit_of("accuracy", [0.5])
OBJECTIVES = {"accuracy": "max", "macs": "min"}


def crossed() -> list[TrialRecord]:
    """Return all combinations of two orders, two attentions and three depths; SE adds 3 points, and twice as much in
    "pre"."""
    out = []
    for n, (order, attn, depth) in enumerate(itertools.product(("post", "pre"), ("none", "se"), "123")):
        gain = 0.03 * (attn == "se") * (2 if order == "pre" else 1)
        values = {"accuracy": 0.5 + 0.05 * int(depth) + gain}
        choices = {"order": order, "attn": attn, "depth": depth}
        out.append(
            TrialRecord(
                n,
                "complete",
                choices=choices,
                costs={"macs": 1e6 * int(depth)},
                objectives=values,
                started=10.0 * n,
                finished=10.0 * n + 8,
                worker=f"w{n % 2}",
            )
        )
    return out


def test_distributions_reach_all_networks():
    """Each level's cumulative curve rises from 0 to the number of its networks."""
    figure = distribution_figure(crossed(), "attn", "accuracy", PERCENT)
    assert {trace.name for trace in figure.data} == {"none (6)", "se (6)"}
    for trace in figure.data:
        assert (trace.y[0], trace.y[-1]) == (0, 100)
        assert list(trace.x) == sorted(trace.x)


def test_parallel_categories_contain_every_network():
    """Every network is one ribbon, coloured by its value."""
    (ribbons,) = categories_figure(crossed(), ["order", "attn"], "accuracy", PERCENT).data
    assert len(ribbons.line.color) == 12
    assert [dimension.label for dimension in ribbons.dimensions] == ["order", "attn"]
    assert [list(dimension.categoryarray) for dimension in ribbons.dimensions] == [["post", "pre"], ["none", "se"]]
    (shared,) = categories_figure(crossed() * 100, ["order", "attn"], "accuracy", PERCENT).data
    assert sum(shared.counts) == 1_200 > len(shared.counts)
    mean = sum(count * value for count, value in zip(shared.counts, shared.line.color)) / 1_200
    assert mean == pytest.approx(sum(100 * record.objectives["accuracy"] for record in crossed()) / 12)


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_costs_by_part_add_up(name):
    """The costs of the parts add up to the network's cost in every shipped space."""
    space = load_space(name)
    architecture = space.architecture(space.sample(1, seed=1)[0])
    table = cost_by_part(architecture)
    cost = count_cost(architecture).to_dict()
    assert {column: int(table[column].sum()) for column in COSTED} == {column: cost[column] for column in COSTED}
    drawn = cost_figure(table, "macs", unit_of("macs", [cost["macs"]]))
    divisor = unit_of("macs", [cost["macs"]]).divisor
    assert sum(sum(trace.y) for trace in drawn.data) * divisor == pytest.approx(cost["macs"])
    rows = stage_rows(architecture)
    assert rows["part"].iloc[0] == "stem"
    parts = table.groupby("part").macs.sum()
    assert list(rows.MACs) == [unit_of("macs", [own]).of(own) for own in (parts.get(part, 0) for part in rows.part)]
    other = space.architecture(space.sample(8, seed=2)[7])
    both = compared_stage_rows({"this": architecture, "that": other})
    assert list(both.network[both.part == "stem"]) == list(both.network[both.part == "head"]) == ["this", "that"]
    assert list(both.part) == sorted(both.part, key=list(dict.fromkeys(both.part)).index)  # equal parts are together
    assert both.part.iloc[-1] == "head"
    own = both[both.network == "this"].drop(columns="network").reset_index(drop=True)
    assert own.equals(rows)


def test_comparison_marks_differences():
    """A row is marked exactly if its networks differ; for two networks the change is displayed."""
    held = {f"trial {r.number}": ({**r.objectives, **r.costs}, r.choices) for r in (crossed()[0], crossed()[4])}
    rows = comparison_rows(held).set_index("")
    assert list(rows.columns) == ["differs", "trial 0", "trial 4", "change"]
    assert (rows.loc["attn", "differs"], rows.loc["order", "differs"]) == ("≠", "")
    assert rows.loc["MACs", "change"] == "+100%"
    assert rows.loc["validation accuracy", "change"] == "+8.0 points"
    assert "change" not in comparison_rows({**held, "a third": ({}, {})}).columns


def test_growth_is_the_hypervolume_of_the_trials_so_far():
    """Each row has the hypervolume of the trials so far as a share of the final one."""
    records = crossed()
    table = hypervolume_growth(records, OBJECTIVES)
    points = [(-r.objectives["accuracy"], r.costs["macs"]) for r in records]
    corner = [max(column) for column in zip(*points)]
    for row in table.itertuples():
        expected = hypervolume(points[: row.trials], corner) / hypervolume(points, corner)
        assert row.share == pytest.approx(expected)
        assert row.seconds == pytest.approx(8.0 * row.trials)
    assert (table.trials.iloc[-1], table.share.iloc[-1]) == (len(records), 1)
    assert list(hypervolume_figure(table, "trials").data[0].x) == list(table.trials)


def test_an_objective_of_one_value_does_not_flatten_the_hypervolume():
    """An objective that is equal in all trials is left out and named; trials that are all at the worst value have no
    hypervolume to draw."""
    records = [replace(record, objectives={**record.objectives, "zero": 0.0}) for record in crossed()]
    objectives = {**OBJECTIVES, "zero": "min"}
    assert hypervolume_growth(records, objectives).equals(hypervolume_growth(crossed(), OBJECTIVES))
    assert constant_objectives(records, objectives) == ["zero"] and not constant_objectives(records[:1], objectives)
    assert "leaves out zero" in left_out_text(["zero"])
    assert hypervolume_growth(records, {"zero": "min"}).empty
    ends = [records[0], replace(records[-1], number=1)]
    assert hypervolume_growth(ends, OBJECTIVES).empty


def test_lanes_never_overlap():
    """In a lane each trial ends before the next starts, and a worker that runs two trials at once has two lanes."""
    records = [
        TrialRecord(n, "complete", worker="w", started=start, finished=end)
        for n, (start, end) in enumerate([(0.0, 5.0), (1.0, 3.0), (4.0, 6.0), (7.0, 8.0)])
    ]
    records.append(TrialRecord(4, "running", worker="v", started=2.0))
    table = timeline(records, now=10.0)
    assert set(table.lane) == {"worker 1", "worker 1 (2)", "worker 2"}
    for _, lane in table.groupby("lane"):
        assert (lane.start.iloc[1:].to_numpy() >= lane.end.iloc[:-1].to_numpy()).all()
    assert table[table.trial == 4].end.item() == 10.0
    assert sum(len(trace.y) for trace in timeline_figure(table).data) == 5


def test_throughput_counts_the_last_ten_minutes():
    """While a search runs, trials per hour are those of the last ten minutes; afterwards those of the whole search."""
    running = TrialRecord(12, "running", started=115.0, worker="w0")
    assert trials_per_hour([*crossed(), running], now=118.0) == pytest.approx(12 * 3600 / 118)
    assert trials_per_hour([*crossed(), running], now=10_000.0) == 0
    assert trials_per_hour(crossed(), now=10_000.0) == pytest.approx(12 * 3600 / 118)
    assert trials_per_hour([running], now=118.0) is None
    half = [replace(record, started=record.started / 256, finished=record.finished / 256) for record in crossed()]
    assert trials_per_hour(half) == pytest.approx(12 * 3600 * 256 / 118)


def test_failures_are_grouped_by_reason():
    """Failures whose reasons differ only in numbers are one group; the most frequent group comes first."""
    reasons = ["no space left", "out of memory: 12.5 MiB", "out of memory: 7 MiB"]
    failed = [TrialRecord(n, "failed", reason=reason, failure="code") for n, reason in enumerate(reasons)]
    groups = failure_groups([*crossed(), *failed])
    assert [group.numbers for group in groups] == [(1, 2), (0,)]
    assert groups[0].title == "2 trials: out of memory: 7 MiB"


def test_workers_have_their_share_of_time():
    """Each worker's row counts its trials and how much of its time it trained."""
    rows = worker_rows(crossed(), {}, now=200.0).set_index("worker")
    assert list(rows.trials) == [6, 6]
    assert rows.busy["w0"] == f"{100 * 48 / 108:.0f}%"
    assert rows["runs now"]["w0"] == "nothing" and rows["last seen"]["w1"] == "1.4 min ago"
    assert workload(crossed(), now=200.0)["time of training"] == "1.6 min"


def test_the_tables_of_workers_and_the_timeline_name_the_same_workers():
    """A worker that trained two networks at once is one row of the table, with its name in the timeline and the number
    of its lanes; its share of time is that of its lanes in trainings."""
    records = [
        TrialRecord(n, "complete", worker="w", started=start, finished=end, duration=2.0)
        for n, (start, end) in enumerate([(0.0, 5.0), (0.0, 5.0), (5.0, 10.0), (5.0, 10.0)])
    ]
    (row,) = worker_rows(records, {}, now=20.0).to_dict("records")
    assert (row["name"], row["at once"], row["trials"]) == ("worker 1", 2, 4)
    assert set(timeline(records).lane) == {"worker 1", "worker 1 (2)"}
    told = workload(records, now=20.0)
    assert row["busy"] == told["workers busy"] == "40%" and told["time of training"] == "8.0 s"


def test_studies_share_one_plane():
    """Each study is one line, in the units of all studies."""
    points = frontier_points(crossed(), "macs", "accuracy", OBJECTIVES)
    front = points[points.frontier]
    figure = studies_figure({"a": front, "b": front}, unit_of("macs", front.x), PERCENT, (False, True), log_x=True)
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert list(figure.data[0].x) == [1, 2, 3]


def test_a_gradient_that_is_not_finite_is_a_gap():
    """A norm or share that is not finite leaves a gap in the curve."""
    blocks = (BlockFlow(1, 1, 0.5, None, 0.25, 0.0, 1.0), BlockFlow(1, 2, None, None, None, 0.5, None))
    norms, shares, dead = gradient_figure(GradientFlow("d", 0, 32, "digits", None, blocks)).data
    assert (list(norms.y), list(shares.y), list(dead.y)) == ([0.5, None], [25, None], [0, 50])
