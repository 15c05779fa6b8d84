"""Weights and checkpoints that cannot be written or removed fail no training."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from explorer.study.search import run_search
from explorer.study.workers import local as local_module
from explorer.study.workers import train_job as objective
from explorer.study.workers.jobs import Job, Training
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.train_job import train
from explorer.study.workers.weights import trained_network
from explorer.training import checkpoint
from tests.study.training.digits import SETTINGS, training


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
    monkeypatch.setattr(
        local_module, "ProcessPool", lambda work, *rest, **named: ProcessPool(Limited(work), *rest, **named)
    )
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
    file = tmp_path / "artifacts" / f"{architecture.digest}.checkpoint"
    assert of_checkpoint.startswith(f"the checkpoint {file} could not be written: {os.strerror(error)}; without it")
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
