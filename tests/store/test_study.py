"""The results that a study returns."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from explorer.analysis.limits import parse_limit
from explorer.errors import ExplorerError, StoreError
from explorer.records import STATES
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import find_study, list_studies, open_study
from explorer.store.writer import StudyWriter
from tests.store.conftest import make_study, proposal

POINTS = {"a": (0.5, 10.0), "b": (0.7, 20.0), "c": (0.6, 30.0), "d": (0.9, 40.0), "e": (0.9, 40.0)}


@pytest.fixture
def study(url):
    """Five complete trials, one failed, one cached, one rejected, one running."""
    writer = StudyWriter(make_study(url), new_worker())
    for number, (name, (accuracy, macs)) in enumerate(POINTS.items()):
        writer.begin(number, proposal(name, macs, order=name))
        writer.finish(number, Ending("complete", {"accuracy": accuracy, "macs": macs}))
    writer.begin(5, proposal("bad", 1.0, depth="2"))
    writer.finish(5, Ending("failed", reason="exploded"))
    writer.begin(6, proposal("a", 10.0))
    writer.refuse(7, proposal("big", 1e9), "rejected", "macs <= 50M")
    writer.begin(8, proposal("late", 5.0))
    writer.study.database.close()
    return open_study(url, "one")


def test_the_front_contains_only_complete_trials(study):
    """The front has non-dominated complete trials by ascending x, the first of equal ones, and no other state."""
    assert [(r.number, r.architecture_json) for r in study.frontier()] == [
        (n, f'{{"network": "{c}"}}') for n, c in ((0, "a"), (1, "b"), (3, "d"))
    ]


def test_a_front_over_any_cost(study):
    """Any cost can be an axis: of trials with equal params only the most accurate is on the front."""
    assert [r.number for r in study.frontier("params", "accuracy")] == [3]


def test_a_front_uses_the_cost_of_the_search_by_default(study):
    """Without a given cost, the front uses the first cost among the study's objectives."""
    assert [r.number for r in replace(study, objectives={"accuracy": "max", "params": "min"}).frontier()] == [3]


@pytest.mark.parametrize(
    ("objectives", "plane"),
    [
        ({"accuracy": "max", "macs": "min"}, ("macs", "accuracy")),
        ({"latency_ms": "min", "accuracy": "max", "macs": "min"}, ("latency_ms", "accuracy")),
        ({"accuracy": "max"}, ("macs", "accuracy")),
        ({"accuracy": "max", "loss": "min", "params": "min"}, ("params", "accuracy")),
        ({"joules": "min", "params": "min"}, ("params", "joules")),
        ({"loss": "min", "params": "min"}, ("params", "loss")),
    ],
)
def test_the_plane_of_a_study(study, objectives, plane):
    """The plane has a minimised cost on its x axis and, if there is one, a maximised objective on its y axis."""
    assert replace(study, objectives=objectives).plane == plane


