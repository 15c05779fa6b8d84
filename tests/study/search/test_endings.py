"""When a search ends: by its budget, without improvement, or because its trials fail."""

from __future__ import annotations

import time

import pytest

from explorer.analysis.limits import parse_limit
from explorer.errors import StudyError
from explorer.study import budget
from explorer.study.search import search as search_study
from tests.study.evaluations import endless, good, percent, raises
from tests.study.search.in_memory import search


def test_a_search_that_mostly_fails_gives_up(space):
    """If more than half of the last twenty trials failed, the search ends with the reason."""
    result = search(space, evaluate=raises, trials=100)
    assert result.failed and result.study.counts()["failed"] <= budget.FAILURE_WINDOW
    assert result.ended.startswith("11 of the last 11 trials failed, the last with: RuntimeError: exploded")


def test_one_accuracy_in_percent_ends_a_search(space, url):
    """The other networks would fail too: one trial is enough, unless another trial of the study has succeeded."""
    settings = {"evaluate": percent, "storage": url, "trials": 100}
    for _ in range(2):  # the second search retries the trial
        result = search(space, **settings)
        assert result.failed and [record.state for record in result.study.trials()] == ["failed"]
        assert result.ended.startswith("each trial would fail as this one: PercentageError: evaluate: accuracy is ")
        assert "expected a share from 0 to 1: divide it by 100, as in 0." in result.ended
    assert not search(space, **{**settings, "evaluate": good, "trials": 3}).failed
    result = search(space, changed_code="continue", **settings)
    assert result.ended.startswith("11 of the last 11 trials failed, the last with: PercentageError: ")


@pytest.mark.parametrize("error", [LookupError, SystemExit])
def test_a_cost_that_always_fails_ends_the_search(space, error):
    """A network whose cost function fails is a failed trial, whether it was proposed or drawn."""

    def joules(architecture, choices):
        raise error("no meter")

    result = search(space, costs={"joules": joules}, evaluate=raises, trials=100)
    assert result.failed and result.study.counts()["failed"] == 11
    assert result.ended.startswith(f"11 of the last 11 trials failed, the last with: {error.__name__}: no meter")


def test_a_study_with_only_failures_has_failed(space, url):
    """In a small space, a search whose networks all failed ends with the last reason; an interrupted trial is not a
    failure."""
    settings = {"evaluate": raises, "storage": url, "limits": [parse_limit("macs<=200k")], "sampler": "random"}
    for _ in range(2):
        result = search(space, **settings)
        assert result.failed and {r.state for r in result.study.trials()} <= {"failed", "rejected"}
        assert "is left to try; no trial succeeded, the last failed with: RuntimeError: exploded" in result.ended
    with pytest.raises(StudyError, match="no trial succeeded"):
        search_study(space, study="one", **settings)
    settings["limits"] = []
    assert not search(space, **{**settings, "evaluate": good}, trials=1).failed


def test_the_time_limit_is_kept(space):
    """No trial starts that would end after the time limit, judged by the median so far."""

    def lasting(architecture, *, choices, epochs, seed):
        time.sleep(0.5)
        return {"accuracy": 0.5}

    result = search(space, evaluate=lasting, sampler="random", seconds=2.25)
    assert result.ended == "the time of 2.25 s is used" and 1 <= result.study.counts()["complete"] <= 4


def test_a_search_without_improvement_ends(space, url):
    """A fixed number of consecutive trials without a gain in hypervolume ends the search, and a resumed one at once."""

    def first_is_best(architecture, *, choices, epochs, seed):
        return {"accuracy": 0.5}

    settings = {"objectives": {"accuracy": "max"}, "evaluate": first_is_best, "sampler": "random", "storage": url}
    result = search(space, until_stable=5, **settings)
    assert result.ended == "the hypervolume has not changed for 5 trials"
    assert result.study.counts()["complete"] == 6
    assert search(space, until_stable=5, **settings).study.counts()["complete"] == 6
    assert search(space, until_stable=7, **settings).study.counts()["complete"] == 8


def test_trials_beyond_the_time_limit_are_left_to_the_next_search(space, url, monkeypatch):
    """A search waits a limited time for its last trials, then ends; the next search resumes them."""
    monkeypatch.setattr(budget, "GRACE_SECONDS", 0.0)
    over = search(space, storage=url, evaluate=endless, sampler="random", workers=2, seconds=3)
    assert over.ended == "the time is over; the next search resumes 2 trials that still ran"
    assert [record.reason for record in over.study.trials()] == ["interrupted: the search ended"] * 2
    study = search(space, storage=url, trials=3).study
    assert [record.attempt for record in study.trials() if record.state == "complete"] == [1, 1, 1]


def test_search_returns_the_study_or_raises(space):
    """``search`` returns the study and raises an error if the search gave up."""
    assert search_study(space, evaluate=good, storage=None, trials=2).counts()["complete"] == 2
    with pytest.raises(StudyError, match="the search gave up: 11 of the last 11 trials failed"):
        search_study(space, evaluate=raises, storage=None)
