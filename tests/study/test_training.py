"""Searches that train two small networks at a time on the embedded digits."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from explorer.analysis.limits import parse_limit
from explorer.errors import DataError, StoreError, StudyError, TrainingError
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.records import TrialRecord
from explorer.store.artifacts import checkpoint_file
from explorer.store.studies import open_study
from explorer.study import search as search_module
from explorer.study.joining import join_search
from explorer.study.samplers.registry import make_sampler
from explorer.study.search import run_search
from explorer.study.stopping.learning_curves import MIN_COMPLETE
from explorer.study.workers import train_job as objective
from explorer.study.workers.jobs import Failure, Job, Outcome, Training
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.train_job import train
from explorer.study.workers.weights import trained_network
from explorer.training import checkpoint
from explorer.training.settings import TrainingSettings
from tests.study.evaluations import SPACE_TEXT, good

SETTINGS = {
    "data": "digits",
    "recipe": "quick",
    "epochs": 1,
    "study": "digits",
    "sampler": "random",
    "limits": [parse_limit("macs<=700k")],
}


def training(epochs, artifacts, recipe="quick_small", device="cpu"):
    """Settings for a training on digits in float32 with one thread."""
    settings = TrainingSettings(recipe=recipe, epochs=epochs, device=device, precision="float32").resolved("digits")
    return Training(settings, threads=1, artifacts=artifacts)


def copied(url: str, folder: Path) -> str:
    """Copy a storage with its files into ``folder``, and return its URL."""
    shutil.copytree(Path(url.removeprefix("sqlite:///")).parent, folder / "copy")
    return f"sqlite:///{folder}/copy/explorer.db"


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


def test_a_removed_folder_of_artifacts_loses_only_weights(space, tmp_path):
    """Deleting the study's files while it runs loses weights but no trial; later weights are kept again."""
    folders = []

    def remove(event):
        if event.kind == "ended":
            folders.extend(tmp_path.glob("explorer.artifacts/*"))
            shutil.rmtree(tmp_path / "explorer.artifacts", ignore_errors=True)

    settings = {**SETTINGS, "storage": f"sqlite:///{tmp_path}/x.db"}
    study = run_search(space, trials=3, workers=2, progress=remove, **settings).study
    assert folders and study.counts()["complete"] == 3 and study.counts()["failed"] == 0
    assert all(study.weights(record) is None for record in study.trials())
    study = run_search(space, trials=6, workers=2, **settings).study
    assert study.counts()["complete"] == 6 and study.counts()["failed"] == 0