def test_an_unknown_quantity_is_rejected(study):
    """A quantity that no trial has is rejected with the known ones."""
    with pytest.raises(StoreError, match="has no quantity 'mac'; it has accuracy, macs, params; did you mean 'macs'"):
        study.frontier("mac")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda study: study.frontier(3), "3 is not the name of a quantity"),
        (lambda study: study.frontier(y=["accuracy"]), "is not the name of a quantity"),
        (lambda study: study.best_under("macs<=30", 3), "3 is not the name of a quantity"),
        (lambda study: study.best_under(3), "'3' is not a limit"),
        (lambda study: study.confirmed(3), "3 is not the name of a quantity"),
        (lambda study: study.confirmed(y=3), "3 is not the name of a quantity"),
        (lambda study: study.frontier_certainty(y=3), "3 is not the name of a quantity"),
        (lambda study: study.estimates("foo"), "has no quantity 'foo'; it has accuracy, macs, params"),
        (lambda study: study.effects(3), "unknown factor 3; the choices that differ: "),
        (lambda study: study.effects(y=3), "3 is not the name of a quantity"),
        (lambda study: study.plot_frontier(3), "3 is not the name of a quantity"),
        (lambda study: study.plot_frontier(colour="ordr"), "has no choice 'ordr'; it has .*did you mean 'order'"),
        (lambda study: study.plot_frontier(colour=3), "has no choice 3"),
        (lambda study: study.hypervolume({"macs": 1e9}), r"each objective \(accuracy, macs\); found macs"),
        (lambda study: study.hypervolume({"macs": 1e9, "accuracy": "0"}), "accuracy is '0', expected a finite number"),
        (lambda study: study.hypervolume(3), "found 3"),
        (lambda study: study.trial(2**70), f"has no trial {2**70}; its trials are 0..8"),
        (lambda study: study.trial(-1), "has no trial -1"),
        (lambda study: study.trial("2"), "the number of a trial is a whole number, as in 2; found '2'"),
        (lambda study: study.trial(2.0), "the number of a trial is a whole number, as in 2; found 2.0"),
        (lambda study: study.trial(True), "the number of a trial is a whole number, as in 2; found True"),
        (lambda study: study.trial(None), "the number of a trial is a whole number, as in 2; found None"),
        (lambda study: study.export("2", "out"), "the number of a trial is a whole number, as in 2; found '2'"),
        (lambda study: study.trials_of(["1"]), "the number of a trial is a whole number, as in 2; found '1'"),
        (
            lambda study: study.trials_of(3),
            r"the numbers of trials are a list of whole numbers, as in \[2, 3\]; found 3",
        ),
        (lambda study: study.trials("2"), "a revision is a whole number, as in 2; found '2'"),
        (lambda study: study.curves(2.0), "a revision is a whole number"),
        (lambda study: study.confirmations("2"), "a revision is a whole number"),
        (lambda study: study.compare(1), r"compare\(\) takes a study, or the name of one or of a space; found 1"),
    ],
)
def test_odd_arguments_are_named(study, ask, message):
    """An argument of the wrong kind, or a name that the study lacks, is one line that says what is meant."""
    with pytest.raises(ExplorerError, match=message):
        ask(study)


def test_numbers_beyond_the_database_and_no_limits(study):
    """A number too large for a database is that of no trial; without limits every trial is within them."""
    assert study.trials_of([2**70, 0, -(2**70)]) == [study.trial(0)]
    assert (study.trials(2**70), study.curves(2**70), study.confirmations(2**70)) == ([], {}, [])
    assert study.nearest_to([]).number == 0 and study.nearest_to(()).number == 0


def test_an_empty_study_has_an_empty_front():
    """Before the first trial ends, the study's objectives are known and its front is empty."""
    study = make_study(None)
    assert study.frontier() == [] and study.best_under([]) is None and study.hypervolume() == 0.0
    assert list(study.to_frame()["number"]) == []
    study.database.close()


def test_best_under_a_budget(study):
    """The best trial is the most accurate complete one within the limits, or None."""
    assert study.best_under([parse_limit("macs<=30")]).number == 1
    assert study.best_under([]).number == 3
    assert study.best_under([parse_limit("macs<10")]) is None
    assert study.best_under([parse_limit("accuracy>=0.65")], "macs").number == 1


def test_counts_include_every_state(study):
    """Every state is counted, states without trials as 0."""
    others = {"stopped": 0, "failed": 1, "cached": 1, "rejected": 1, "interrupted": 0}
    assert study.counts() == {"running": 1, "complete": 5, **others}
    assert tuple(study.counts()) == STATES


def test_hypervolume(study):
    """The hypervolume is the dominated area relative to a given reference point, by default the worst values so far."""
    by_hand = 0.5 * (100 - 10) + 0.2 * (100 - 20) + 0.2 * (100 - 40)
    assert study.hypervolume({"accuracy": 0.0, "macs": 100.0}) == pytest.approx(by_hand)
    assert study.hypervolume() == pytest.approx((0.7 - 0.5) * (40 - 20))


