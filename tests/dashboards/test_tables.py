"""Tables of trials for the dashboard."""

from __future__ import annotations

import math

import pandas
import pytest

from explorer.dashboard.data.columns import table_of_records
from explorer.dashboard.data.summary import result_text, state_counts
from explorer.dashboard.data.trials import (
    NOT_ASKED,
    OTHERS,
    best_trial,
    choice_points,
    frontier_points,
    quantities,
    trial_rows,
)
from explorer.dashboard.panels.budget import nearest_cost
from explorer.dashboard.panels.tables import table_html
from explorer.dashboard.quantities import change_of, counted, span_text, unit_of
from explorer.records import TrialRecord

OBJECTIVES = {"accuracy": "max", "macs": "min"}


def record(number: int, accuracy: float, macs: float, state: str = "complete", **more) -> TrialRecord:
    return TrialRecord(number, state, costs={"macs": macs, "params": 7}, objectives={"accuracy": accuracy}, **more)


def test_the_front_contains_non_dominated_rows():
    """A row is on the front if no other is both cheaper and better; of equal rows the first one is."""
    records = [record(0, 0.9, 100), record(1, 0.8, 50), record(2, 0.7, 60), record(3, 0.9, 100), record(4, 0.95, 200)]
    table = frontier_points(records, "macs", "accuracy", OBJECTIVES)
    assert list(table.trial) == [1, 2, 0, 3, 4]
    assert list(table.trial[table.frontier]) == [1, 0, 4]


def test_the_probability_to_stay_is_a_column_where_it_is_known():
    """In percent beside the objectives, empty for a trial without one; without repeats there is no such column."""
    records = [record(0, 0.9, 100), record(1, 0.8, 50, "running")]
    assert "stays (%)" not in trial_rows(records, OBJECTIVES)
    rows = trial_rows(records, OBJECTIVES, {0: 0.456})
    assert rows["stays (%)"][0] == 45.6 and math.isnan(rows["stays (%)"][1])


def test_only_complete_finite_trials_are_points():
    """Cached trials are not drawn twice, and running, failed and infinite ones are not drawn."""
    records = [
        record(0, 0.5, 10),
        record(1, 0.5, 10, "cached", same_as=0),
        record(2, math.inf, 10),
        record(3, math.nan, 10),
        record(4, 0.5, 10, "running"),
        TrialRecord(5, "complete", costs={"macs": 3}),
    ]
    assert list(frontier_points(records, "macs", "accuracy", OBJECTIVES).trial) == [0]


def test_the_direction_of_an_objective_sets_the_front():
    """The front changes with an objective's direction."""
    records = [record(0, 0.5, 10), record(1, 0.6, 10), record(2, 0.6, 20)]
    table = frontier_points(records, "macs", "accuracy", {"accuracy": "max", "macs": "max"})
    assert list(table.trial[table.frontier]) == [2]


