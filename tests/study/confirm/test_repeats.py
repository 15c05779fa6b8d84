"""Repeats of a search: further trainings near its front, which are no trials."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from explorer.analysis.limits import parse_limit
from explorer.errors import SearchFailed
from explorer.store.studies import open_study
from explorer.study.confirm.run import run_confirmation
from explorer.study.search import run_search, search
from explorer.study.seeds import seed_for
from explorer.study.settings import SearchSettings
from tests.study.evaluations import score


def noisy(architecture, *, choices, epochs, seed):
    """A made-up accuracy that depends on the choices, and on the seed as a training does."""
    return {"accuracy": score(choices) + random.Random(f"{seed} {architecture.digest}").gauss(0, 0.02)}


def repeats_of(study) -> list:
    return [(record.digest, record.seed, record.state) for record in study.confirmations()]


def trained(study) -> list:
    return [(record.number, record.digest, record.state, dict(record.objectives)) for record in study.trials()]


def test_repeats_come_after_the_trials_and_are_none(space):
    """A search with repeats has the trials of one without; then networks near the front are trained again from seeds
    of their own, each event names its trial, and the frontier has its certainty."""
    settings = {"trials": 14, "evaluate": noisy, "storage": None, "study": "one"}
    plain, events = search(space, **settings), []
    study = search(space, repeats=8, progress=events.append, **settings)
    assert trained(study) == trained(plain) and plain.confirmations() == []
    found = study.confirmations()
    assert len(found) == 8 == len({(record.digest, record.seed) for record in found})
    assert {record.seed for record in found}.isdisjoint(record.seed for record in study.trials())
    assert all(record.measured == noisy_again(study, record) for record in found)
    repeated = [event for event in events if event.kind == "repeated"]
    assert [event.status.repeats for event in repeated] == [(number, 8) for number in range(1, 9)]
    assert [event.trial.digest for event in repeated] == [event.repeat.digest for event in repeated]
    assert [event.kind for event in events].count("finished") == 1 and events[-1].kind == "finished"
    assert events[-1].why == "the study has its 14 trials; the study has its 8 repeats"
    certainty = study.frontier_certainty()
    assert certainty.noise.degrees_of_freedom == 8 and 0.005 < certainty.noise.std < 0.06
    assert certainty.probabilities.keys() == {record.number for record in study.trials()}
    assert plain.frontier_certainty() is None


def test_the_progress_shows_the_best_estimates(space, url):
    """While a search repeats, and when it is continued, the progress counts and names the same networks as
    ``study.frontier()``, with the same values."""
    settings = {"evaluate": noisy, "storage": url, "study": "one"}
    events = []
    study = search(space, trials=14, repeats=8, progress=events.append, **settings)

    def agrees(event) -> bool:
        front, best = study.frontier(), event.status.best
        found = next(each for each in front if each.number == best.number)
        is_best = best.value("accuracy") == max(each.value("accuracy") for each in front)
        return is_best and event.status.frontier == len(front) and found.objectives == best.objectives

    repeated = [event for event in events if event.kind == "repeated"]
    assert repeated[0].status.best.objectives != repeated[-1].status.best.objectives
    assert agrees(repeated[-1]) and agrees(events[-1])
    assert [each.number for each in study.frontier()] != [each.number for each in study.frontier(searched=True)]
    more = []
    search(space, trials=17, progress=more.append, **settings)
    assert more[0].kind == "begun" and agrees(more[0]) == agrees(events[-1])
    study = open_study(url, "one")
    assert agrees(more[-1])


def noisy_again(study, record) -> dict:
    """The values of a repeat, computed again."""
    trial = next(each for each in study.trials() if each.digest == record.digest)
    value = score(trial.choices) + random.Random(f"{record.seed} {record.digest}").gauss(0, 0.02)
    return {"accuracy": pytest.approx(value)}


def test_the_same_line_again_repeats_nothing(space, url):
    """K is the study's total: the same call trains nothing, a larger K what is missing, and the fingerprint does not
    hold it, so that a study without repeats goes on with some."""
    settings = {"trials": 10, "evaluate": noisy, "storage": url, "study": "one"}
    study = search(space, **settings)
    fingerprint, trials = study.fingerprint, trained(study)
    first = repeats_of(search(space, repeats=3, **settings))
    assert len(first) == 3 and repeats_of(search(space, repeats=3, **settings)) == first
    more = search(space, repeats=5, **settings)
    assert len(repeats_of(more)) == 5 and set(first) < set(repeats_of(more))
    assert {record.attempt for record in more.confirmations()} == {1}
    assert (more.fingerprint, trained(more)) == (fingerprint, trials)


def test_an_interruption_loses_nothing(space, url):
    """A signal during a repeat ends the search as interrupted; the same call trains the rest, that one with a second
    attempt, and chooses what it would have chosen without the interruption."""
    calls = Counter()

    def interrupted(architecture, *, choices, epochs, seed):
        calls["all"] += 1
        if calls["all"] == 12:  # the second repeat after ten trials
            raise KeyboardInterrupt
        return noisy(architecture, choices=choices, epochs=epochs, seed=seed)

    settings = {"trials": 10, "repeats": 5, "evaluate": interrupted, "changed_code": "continue"}
    result = run_search(space, storage=url, study="one", **settings)
    assert result.interrupted and len(result.study.trials()) == 10
    assert sorted(state for *_, state in repeats_of(result.study)) == ["complete", "running"]
    result = run_search(space, storage=url, study="one", **settings)
    assert not result.interrupted and calls["all"] == 10 + 5 + 1
    assert sorted(record.attempt for record in result.study.confirmations()) == [1, 1, 1, 1, 2]
    whole = search(space, **{**settings, "evaluate": noisy}, storage=None, study="one")
    assert set(repeats_of(result.study)) == set(repeats_of(whole))


def test_a_failing_repeat_is_told_and_not_tried_again(space):
    """A network whose repeat fails is not repeated again in this run; the others are, and where all fail the search
    ends and says so."""
    seen = set()

    def fails_the_second_time(architecture, *, choices, epochs, seed):
        if architecture.digest in seen:
            raise ValueError("no")
        seen.add(architecture.digest)
        return noisy(architecture, choices=choices, epochs=epochs, seed=seed)

    settings = {"trials": 8, "repeats": 4, "storage": None, "study": "one"}
    result = run_search(space, evaluate=fails_the_second_time, **settings)
    states = Counter(state for *_, state in repeats_of(result.study))
    assert states.keys() == {"failed"} and not result.failed and not result.interrupted
    assert result.ended.endswith("0 of 4 repeats are done, and no network is left whose repeat did not fail")
    assert result.study.frontier_certainty() is None and len(result.study.frontier()) > 0


def test_a_search_that_gave_up_repeats_nothing(space):
    """Where every trial fails there is no front to repeat."""

    def fails(architecture, *, choices, epochs, seed):
        raise ValueError("no")

    with pytest.raises(SearchFailed) as raised:
        search(space, trials=5, repeats=3, evaluate=fails, storage=None, study="one")
    assert raised.value.study.confirmations() == []


def test_time_is_kept_for_the_repeats(space):
    """With a bound on time the trials end early enough for the repeats that are missing."""
    from explorer.study.budget import Budget

    budget = Budget(None, 100.0, reserved=3)
    assert not budget.spent(5, 0, 20.0) and budget.spent(5, 0, 26.0).startswith("the time of 100 s")


def test_samplers_see_the_mean_of_all_trainings(space, url, monkeypatch):
    """When a search goes on, the sampler gets one record a network, with the mean of its trial and its repeats."""
    settings = {"evaluate": noisy, "storage": url, "study": "one"}
    study = search(space, trials=8, repeats=6, **settings)
    shown = {}
    from explorer.study.samplers.registry import RecordAdapter

    monkeypatch.setattr(RecordAdapter, "learn", lambda self, record, notes: shown.update({record.number: record}))
    monkeypatch.setattr(RecordAdapter, "__contains__", lambda self, number: True)
    search(space, trials=8, **settings)
    means = {each.trial: each.mean for each in study.trainings("macs", "accuracy")}
    assert {number: record.objectives["accuracy"] for number, record in shown.items()} == pytest.approx(means)
    changed = [trial for trial in study.trials() if means[trial.number] != trial.objectives["accuracy"]]
    assert {trial.digest for trial in changed} == {record.digest for record in study.confirmations()}


def test_trained_repeats_and_confirmations_share_their_trainings(space, url):
    """Two workers train repeats side by side, whole and tested, with the seeds of ``confirm``, which trains only what
    is missing; an old study goes on with repeats."""
    limits = (parse_limit("macs<=700k"),)
    settings = {"data": "digits", "recipe": "quick", "epochs": 1, "sampler": "random", "stopping": "none"}
    settings |= {"storage": url, "study": "one", "trials": 5, "workers": 2, "limits": limits}
    result = run_search(space, repeats=3, **settings)
    study = result.study
    assert result.ended == "the study has its 5 trials; the study has its 3 repeats"
    found = study.confirmations()
    assert [record.state for record in found] == ["complete"] * 3
    assert {record.seed for record in found} <= {seed_for("confirm", study.seed, place) for place in range(3)}
    assert all(set(record.test) == {"accuracy", "top5", "loss"} and record.result.epochs == 1 for record in found)
    assert not list(study.artifacts.glob("*.checkpoint"))
    run_confirmation(url, "one", seeds=1, workers=2)
    records = open_study(url, "one").confirmations()
    assert {record.attempt for record in records} == {1}
    assert {trial.digest for trial in study.frontier(searched=True)} <= {record.digest for record in records}
    assert set(map(str, found)) <= set(map(str, records))


def test_the_setting_is_described_and_read():
    """``repeats`` is a whole number from 1, is no part of the fingerprint, and can be written to a settings file."""
    (setting,) = [each for each in SearchSettings.described() if each.name == "repeats"]
    assert setting.flag == "--repeats" and not setting.in_fingerprint and setting.default is None
    assert json.dumps(setting.kind.write(SearchSettings.make({"repeats": 7}).repeats)) == "7"
