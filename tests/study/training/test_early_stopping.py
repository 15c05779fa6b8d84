"""Trainings that are stopped early, and workers that join such a study."""

from __future__ import annotations

import pytest

from explorer.errors import StoreError, StudyError
from explorer.records import TrialRecord
from explorer.study import search as search_module
from explorer.study.joining import join_search
from explorer.study.samplers.registry import make_sampler
from explorer.study.search import run_search
from explorer.study.stopping.learning_curves import MIN_COMPLETE
from tests.study.evaluations import good
from tests.study.training.digits import SETTINGS, copied, no_late_verdicts


@pytest.fixture(scope="module")
def stopped_early(space, tmp_path_factory):
    """A study of fifteen trials of four epochs, some of them stopped early, with the events of its search."""
    events = []
    url = f"sqlite:///{tmp_path_factory.mktemp('stopped')}/explorer.db"
    settings = {**SETTINGS, "epochs": 4, "stopping": "rungs", "scores": ["naswot"]}
    with no_late_verdicts():
        result = run_search(space, storage=url, trials=15, workers=2, progress=events.append, **settings)
    return result.study, events, url


def test_trainings_that_fall_behind_are_stopped_early(stopped_early):
    """A stopped trial has its curve up to a rung, the reason and its zero-cost scores, but no objectives or place on
    the front."""
    study, events, _ = stopped_early
    records = study.trials()
    stopped = [record for record in records if record.state == "stopped"]
    counts = study.counts()
    assert stopped and counts["stopped"] + counts["complete"] == 15 and counts["running"] == 0
    for record in stopped:
        assert record.result.epochs in (1, 2) and len(record.result.curve) == record.result.epochs
        assert record.reason.endswith("only the best 44% continue") and set(record.objectives) == {"naswot"}
        assert record.environment
        heard = [event.epoch.epoch for event in events if event.kind == "epoch" and event.trial.number == record.number]
        assert heard[-record.result.epochs :] == list(range(1, record.result.epochs + 1))
        assert study.weights(record) is None and record.weights == ""
    assert all(record.result.epochs == 4 for record in records if record.state == "complete")
    assert {record.state for record in study.frontier()} == {"complete"}
    kept = {record.digest for record in records if record.weights}
    assert {path.stem for path in study.artifacts.iterdir()} == kept


def test_every_stopped_trial_was_dominated_at_its_rung(stopped_early):
    """Each stopped trial was dominated at its rung by a trial of no higher cost and no worse score."""
    records = [record for record in stopped_early[0].trials() if record.result]
    stopped = [record for record in records if record.state == "stopped"]
    assert stopped
    for record in stopped:
        at = record.result.epochs
        point = (-record.result.val_accuracy, record.costs["macs"])
        others = [
            (-r.result.curve[at - 1].val_accuracy, r.costs["macs"])
            for r in records
            if r.number != record.number and r.result.epochs >= at
        ]
        assert any(a <= point[0] and b <= point[1] for a, b in others)


@pytest.mark.slow
def test_the_sampler_gets_the_forecast_of_every_stopped_trial(space, tmp_path, monkeypatch):
    """A stopped trial counts as running until it has a forecast, which lies between its last and the best value, also
    after a resume."""
    heard: list[dict[int, TrialRecord]] = []

    def remember(*settings):
        memory = make_sampler(*settings)
        learn, last = memory.learn, {}
        heard.append(last)

        def learn_and_note(record, notes):
            last[record.number] = record
            learn(record, notes)

        memory.learn = learn_and_note
        return memory

    monkeypatch.setattr(search_module, "make_sampler", remember)
    settings = {**SETTINGS, "epochs": 4, "stopping": "rungs", "limits": (), "storage": f"sqlite:///{tmp_path}/x.db"}
    with no_late_verdicts():
        study = run_search(space, trials=14, workers=2, **settings).study
    run_search(space, trials=14, workers=2, **{**settings, "stopping": "none"})  # has no curves except the stored ones
    complete = [record for record in study.trials() if record.state == "complete"]
    stopped = [record for record in study.trials() if record.state == "stopped"]
    best = max(record.objectives["accuracy"] for record in complete)
    assert len(stopped) > 3 and len(complete) >= MIN_COMPLETE
    for record in stopped:
        told = heard[0][record.number]
        assert told.state == "complete" and told.objectives["macs"] == record.costs["macs"]
        assert min(best, record.result.val_accuracy) <= told.objectives["accuracy"] <= best
        assert heard[1][record.number].state in ("complete", "running")
    assert sum(heard[1][record.number].state == "complete" for record in stopped) > len(stopped) / 2


def test_saved_epochs_are_reported(stopped_early):
    """Trained and saved epochs add up to those of complete trainings."""
    study = stopped_early[0]
    saved = study.savings()
    heard = sum(event.kind == "epoch" for event in stopped_early[1])  # also of trainings that restarted later
    assert saved["epochs_trained"] == heard and saved["epochs_trained"] + saved["epochs_saved"] == 15 * 4
    assert saved["trainings_saved"] == study.counts()["cached"]


def test_a_worker_joins_a_study_by_its_name(stopped_early, tmp_path):
    """Space, data, recipe, epochs and total come from the study, and a reached total ends the worker."""
    url = copied(stopped_early[2], tmp_path)
    joined = join_search(url, "", trials=16, sampler="random", workers=1, limits=SETTINGS["limits"])
    counts = joined.study.counts()
    assert counts["complete"] + counts["stopped"] == 16 and joined.ended == "the study has its 16 trials"
    again = join_search(url, "digits", trials=16)
    assert again.study.counts() == counts and not again.failed


def test_a_worker_needs_a_study_of_trainings(space, url):
    """A missing study, or one of the caller's functions, gives a one-line error."""
    with pytest.raises(StoreError, match="there is no file"):
        join_search(url, "one")
    run_search(space, evaluate=good, storage=url, study="one", trials=1)
    with pytest.raises(StudyError, match=r"a function of the caller's \(evaluate\); run the script"):
        join_search(url, "one")
    with pytest.raises(StoreError, match="there is no study 'two'"):
        join_search(url, "two")