def test_the_table_has_one_row_per_trial(study):
    """A row has number, state, digest, choices, objectives, costs, seconds and reason; inactive choices are empty."""
    frame = study.to_frame()
    assert list(frame.columns) == [
        "number",
        "state",
        "digest",
        "order",
        "depth",
        "accuracy",
        "macs",
        "params",
        "seconds",
        "reason",
    ]
    assert list(frame["number"]) == list(range(9))
    assert list(frame["order"])[:5] == list(POINTS) and frame["depth"].isna().sum() == 8
    assert (
        list(frame["accuracy"])[:5] == [accuracy for accuracy, _ in POINTS.values()]
        and frame["accuracy"].isna().sum() == 3
    )
    assert frame["seconds"].isna().sum() == 1 and frame["reason"][5] == "exploded" and frame["macs"][7] == 1e9


def test_name_clashes_keep_both_columns():
    """A choice named macs does not hide the cost, and a cost named seconds does not hide the duration of the trial."""
    writer = StudyWriter(make_study(None), new_worker())
    writer.begin(0, replace(proposal("a", macs="few"), costs={"macs": 10.0, "seconds": 0.5}))
    frame = writer.study.to_frame()
    assert (frame["choice.macs"][0], frame["macs"][0], frame["value.seconds"][0]) == ("few", 10.0, 0.5)
    assert frame["seconds"].isna().all()
    writer.study.database.close()


def test_light_trials_leave_out_the_heavy_parts(study):
    """Without the heavy parts all other fields are the same."""
    (light, *_), (full, *_) = study.trials(full=False), study.trials()
    assert light.architecture_json == "" and full.architecture_json
    assert (light.objectives, light.costs, light.choices, light.seconds) == (
        full.objectives,
        full.costs,
        full.choices,
        full.seconds,
    )


def test_an_unknown_trial_is_rejected(study):
    """A trial number out of range gives an error that names the valid numbers."""
    assert study.trial(8).state == "running"
    with pytest.raises(StoreError, match=r"study 'one' has no trial 9; its trials are 0..8"):
        study.trial(9)


def test_an_unknown_study_gives_the_known_ones(study, url):
    """An unknown name gives the list of studies and the closest match; a single study needs no name."""
    with pytest.raises(StoreError, match=r"there is no study 'on' in sqlite:.*; it holds 'one'; did you mean 'one'"):
        open_study(url, "on")
    assert open_study(url) == study
    make_study(url, "two").database.close()
    with pytest.raises(StoreError, match="several studies, name one; it holds 'one', 'two'"):
        open_study(url)


def test_studies_are_listed(study, url):
    """Each study is listed with its space, data, objectives, counts and time of last change."""
    make_study(url, "two").database.close()
    one, two = list_studies(url)
    assert (one.name, one.space_name, one.data, one.objectives) == (
        "one",
        "tiny",
        "digits",
        {"accuracy": "max", "macs": "min"},
    )
    assert one.counts == study.counts() and one.changed >= one.created
    assert (two.name, sum(two.counts.values()), two.changed) == ("two", 0, two.created)


def test_databases_in_memory_are_separate():
    """Two databases in memory do not see each other's studies."""
    first, second = make_study(None, "first"), make_study(None, "second")
    assert find_study(first.database, "first") == first
    with pytest.raises(StoreError, match="there is no study 'second'"):
        find_study(first.database, "second")
    first.database.close()
    second.database.close()


def test_reading_a_store_imports_neither_torch_nor_optuna_nor_pandas(study, url):
    """Reading a store imports neither torch, optuna nor pandas."""
    code = (
        "import sys; from explorer.store import open_study\n"
        f"open_study({url!r}, 'one').frontier()\n"
        "print(sorted({'torch', 'optuna', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
