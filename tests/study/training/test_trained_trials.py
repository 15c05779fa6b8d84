"""Searches that train two small networks at a time on the embedded digits: results, weights, resuming."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest
from safetensors import safe_open

from explorer.errors import DataError, StoreError, TrainingError
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.store.artifacts import checkpoint_file
from explorer.store.studies import open_study
from explorer.study.search import run_search
from explorer.study.workers.jobs import Job
from explorer.study.workers.train_job import train
from tests.polling import PATIENCE
from tests.study.evaluations import SPACE_TEXT
from tests.study.training.digits import SETTINGS, copied, training


@pytest.fixture(scope="module")
def trained(space, tmp_path_factory):
    """A study of eight trained networks, with the events of its search."""
    events = []
    url = f"sqlite:///{tmp_path_factory.mktemp('trained')}/explorer.db"
    result = run_search(space, storage=url, trials=8, workers=2, progress=events.append, **SETTINGS)
    return result.study, events, url


def test_a_trained_trial_stores_all_results(trained):
    """Every complete trial has architecture, choices, costs, seed, curve, environment and metrics."""
    study, _, _ = trained
    complete = [record for record in study.trials() if record.state == "complete"]
    assert len(complete) == 8
    for record in complete:
        assert Architecture.from_json(record.architecture).digest == record.digest
        assert (
            record.objectives["accuracy"] == record.result.val_accuracy
            and record.objectives["macs"] == record.costs["macs"]
        )
        assert set(record.objectives) == {"accuracy", "top5", "loss", "macs"}
        assert record.result.precision in ("float32", "bfloat16")
        assert len(record.result.curve) == 1 and record.environment.threads == 1 and record.environment.device == "cpu"
        assert record.choices and record.seed and record.seconds > 0


def test_the_front_keeps_its_weights(trained):
    """Trials on the front keep weights that fit their networks; the files of other trials are deleted."""
    study, _, _ = trained
    front, kept = [], set()
    for record in sorted((r for r in study.trials() if r.state == "complete"), key=lambda r: (r.finished, r.revision)):
        point = (-record.objectives["accuracy"], record.objectives["macs"])
        if not any(all(a <= b for a, b in zip(other, point)) for other in front):
            kept.add(record.digest)
        front.append(point)
    assert {path.stem for path in study.artifacts.iterdir()} == kept
    for record in study.frontier():
        network = build_network(Architecture.from_json(record.architecture))
        with safe_open(study.weights(record), "pt") as file:
            kept_shapes = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        assert kept_shapes == {name: tensor.shape for name, tensor in network.state_dict().items()}
    for record in study.trials():
        assert (study.weights(record) is not None) == (record.state == "complete" and record.digest in kept)


def test_epochs_are_reported_as_they_happen(trained):
    """Each training reports each epoch between its start and its end."""
    _, events, _ = trained
    for number in {event.trial.number for event in events if event.kind == "epoch"}:
        kinds = [event.kind for event in events if event.trial is not None and event.trial.number == number]
        assert kinds == ["started", "epoch", "ended"]
    assert sum(event.kind == "epoch" for event in events) == 8


def test_a_resumed_trial_continues_from_its_checkpoint(space, tmp_path, monkeypatch):
    """A lost worker's epochs are not trained again, and the results equal those without the loss."""
    monkeypatch.setattr("explorer.training.checkpoint.MIN_SECONDS", 0.0)
    monkeypatch.setattr("explorer.training.checkpoint.TIME_FACTOR", 0)
    arch = space.architecture(3)
    job = Job(7, arch.digest, arch.to_json(), {}, seed=11)
    settings = training(epochs=4, artifacts=tmp_path)

    class Lost(Exception):
        pass

    def lose(epoch):
        if epoch.epoch == 3:
            raise Lost

    with pytest.raises(Lost):
        train(settings, job, lose)
    assert checkpoint_file(tmp_path, arch.digest).exists()
    told, began = [], time.monotonic()
    outcome = train(settings, job, told.append)
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4]
    assert sum(epoch.seconds for epoch in told[2:]) < time.monotonic() - began
    undisturbed = train(replace(settings, artifacts=tmp_path / "other"), job, lambda epoch: None)
    assert (outcome.measured, outcome.weights) == (undisturbed.measured, undisturbed.weights)
    assert [replace(e, seconds=0.0) for e in told] == [replace(e, seconds=0.0) for e in undisturbed.result.curve]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_stopped_training_writes_no_weights(space, tmp_path, is_stopped):
    """They would be removed, since a stopped trial has none; a full disk would be reported for them in vain."""
    architecture = space.architecture(0)
    job = Job(7, architecture.digest, architecture.to_json(), {}, seed=1)
    outcome = train(training(epochs=2, artifacts=tmp_path), job, lambda epoch: is_stopped)
    assert outcome.result.epochs == (1 if is_stopped else 2)
    assert bool(outcome.weights) != is_stopped and any(tmp_path.iterdir()) != is_stopped


