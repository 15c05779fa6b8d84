"""A search sends its trials to trackers, and no error of a tracker ends it."""

from __future__ import annotations

import logging
import os
import socket
import time

import pytest

import explorer
from explorer.errors import SettingError, StudyError
from explorer.study.trackers import tracking
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT, good

SPACE = explorer.parse_space(SPACE_TEXT, "tiny.yaml")
TRAINED = {"data": "digits", "subset": 60, "epochs": 2, "trials": 2, "workers": 1, "cover": 0, "progress": False}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_functions_get_every_event(folder, caplog):
    """Functions of ``track`` get the events that ``progress`` gets; one that raises an error gets no more."""
    seen, broken = [], []

    def fails(event):
        broken.append(event.kind)
        raise ValueError("no disk")

    shown = []
    options = {"evaluate": good, "workers": 1, "trials": 3, "storage": None}
    with caplog.at_level(logging.WARNING):
        study = explorer.search(SPACE, track=[seen.append, fails], progress=shown.append, **options)
    assert seen == shown and seen[0].kind == "begun" and seen[-1].kind == "finished" and broken == ["begun"]
    assert study.counts()["complete"] == 3
    assert "tracker fails has failed and gets no further events: ValueError: no disk" in caplog.text


def test_a_tracker_that_is_unknown_or_missing_is_named(folder, capsys, monkeypatch):
    """A misspelled tracker, a missing package and a wrong type are errors before a search begins."""
    for given, message in (
        ("tensorbord", "did you mean 'tensorboard'?"),
        (3, "must be names of trackers or functions"),
    ):
        with pytest.raises(SettingError, match=message.replace("?", r"\?")):
            explorer.search(SPACE, evaluate=good, track=given, storage=None)
    monkeypatch.setattr("explorer.study.trackers.tracking.find_spec", lambda name: None)
    status, _, err = run(capsys, "search", "--space", "preact_variants.yaml", "--track", "mlflow=x")
    assert status == 2 and "tracker 'mlflow' needs the package mlflow; install it with: " in err


def test_a_tracker_of_an_extension_is_started(folder):
    """An extension of the kind ``tracker`` gets the study and the target; its error at the start is one line."""
    started, events = [], []

    def make(study, target):
        if target == "nowhere":
            raise OSError("no such server")
        started.append((study.name, target))
        return events.append

    explorer.register("tracker", "test_own", make)
    options = {"evaluate": good, "workers": 1, "trials": 1, "storage": None, "study": "one", "progress": False}
    explorer.search(SPACE, track="test_own=a=b", **options)
    assert started == [("one", "a=b")] and events[-1].kind == "finished"
    with pytest.raises(StudyError, match="tracker 'test_own' cannot be started: OSError: no such server"):
        explorer.search(SPACE, track="test_own=nowhere", **options)


def test_a_slow_start_of_a_tracker_is_one_line(folder, caplog, monkeypatch):
    """If a tracker waits for its server, a line says so while it waits; an address in its error has no token."""

    def make(study, target):
        while "tracker test_slow has not started yet" not in caplog.text:
            time.sleep(0.01)
        raise OSError("no answer from http://CANARY@host:1/api and https://me:CANARY@host")

    monkeypatch.setattr(tracking, "SLOW_SECONDS", 0.0)
    explorer.register("tracker", "test_slow", make)
    with pytest.raises(StudyError, match="no answer from http://\\*\\*\\*@host") as error:
        explorer.search(SPACE, evaluate=good, track="test_slow", storage=None, progress=False)
    assert "CANARY" not in str(error.value)


def test_a_dead_server_of_mlflow_ends_the_start(folder, monkeypatch, caplog):
    """The error names the address without its token, nothing else is logged, and MLflow's variables are as before."""
    pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    from explorer.study.trackers import mlflow

    monkeypatch.setitem(mlflow.BRIEF, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://CANARY@127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(StudyError, match="tracker 'mlflow' cannot be started: MlflowException: ") as error:
            explorer.search(SPACE, evaluate=good, track=f"mlflow={address}", storage=None, progress=False)
    assert "127.0.0.1" in str(error.value) and "CANARY" not in str(error.value)
    assert "Retrying" not in caplog.text and not any(name in os.environ for name in mlflow.BRIEF)


def test_tensorboard_gets_curves_and_results(folder):
    """Each trial has its learning curve, and the study its results, in event files that TensorBoard reads."""
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = explorer.search(SPACE, study="a/b", storage="sqlite:///s.db", track="tensorboard=logs", **TRAINED)
    (runs,) = (folder / "logs").iterdir()
    summary = EventAccumulator(str(runs / "study")).Reload()
    found = {each.step: each.value for each in summary.Scalars("accuracy")}
    assert found == {trial.number: pytest.approx(trial.objectives["accuracy"]) for trial in study.trials()}
    for trial in study.trials():
        curve = EventAccumulator(str(runs / f"trial-{trial.number:05}")).Reload().Scalars("val_accuracy")
        assert [each.value for each in curve] == pytest.approx([each.val_accuracy for each in trial.result.curve])


def test_mlflow_gets_a_run_for_each_trial(folder):
    """The runs of the study's experiment have choices as parameters, curves and results as metrics, and their state."""
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    try:
        client = mlflow.MlflowClient(tracking_uri="sqlite:///mlflow.db")
        client.search_experiments()
    except Exception as error:
        pytest.skip(f"this MLflow has no store in a file: {error}")
    study = explorer.search(SPACE, storage="sqlite:///s.db", track="mlflow=sqlite:///mlflow.db", **TRAINED)
    experiment = client.get_experiment_by_name(study.name)
    found = {each.info.run_name: each for each in client.search_runs([experiment.experiment_id])}
    for trial in study.trials():
        data = found[f"trial {trial.number}"].data
        assert data.params == {name.replace("@", "/"): text for name, text in trial.choices.items()}
        assert data.metrics["macs"] == trial.costs["macs"] and data.tags["state"] == "complete"
        history = client.get_metric_history(found[f"trial {trial.number}"].info.run_id, "val_accuracy")
        assert [each.value for each in history] == [each.val_accuracy for each in trial.result.curve]


def test_wandb_gets_a_run_for_each_trial(folder, monkeypatch):
    """In offline mode Weights & Biases keeps one run per trial in the folder."""
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    study = explorer.search(SPACE, storage="sqlite:///s.db", track="wandb=project", **TRAINED)
    assert len(list((folder / "wandb").glob("offline-run-*"))) == len(study.trials()) == 2