def small_files_only(limit: int = 4096):
    """Limit every file that this process writes from now on to ``limit`` bytes, as a quota does (EFBIG, without
    root)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@dataclass(frozen=True)
class Limited:
    """Work in a process that can write no weights and no checkpoint."""

    work: Training

    def __call__(self, job, report):
        checkpoint.MIN_SECONDS = checkpoint.TIME_FACTOR = 0  # the trial attempts one checkpoint after each epoch
        small_files_only()
        return objective.perform(self.work, job, report)


def assert_no_weights(study) -> None:
    """Check that both trainings are complete with all metrics, and their weights are recorded as missing and come
    back."""
    records = study.trials()
    assert [(record.state, record.weights, record.attempt) for record in records] == [("complete", "", 1)] * 2
    assert all(len(record.result.curve) == 2 and record.objectives["accuracy"] for record in records)
    assert not study.artifacts.exists() or not list(study.artifacts.iterdir())
    best = study.frontier()[0]
    retrained = trained_network(study, best).retrained
    assert retrained.val_accuracy == pytest.approx(best.objectives["accuracy"], abs=0.02)


def test_a_disk_that_takes_no_weights_fails_no_training(space, tmp_path, monkeypatch):
    """A training completes if neither checkpoint nor weights can be written, here because of a limit on file size."""
    monkeypatch.setattr(search_module, "ProcessPool", lambda work, *rest: ProcessPool(Limited(work), *rest))
    url = f"sqlite:///{tmp_path}/explorer.db"
    assert_no_weights(run_search(space, storage=url, trials=2, workers=2, **{**SETTINGS, "epochs": 2}).study)


def test_a_full_disk_under_the_artifacts_fails_no_training(space, tmp_path):
    """A training completes on a full disk of 16 KiB."""
    disk = tmp_path / "explorer.artifacts"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        url = f"sqlite:///{tmp_path}/explorer.db"
        assert_no_weights(run_search(space, storage=url, trials=2, workers=2, **{**SETTINGS, "epochs": 2}).study)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO])
def test_disk_errors_fail_no_training(space, tmp_path, monkeypatch, caplog, error):
    """Each disk error while weights or checkpoints are written or removed is a warning with its cause."""

    def refuse(self, *args, **kwargs):
        raise OSError(error, os.strerror(error), str(self))

    architecture = space.architecture(0)
    job = Job(7, architecture.digest, architecture.to_json(), {}, seed=1)
    settings = training(epochs=2, artifacts=tmp_path / "artifacts", recipe="quick")
    monkeypatch.setattr(checkpoint, "MIN_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "TIME_FACTOR", 0)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    outcome = train(settings, job, lambda said: False)
    assert outcome.weights == "" and outcome.result.epochs == 2
    of_checkpoint, of_weights = (record.getMessage() for record in caplog.records)
    assert of_checkpoint.startswith("a checkpoint could not be written: ") and os.strerror(error) in of_checkpoint
    assert of_weights.startswith("the weights of trial 7 could not be saved: ") and os.strerror(error) in of_weights
    assert of_weights.endswith("; 'explorer export' trains its network again")


def test_a_file_that_cannot_be_removed_fails_no_training(space, tmp_path, monkeypatch, caplog):
    """If the disk turns read-only during a search, files that cannot be removed stay, with a warning."""

    def refuse(self, missing_ok=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    study = run_search(space, storage=f"sqlite:///{tmp_path}/explorer.db", trials=1, **SETTINGS).study
    assert study.counts()["complete"] == 1
    assert "is no longer needed and cannot be removed: Read-only file system" in caplog.text


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
    with pytest.raises(StoreError, match="--new-study") as caught:
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


@pytest.mark.parametrize("side_by_side, share", [(1, None), (3, 0.3)])
def test_trainings_that_share_a_gpu_keep_to_their_shares(monkeypatch, side_by_side, share):
    """Trainings that share a GPU split 90% of its memory, a single one may use all, and a CPU is not affected."""
    asked = []
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", lambda part, place: asked.append((part, place)))
    objective._limit_gpu_memory("cpu", side_by_side)
    assert not asked
    objective._limit_gpu_memory("cuda:1", side_by_side)
    assert [(round(part, 6), str(place)) for part, place in asked] == ([] if share is None else [(share, "cuda:1")])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_beyond_its_share_of_a_gpu_fails_alone(space, tmp_path):
    """On a GPU with very many shares the training runs out of memory; alone on the GPU it completes."""
    arch = space.architecture(3)
    job = Job(7, arch.digest, arch.to_json(), {}, seed=11)
    settings = training(epochs=1, artifacts=None, device="cuda")
    crowded = ProcessPool(replace(settings, side_by_side=100_000), 1, reused=True)
    roomy = ProcessPool(settings, 1, reused=True)
    try:
        for place, kind in ((crowded, Failure), (roomy, Outcome)):
            place.start(job)
            last, end = None, time.monotonic() + 120
            while not isinstance(last, (Failure, Outcome)) and time.monotonic() < end:
                for _, message in place.messages(0.2):
                    last = message
            assert isinstance(last, kind), last
            assert kind is Outcome or "out of memory" in last.reason
    finally:
        crowded.stop()
        roomy.stop()


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
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("begins\n2\n", "", 0)
    assert len(open_study(f"sqlite:///{tmp_path}/x.db").trials()) == 2


def test_the_searching_process_needs_no_torch(environment):
    """The searching process never imports torch; its children do."""
    code = "import sys, explorer.study.search; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture(scope="module")
def stopped_early(space, tmp_path_factory):
    """A study of fifteen trials of four epochs, some of them stopped early, with the events of its search."""
    events = []
    url = f"sqlite:///{tmp_path_factory.mktemp('stopped')}/explorer.db"
    settings = {**SETTINGS, "epochs": 4, "stopping": "rungs", "scores": ["naswot"]}
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