def test_the_same_command_resumes_the_study(trained, space, tmp_path):
    """A larger total continues the study and leaves the first trials unchanged."""
    study, _, url = trained
    before = study.trials()
    after = run_search(space, storage=copied(url, tmp_path), trials=9, workers=1, **SETTINGS).study.trials()
    assert after[: len(before)] == before and sum(record.state == "complete" for record in after) == 9


@pytest.mark.parametrize(
    "change, difference",
    [
        ({"data": "cluttered-digits"}, 'data: "digits", now "cluttered-digits"'),
        ({"subset": 300}, "split.subset: none, now 300"),
        ({"recipe": "cosine"}, 'recipe.name: "quick", now "cosine"'),
        ({"epochs": 2}, "epochs: 1, now 2"),
        ({"objectives": {"loss": "min", "macs": "min"}}, 'objectives.accuracy: "max", now none'),
    ],
    ids=["data", "subset", "recipe", "epochs", "objectives"],
)
def test_a_training_study_created_with_other_settings_is_refused(trained, space, change, difference):
    """A study refuses other data, split, recipe, epochs or objectives and names the difference."""
    with pytest.raises(StoreError, match="--study NAME") as caught:
        run_search(space, storage=trained[2], trials=20, **{**SETTINGS, **change})
    assert difference in str(caught.value)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"data": "digit"}, DataError, "did you mean 'digits'"),
        ({"recipe": "quik"}, TrainingError, "did you mean 'quick'"),
        ({"subset": 10**9}, DataError, "a subset of digits must be in"),
    ],
)
def test_invalid_trainings_are_rejected_before_anything_is_written(space, tmp_path, change, error, message):
    """Unknown data or an unknown recipe gives a one-line error and creates no database."""
    with pytest.raises(error, match=message):
        run_search(space, storage=f"sqlite:///{tmp_path}/x.db", trials=1, **{**SETTINGS, **change})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # a script that trains, in a process of its own
def test_a_script_without_a_guard_searches_once(tmp_path, environment):
    """A script that searches at its top level without a guard is not run again in its children."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('begins')\n"
        "from explorer.space.search_space import parse_space\n"
        "from explorer.study.search import search\n"
        f"study = search(parse_space({SPACE_TEXT!r}, 'tiny.yaml'), data='digits', subset=100, epochs=1, trials=2,\n"
        f"               workers=2, storage='sqlite:///{tmp_path}/x.db', study='one')\n"
        "print(study.counts()['complete'])\n"
    )
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr, done.returncode) == ("begins\n2\n", "", 0)
    assert len(open_study(f"sqlite:///{tmp_path}/x.db").trials()) == 2


def test_the_searching_process_needs_no_torch(environment):
    """The searching process never imports torch; its children do."""
    code = "import sys, explorer.study.search; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
