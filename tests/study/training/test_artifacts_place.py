"""Searches whose files are in a folder or an object store of their own."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import pytest

from explorer.errors import StoreError
from explorer.store.artifacts import weights_file
from explorer.store.managing.changes import delete_study, rename_study
from explorer.store.managing.copies import copy_study
from explorer.store.remote.files import ObjectStore
from explorer.store.studies import list_studies, open_study
from explorer.study.confirm.run import run_confirmation
from explorer.study.results.exporting import export_trial
from explorer.study.search import run_search
from tests.command_line import run
from tests.store.remote.s3 import SECRET
from tests.store.remote.test_outbox import checkpoint
from tests.study.evaluations import SPACE_TEXT
from tests.study.training.digits import SETTINGS


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("cache")
def test_a_search_keeps_its_files_in_a_bucket(space, s3, url, tmp_path):
    """Weights and curves are in the bucket, not here; export, copy, rename and delete use them; no key is stored."""
    study = run_search(space, storage=url, trials=3, workers=1, artifacts=s3, **SETTINGS).study
    store = study.files
    assert isinstance(store, ObjectStore) and store.url.startswith(f"{s3}/digits-")
    names = set(store.names())
    kept = [record for record in study.trials() if record.weights]
    assert {f"{record.digest}.safetensors" for record in kept} <= names and kept
    assert {f"trial-{record.number}.curve.json" for record in study.trials() if record.state == "complete"} <= names
    assert not [name for name in names if name.endswith(".checkpoint")]
    assert not list(study.artifacts.glob("*.safetensors"))
    curve = json.loads(store.read(f"trial-{kept[0].number}.curve.json"))
    assert (curve["network"], curve["val_accuracy"]) == (kept[0].digest, kept[0].result.val_accuracy)
    shutil.rmtree(study.artifacts, ignore_errors=True)  # as on another machine
    best = study.frontier()[-1]
    assert hashlib.sha256(study.weights(best).read_bytes()).hexdigest() == best.weights
    result = export_trial(study, best.number, tmp_path / "network", formats=["safetensors"])
    assert "saved by the trial" in (result.directory / "README.md").read_text()
    again = run_search(space, storage=url, trials=4, workers=1, **SETTINGS).study  # the study knows its place
    assert again.counts()["complete"] == 4 and "trial-3.curve.json" in again.files.names()
    copied = copy_study(study, f"sqlite:///{tmp_path}/copy.db", artifacts=str(tmp_path / "folder"))
    assert copied.weights(copied.trial(best.number)).parent.parent == tmp_path / "folder"
    renamed = rename_study(study, "other")
    assert set(renamed.files.names()) >= names and store.names() == {}
    assert delete_study(renamed) > 0 and renamed.files.names() == {}
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.usefixtures("cache")
def test_a_trial_is_resumed_on_another_machine(space, s3, url):
    """A machine without the checkpoint gets it from the bucket before the training starts; at its end it is removed."""

    def interrupt(event):
        if event.kind == "started":
            raise KeyboardInterrupt

    interrupted = run_search(space, storage=url, trials=1, workers=1, artifacts=s3, progress=interrupt, **SETTINGS)
    assert interrupted.interrupted
    study = open_study(url)
    record = study.trial(0)
    name, brought = f"{record.digest}.checkpoint", []
    assert record.state == "interrupted"
    study.files.write(name, checkpoint(2))

    def look(event):
        if event.kind == "epoch":
            brought.append((study.artifacts / name).read_bytes())

    study = run_search(space, storage=url, trials=1, workers=1, progress=look, **SETTINGS).study
    assert brought == [checkpoint(2)] and study.trial(0).state == "complete"
    assert name not in study.files.names() and not (study.artifacts / name).exists()


@pytest.mark.usefixtures("cache")
def test_changed_weights_in_a_bucket_are_refused(space, s3, url):
    """Weights whose SHA-256 differs from the one in the study are an error, not a network."""
    study = run_search(space, storage=url, trials=1, workers=1, artifacts=s3, **SETTINGS).study
    record = study.trial(0)
    study.files.write(weights_file(study.artifacts, record.digest).name, b"others")
    with pytest.raises(StoreError, match=r"s3://.*safetensors: the file is not the one that was written"):
        study.weights(record)


def test_a_folder_as_place_has_the_files(space, url, tmp_path):
    """A relative folder is beside the database; files of a study that had the usual folder move to it."""
    study = run_search(space, storage=url, trials=1, workers=1, **SETTINGS).study
    before = study.artifacts
    assert before.parent.name == "explorer.artifacts" and study.weights(study.trial(0)).is_file()
    study = run_search(space, storage=url, trials=2, workers=1, artifacts="runs", **SETTINGS).study
    assert study.artifacts.parent == tmp_path / "runs" and not before.exists()
    assert study.weights(study.trial(0)).is_file() and (study.artifacts / "trial-1.curve.json").is_file()
    with pytest.raises(StoreError, match=r"keeps its files in runs, found --artifacts elsewhere; leave it out"):
        run_search(space, storage=url, trials=3, workers=1, artifacts="elsewhere", **SETTINGS)


def test_a_study_keeps_its_place_if_the_environment_names_another(space, url, capsys, monkeypatch, tmp_path):
    """EXPLORER_ARTIFACTS is the place of new studies; a study that has a place keeps it, with a note."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    search = ("search", "--space", str(tmp_path / "tiny.yaml"), "--data", "digits", "--epochs", "1", "--storage", url)
    monkeypatch.setenv("EXPLORER_ARTIFACTS", "runs")
    status, _, err = run(capsys, *search, "--trials", "1")
    assert status == 0 and open_study(url).place == "runs", err
    monkeypatch.setenv("EXPLORER_ARTIFACTS", "/proc/foo")  # it is not used, so it is not tried
    status, _, err = run(capsys, *search, "--trials", "2")
    assert status == 0 and err.count("keeps its files in runs; EXPLORER_ARTIFACTS is for other studies") == 1, err
    study = open_study(url)
    assert study.place == "runs" and study.counts()["complete"] == 2
    status, _, err = run(capsys, *search, "--trials", "3", "--artifacts", "elsewhere")
    assert status == 2 and "keeps its files in runs, found --artifacts elsewhere; leave it out" in err


