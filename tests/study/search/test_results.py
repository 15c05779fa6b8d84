"""What a search stores and reports of each trial: its values, or the reason of its failure."""

from __future__ import annotations

import sys

import pytest

from explorer.costs.analytic import count_cost
from explorer.errors import StudyError
from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.study.evaluations import FAILURES, good, raises, score
from tests.study.search.in_memory import search


def test_every_cost_and_objective_is_stored(space):
    """Each trial stores analytic costs, own costs and objectives; an own cost may replace an analytic one."""
    own = {"joules": lambda architecture, choices: 3.0 * int(choices["depth"]), "macs": lambda architecture, choices: 1}
    objectives = {"accuracy": "max", "joules": "min"}
    study = search(space, costs=own, objectives=objectives, trials=6).study
    assert study.objectives == objectives
    for record in study.trials():
        depth = int(record.choices["depth"])
        assert record.objectives == {"accuracy": score(record.choices), "joules": 3.0 * depth}
        assert record.costs["joules"] == 3.0 * depth and record.costs["macs"] == 1.0
        assert record.costs["params"] == count_cost(space.architecture(space.named(record.choices))).params
    front = {record.costs["joules"] for record in study.frontier("joules", "accuracy")}
    assert front and front <= {3.0, 6.0, 9.0}


def test_evaluate_gets_the_settings(space):
    """``evaluate`` gets the architecture, its choices, the epochs and the trial's seed."""
    seen = []

    def evaluate(architecture, *, choices, epochs, seed):
        seen.append((architecture.digest, choices, epochs, seed))
        return {"accuracy": 0.5}

    study = search(space, evaluate=evaluate, epochs=7, trials=3, sampler="random").study
    kept = [(r.digest, r.choices, 7, r.seed) for r in study.trials() if r.state == "complete"]
    assert seen == kept and len({seed for *_, seed in seen}) == 3


@pytest.mark.parametrize("evaluate", FAILURES, ids=lambda evaluate: evaluate.__name__)
def test_what_is_no_result_is_a_failure_with_its_reason(space, evaluate):
    """An exception, or a result that is not a finite number of the right name, fails the trial with its reason."""
    has_succeeded = []

    def sometimes(architecture, *, choices, epochs, seed):
        chosen = evaluate if choices["depth"] == "2" and has_succeeded else good
        has_succeeded.append(chosen is good)
        return chosen(architecture, choices=choices, epochs=epochs, seed=seed)

    study = search(space, evaluate=sometimes, trials=8, sampler="random").study
    failed = [record for record in study.trials() if record.state == "failed"]
    assert failed and study.counts()["complete"] == 8 and study.counts()["running"] == 0
    for record in failed:
        assert FAILURES[evaluate] in record.reason and len(record.reason) <= 500 and "\n" not in record.reason
        assert record.objectives == {} and record.choices["depth"] == "2"


def test_a_search_with_some_failures_continues(space):
    """A search continues with ten failures among the last twenty trials."""
    calls = []

    def every_other(architecture, *, choices, epochs, seed):
        calls.append(seed)
        return (raises if len(calls) % 2 else good)(architecture, choices=choices, epochs=epochs, seed=seed)

    result = search(space, evaluate=every_other, trials=12)
    assert not result.failed and result.study.counts()["complete"] == 12


def huge(architecture, *, choices, epochs, seed):
    if choices["depth"] == "3":
        return {"loss": 1e308 if choices["act"] == "relu" else -1.7e308}
    return {"loss": 1 - score(choices)}


@pytest.mark.parametrize("sampler", ["frontier", "evolution", "tpe"])
def test_a_huge_number_fails_its_trial(space, url, sampler, monkeypatch):
    """A number whose square overflows fails its trial; a study of earlier versions that has such numbers is resumed."""
    settings = {"evaluate": huge, "objectives": ["loss", "macs"], "sampler": sampler, "storage": url, "workers": 1}
    monkeypatch.setattr("explorer.study.workers.jobs.LARGEST", sys.float_info.max)
    earlier = run_search(space, trials=7, **settings).study
    assert {abs(record.objectives["loss"]) > 1e300 for record in earlier.trials()} == {False, True}
    monkeypatch.undo()
    assert run_search(space, trials=13, **settings).study.counts()["complete"] == 13
    study = run_search(space, trials=7, **{**settings, "storage": None}).study
    assert study.counts()["complete"] == 7 and study.counts()["failed"] > 0
    reasons = [record.reason for record in study.trials() if record.state == "failed" and record.same_as is None]
    assert all("e+308 (float), expected a number of magnitude up to 1e+100" in reason for reason in reasons)


def test_a_failing_cost_fails_only_its_trial(space):
    """An own cost that raises or returns no number fails its trial before the evaluation."""

    def joules(architecture, choices):
        if choices["depth"] == "2":
            raise ZeroDivisionError("no joules")
        return float("nan") if (choices["depth"], choices["act"]) == ("3", "gelu") else 1.0

    study = search(space, costs={"joules": joules}, trials=15, sampler="random").study
    reasons = {r.choices["depth"]: r.reason for r in study.trials() if r.state == "failed"}
    assert reasons["2"].startswith("ZeroDivisionError: no joules")
    assert reasons["3"].startswith("ValueError: the cost joules is nan (float), expected a finite number")
    assert {r.choices["depth"] for r in study.trials() if r.state == "complete"} == {"1", "3"}


def test_a_file_is_a_space_too(space, tmp_path):
    """A search takes the path of a space file, or the name of a shipped one; anything else is an error."""

    def half(architecture, *, choices, epochs, seed):
        return {"accuracy": 0.5}

    (tmp_path / "tiny.yaml").write_text(space.text)
    for given in (tmp_path / "tiny.yaml", str(tmp_path / "tiny.yaml"), "he2016_orders"):
        assert run_search(given, evaluate=half, trials=1, storage=None, workers=1).study.counts()["complete"] == 1
    with pytest.raises(StudyError, match=r"a search takes a space or its file, .*; found 7"):
        run_search(7, evaluate=half, trials=1, storage=None)


def test_events_report_the_whole_search(space):
    """The progress callback gets the start, the start and end of each trial with the current state, and the stop
    reason."""
    events = []
    result = search(space, trials=5, sampler="random", progress=events.append)
    assert [events[0].kind, events[-1].kind, events[-1].why] == ["begun", "finished", result.ended]
    ended = [event for event in events if event.kind == "ended" and event.trial.state == "complete"]
    assert [event.status.done for event in ended] == [1, 2, 3, 4, 5]
    started = [event.trial.number for event in events if event.kind == "started"]
    assert [event.trial.number for event in ended] == started
    last = events[-1].status
    assert last.counts == result.study.counts() and last.frontier == len(result.study.frontier()) and last.target == 5
    assert last.best.objectives["accuracy"] == max(record.objectives["accuracy"] for record in result.study.trials())


def test_an_error_of_the_progress_callback_loses_no_trial(space, url):
    """If ``progress`` raises, the search ends with that error, and running trials can be resumed."""

    def watch(event):
        if event.kind == "started" and event.trial.number == 2:
            raise LookupError("the watcher's own")

    with pytest.raises(LookupError):
        search(space, storage=url, trials=5, sampler="random", progress=watch)
    left = open_study(url, "one")
    assert [record.state for record in left.trials()] == ["complete", "complete", "interrupted"]
    whole = search(space, storage=url, trials=5, sampler="random").study
    assert whole.trial(2).attempt == 1 and whole.counts()["complete"] == 5 and whole.counts()["failed"] == 0
