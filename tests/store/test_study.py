"""What a study answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from explorer.analysis.limits import parse_limit
from explorer.errors import StoreError
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


def test_the_frontier_holds_complete_trials_alone(study):
    """Undominated complete trials by ascending x, of equals the first; not the cached, failed, rejected or running."""
    assert [(r.number, r.architecture) for r in study.frontier()] == [
        (n, f'{{"network": "{c}"}}') for n, c in ((0, "a"), (1, "b"), (3, "d"))
    ]


def test_a_frontier_over_any_cost(study):
    """Any cost may be an axis: at equal params only the most accurate stands."""
    assert [r.number for r in study.frontier("params", "accuracy")] == [3]


def test_a_frontier_is_over_the_cost_that_was_searched_for(study):
    """Where none is named, the cost is the study's own first one."""
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
    """What is maximised stands over what is minimised, whichever the study named first."""
    assert replace(study, objectives=objectives).plane == plane


def test_an_unknown_quantity_is_named(study):
    """A quantity that no trial has is refused with what there is."""
    with pytest.raises(StoreError, match="knows no quantity 'mac'; it has accuracy, macs, params; did you mean 'macs'"):
        study.frontier("mac")


def test_an_empty_study_has_an_empty_frontier():
    """Before the first trial ends, the study's own objectives are known and nothing is on the frontier."""
    study = make_study(None)
    assert study.frontier() == [] and study.best_under([]) is None and study.hypervolume() == 0.0
    assert list(study.to_frame()["number"]) == []
    study.database.close()


def test_best_under_a_budget(study):
    """The most accurate complete trial within the limits; None when none keeps them."""
    assert study.best_under([parse_limit("macs<=30")]).number == 1
    assert study.best_under([]).number == 3
    assert study.best_under([parse_limit("macs<10")]) is None
    assert study.best_under([parse_limit("accuracy>=0.65")], "macs").number == 1


def test_counts_name_every_state(study):
    """Every state is counted, those without trials as 0."""
    others = {"stopped": 0, "failed": 1, "cached": 1, "rejected": 1, "interrupted": 0}
    assert study.counts() == {"running": 1, "complete": 5, **others}
    assert tuple(study.counts()) == STATES


def test_hypervolume(study):
    """The dominated area against a stated reference, and against the worst so far."""
    by_hand = 0.5 * (100 - 10) + 0.2 * (100 - 20) + 0.2 * (100 - 40)
    assert study.hypervolume({"accuracy": 0.0, "macs": 100.0}) == pytest.approx(by_hand)
    assert study.hypervolume() == pytest.approx((0.7 - 0.5) * (40 - 20))


def test_the_table_has_one_row_a_trial(study):
    """Number, state, digest, choices, objectives, costs, seconds, reason; a choice that was not asked is empty."""
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


def test_what_is_named_like_a_column_keeps_both():
    """A choice point called macs does not hide the cost, nor a cost called seconds how long the trial took."""
    writer = StudyWriter(make_study(None), new_worker())
    writer.begin(0, replace(proposal("a", macs="few"), costs={"macs": 10.0, "seconds": 0.5}))
    frame = writer.study.to_frame()
    assert (frame["choice.macs"][0], frame["macs"][0], frame["value.seconds"][0]) == ("few", 10.0, 0.5)
    assert frame["seconds"].isna().all()
    writer.study.database.close()


def test_light_trials_leave_out_what_is_heavy(study):
    """Without the heavy parts everything else is the same."""
    (light, *_), (full, *_) = study.trials(full=False), study.trials()
    assert light.architecture == "" and full.architecture
    assert (light.objectives, light.costs, light.choices, light.seconds) == (
        full.objectives,
        full.costs,
        full.choices,
        full.seconds,
    )


def test_an_unknown_trial_is_refused(study):
    """A number beyond the last says which there are."""
    assert study.trial(8).state == "running"
    with pytest.raises(StoreError, match=r"study 'one' has no trial 9; its trials are 0..8"):
        study.trial(9)


def test_an_unknown_study_names_those_there_are(study, url):
    """A wrong name lists the studies and the near miss; with a single study the name may be left out."""
    with pytest.raises(StoreError, match=r"there is no study 'on' in sqlite:.*; it holds 'one'; did you mean 'one'"):
        open_study(url, "on")
    assert open_study(url) == study
    make_study(url, "two").database.close()
    with pytest.raises(StoreError, match="several studies, name one; it holds 'one', 'two'"):
        open_study(url)


def test_studies_are_listed(study, url):
    """Each study with its space, data, objectives, counts and when it last changed."""
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


def test_a_study_in_memory_is_found_by_its_maker_alone():
    """Two databases in memory do not see each other's studies."""
    first, second = make_study(None, "first"), make_study(None, "second")
    assert find_study(first.database, "first") == first
    with pytest.raises(StoreError, match="there is no study 'second'"):
        find_study(first.database, "second")
    first.database.close()
    second.database.close()


def test_reading_a_store_imports_neither_torch_nor_optuna_nor_pandas(study, url):
    """A reader starts without torch, optuna and pandas."""
    code = (
        "import sys; from explorer.store import open_study\n"
        f"open_study({url!r}, 'one').frontier()\n"
        "print(sorted({'torch', 'optuna', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