@pytest.mark.usefixtures("cache")
def test_a_confirmation_reads_the_place_of_its_study(space, s3, url):
    """``confirm`` leaves no checkpoint behind in the bucket."""
    study = run_search(space, storage=url, trials=1, workers=1, artifacts=s3, **SETTINGS).study
    confirmation = run_confirmation(url, "digits", seeds=1, workers=1)
    assert confirmation.missing == 0
    assert not [name for name in study.files.names() if name.endswith(".checkpoint")]


def test_a_place_that_cannot_be_written_ends_the_command(s3, url, tmp_path, capsys):
    """A bucket that does not exist and a URL with a password are one line and exit status 2; the doctor names both."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    search = ("search", "--space", str(tmp_path / "tiny.yaml"), "--data", "digits", "--trials", "1", "--storage", url)
    for place, message in (
        ("s3://no-such-bucket-here/x", "s3://no-such-bucket-here/x: cannot write"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x: cannot write"),
        ("s3://key:hunter2secret@bucket", "has a password, a key or a parameter"),
        ("/proc/foo", "artifacts: /proc/foo: files cannot be written there"),
        ("tiny.yaml", "tiny.yaml is not a folder"),
        ("tiny.yaml/runs", "tiny.yaml is not a folder"),
        ("n" * 300, "n: files cannot be written there: File name too long"),
    ):
        status, out, err = run(capsys, *search, "--artifacts", place)
        assert (status, out) == (2, "") and "hunter2" not in err and SECRET not in err
        assert re.search(message, err) and err.strip().count("\n") <= 1
        assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["tiny.yaml"]
    status, _, err = run(capsys, *search, "--artifacts", "runs/new")
    assert status == 0, err
    for place in ("/proc/foo", "s3://no-such-bucket-here/x"):
        status, out, err = run(
            capsys, "studies", "copy", "tiny-digits", "other", "--artifacts", place, "--storage", url
        )
        assert (status, out, err.count("\n")) == (2, "", 1) and place in err and "trying again" not in err
        assert [each.name for each in list_studies(url)] == ["tiny-digits"]


@pytest.mark.usefixtures("cache")
def test_the_place_of_a_study_is_checked_again(space, url, tmp_path, capsys):
    """A search or a confirmation of a study whose place can no longer be written to is refused; the doctor names it."""
    run_search(space, storage=url, trials=1, workers=1, artifacts="runs", **SETTINGS)
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="runs is not a folder"):
        run_search(space, storage=url, trials=2, workers=1, **SETTINGS)
    with pytest.raises(StoreError, match="runs is not a folder"):
        run_confirmation(url, "digits", seeds=1, workers=1)
    assert open_study(url).counts()["complete"] == 1
    _, out, _ = run(capsys, "doctor", "--storage", url, "--json")
    (check,) = (each for each in json.loads(out)["checks"] if each["name"] == "artifacts")
    assert not check["ok"] and "runs is not a folder" in check["found"] and "studies copy" in check["fix"]
    copied = copy_study(open_study(url), name="other", artifacts="others")
    assert copied.counts()["complete"] == 1 and copied.place == "others"


@pytest.mark.usefixtures("cache")
def test_a_bucket_that_was_deleted_is_named(space, s3, url, capsys):
    """``clean`` says that a bucket is missing, not that there is nothing to free; the study can be copied elsewhere."""
    import boto3

    run_search(space, storage=url, trials=1, workers=1, artifacts=s3, **SETTINGS)
    status, out, err = run(capsys, "clean", "--storage", url)
    assert status == 0 and out.startswith(f"nothing to free in {s3}"), err
    bucket = boto3.resource("s3").Bucket(s3.split("/")[2])
    bucket.objects.all().delete()
    bucket.delete()
    status, out, err = run(capsys, "clean", "--storage", url)
    assert (status, out, err.count("\n")) == (2, "", 1) and s3 in err and "cannot write" in err
    assert copy_study(open_study(url), name="other", artifacts="others").counts()["complete"] == 1


def test_the_doctor_tries_the_place(s3, url, capsys, monkeypatch):
    """The doctor writes, reads and removes a file in the place that the environment names."""
    monkeypatch.setenv("EXPLORER_ARTIFACTS", s3)
    _, out, _ = run(capsys, "doctor", "--storage", url, "--json")
    checks = {each["name"]: each for each in json.loads(out)["checks"]}
    assert checks["artifacts"]["ok"] and s3 in checks["artifacts"]["found"]