def test_levels_are_the_alternatives_of_a_choice():
    """A row's level is its alternative; rare levels are grouped, and an inactive choice has a name of its own."""
    records = [record(n, 0.5, n + 1, choices={"width": str(n // 2)}) for n in range(24)] + [record(24, 0.5, 99)]
    table = frontier_points(records, "macs", "accuracy", OBJECTIVES, colour="width")
    assert table.level[0] == "0"
    assert OTHERS in set(table.level)
    assert table.level.nunique() == 11
    few = frontier_points(records[:4] + records[24:], "macs", "accuracy", OBJECTIVES, colour="width")
    assert list(few.level) == ["0", "0", "1", "1", NOT_ASKED]


def test_only_varying_choices_are_offered():
    """Only a choice with more than one level is offered as a colour."""
    records = [
        record(0, 0.5, 1, choices={"a": "x", "b": "y"}),
        record(1, 0.5, 2, choices={"a": "x", "b": "z", "c": "q"}),
    ]
    assert choice_points(records) == ["b"]


def test_quantities_by_direction():
    """The study's plane comes first, then its objectives on the axis of their direction; a study that only minimises
    has its measured objective."""
    records = [
        TrialRecord(0, "complete", costs={"macs": 1, "params": 2}, objectives={"accuracy": 0.5, "loss": 1, "joules": 3})
    ]
    objectives = {"joules": "min", "accuracy": "max"}
    assert quantities(records, objectives, ("joules", "accuracy")) == (
        ["accuracy"],
        ["joules", "macs", "params", "loss"],
    )
    minimised = quantities(records, {"params": "min", "loss": "min"}, ("params", "loss"))
    assert minimised == (["loss", "accuracy"], ["params", "macs", "joules"])
    assert quantities([], OBJECTIVES, ("macs", "accuracy")) == ([], [])


def test_states_and_best():
    """States without trials are left out, and of equal trials the first is the best."""
    records = [
        record(0, 0.5, 1),
        record(1, 0.7, 1),
        record(2, 0.7, 1),
        record(3, 0.9, 1, "failed"),
        record(4, math.nan, 1),
    ]
    assert state_counts(table_of_records(records)) == {"complete": 4, "failed": 1}
    assert best_trial(records, "accuracy", OBJECTIVES) == 1
    assert best_trial([], "accuracy", OBJECTIVES) is None


def test_trial_table_has_every_trial_with_units():
    """Each trial is one row with accuracy in percent, MACs in their unit and choices, and no cell is a formula."""
    records = [
        record(0, 0.5, 2_000_000, choices={"order": "original"}, started=10.0, finished=12.5),
        TrialRecord(1, "failed", choices={"order": "=cmd"}, reason="-oops"),
    ]
    rows = trial_rows(records, OBJECTIVES)
    assert list(rows["trial"]) == [0, 1]
    assert rows["validation accuracy (%)"][0] == 50
    assert rows["MACs (millions)"][0] == 2
    assert math.isnan(rows["MACs (millions)"][1])
    assert list(rows["order"]) == ["original", "'=cmd"]
    assert rows["seconds"][0] == 2.5
    assert rows["reason"][1] == "'-oops"


def test_a_choice_may_have_any_name():
    """A choice named like another column gets its own column."""
    rows = trial_rows([record(0, 0.5, 1, choices={"state": "x", "MACs": "y"})], OBJECTIVES)
    assert rows["state"][0] == "complete"
    assert rows["state′"][0] == "x"
    assert rows["MACs′"][0] == "y"


@pytest.mark.parametrize(
    ("name", "value", "label", "shown"),
    [
        ("macs", 40_814_816, "MACs (millions)", "40.81M"),
        ("macs", 512, "MACs", "512"),
        ("params", 272_000, "parameters (thousands)", "272k"),
        ("accuracy", 0.9321, "validation accuracy (%)", "93.2%"),
        ("peak_memory_bytes", 3 * 2**20, "peak memory (MiB)", "3 MiB"),
        ("latency_ms", 1.25, "latency (ms)", "1.25 ms"),
        ("joules", 12.5, "joules", "12.5"),
    ],
)
def test_units(name, value, label, shown):
    """Known quantities have a unit on the axis and after a value; others keep their name."""
    unit = unit_of(name, [value])
    assert (unit.label, unit.of(value)) == (label, shown)


@pytest.mark.parametrize(
    ("name", "value", "own", "said"),
    [
        ("macs", 3.0, 2.0, "+50.0%"),
        ("macs", 99_980.0, 100_000.0, "-0.02%"),
        ("macs", 30.0, 2.0, "+1,400%"),
        ("macs", 2.0, 2.0, "±0%"),
        ("macs", 2.0, 0.0, ""),
        ("accuracy", 0.58, 0.6, "-2.0 points"),
    ],
)
def test_changes(name, value, own, said):
    """A change is a ratio, except for accuracies, for which it is a difference in percentage points."""
    assert change_of(name, {name: value}, {name: own}) == said
    assert change_of(name, {name: value}, {}) == ""


def test_counts_of_any_size():
    """A count is written out, or as a power of ten if it is too long."""
    assert [counted(n) for n in (10_368, 2 * 10**14, 10**400)] == ["10,368", "2.00e14", "10^400"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.004, "less than 0.1 s"),
        (0.06, "0.1 s"),
        (9.96, "10 s"),
        (60, "1.0 min"),
        (3 * 86_400, "3.0 days"),
    ],
)
def test_spans_of_time(seconds, shown):
    """A span is never shown as zero unless it is."""
    assert span_text(seconds) == shown


def test_the_name_of_an_own_quantity_comes_first():
    """A quantity with a unit is read as "3M MACs"; one that the caller defined is named before its value."""
    assert unit_of("macs", [3e6]).titled(3e6) == "3M MACs"
    assert unit_of("macs", [2396928]).titled(2396928) == "2.397M (2,396,928) MACs"
    assert unit_of("macs", [2396928]).titled(2396928 / 1e6 * 1e6) == "2.397M (2,396,928) MACs"
    assert unit_of("macs", [2_500_000]).exact(2_500_000) == "2.5M"
    assert unit_of("latency_ms", [1.23456]).exact(1.23456) == "1.235 ms"
    assert unit_of("score", [123_456]).exact(123_456) == "123,456"
    assert unit_of("score", [1e300]).exact(1e300) == unit_of("score", [1e300]).of(1e300)
    assert unit_of("accuracy", [0.5]).titled(0.5, "") == "50.0%"
    assert unit_of("score", [-3000]).titled(-3000) == "score -3,000"
    points = pandas.DataFrame({"x": [0.0], "y": [-3000.0], "trial": [5], "frontier": [True]})
    assert result_text(points, ("zero", "score"), (False, True)) == "Best: trial 5, score -3,000 at zero 0."


def test_a_bound_has_the_digits_that_separate_it():
    """A bound and the costs on both sides of it are rounded to texts in the same order."""
    unit, costs = unit_of("macs", [2.4e6]), [2_396_700.0, 2_396_928.0]
    assert [unit.of(12e6, unit.digits_around(12e6, [12.4e6, 8e6])), unit.of(2.4e6)] == ["12M", "2.4M"]
    digits = unit.digits_around(2_396_800, costs)
    assert [unit.of(value, digits) for value in (costs[0], 2_396_800, costs[1])] == ["2.3967M", "2.3968M", "2.3969M"]
    assert unit.of(costs[1], unit.digits_around(costs[1], costs)) == "2.397M"
    score = unit_of("score", [123456.7])
    assert [score.of(123456.78, digits) for digits in (4, 8)] == ["123,457", "123,456.78"]


def test_a_dragged_budget_is_the_cost_of_a_network():
    """The line moves to the nearest cost on its axis, which is then within the budget."""
    costs = [0.0, 1e6, 4e6, 9e6]
    assert nearest_cost(costs, 2.2e6, log=True) == 4e6
    assert nearest_cost(costs, 2.2e6, log=False) == 1e6
    assert nearest_cost(costs, 1.0, log=True) == 1e6
    assert nearest_cost(costs, -5.0, log=True) is None and nearest_cost([], 1.0, log=False) is None


@pytest.mark.parametrize(
    ("texts", "is_number"),
    [
        (["36.86k", "1.18M", "", "640"], True),
        (["+116%", "±0%", "-0.004%"], True),
        (["89.2%", "85.3% ± 0.4"], True),
        (["53.2 ms", "1,787", "205.5 KiB", "-2.1 points", "3.2e14"], True),
        (["16×16×16", "10 classes"], False),
        (["1", "none"], False),
        (["1/4", "1/2"], False),
        (["", ""], False),
    ],
)
def test_written_numbers_are_aligned_right(texts, is_number):
    """A column of texts is aligned right, head included, exactly if all its texts are numbers with their units."""
    page = table_html(pandas.DataFrame({"cost": texts}), "costs")
    assert page.count('class="number"') == (len(texts) + 1 if is_number else 0)
