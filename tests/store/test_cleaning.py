"""The files of a study that may be deleted, and those that may not."""

from __future__ import annotations

import json

import pytest

from explorer.store.artifacts import checkpoint_file, confirmation_checkpoint, weights_file
from explorer.store.cleaning import removable_files
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import open_study
from explorer.store.writer import StudyWriter
from tests.command_line import run
from tests.store.conftest import make_study, proposal


@pytest.fixture
def study(url):
    """Trials with a file each: a and b on the front of MACs, c on that of params, d on none, e running, f interrupted;
    and files of a running and a finished confirmation, of another storage's study, and of others."""
    writer = StudyWriter(make_study(url), new_worker())
    folder = writer.study.artifacts
    folder.mkdir(parents=True)
    ended = (("a", 10, 9, 0.5), ("b", 20, 8, 0.7), ("c", 30, 3, 0.6), ("d", 40, 10, 0.55))
    for number, (name, macs, params, accuracy) in enumerate(ended):
        asked = proposal(name, macs)
        asked.costs["params"] = params
        writer.begin(number, asked)
        weights_file(folder, f"v1-{name}").write_bytes(b"weights")
        writer.finish(number, Ending("complete", {"accuracy": accuracy, "macs": macs}, weights="0" * 64))
    writer.begin(4, proposal("f"))
    writer.interrupt("Ctrl-C")
    running = StudyWriter(writer.study, new_worker())
    running.begin(5, proposal("e"))
    for name in ("e", "f", "d", "another"):
        checkpoint_file(folder, f"v1-{name}").write_bytes(b"state")
    for name in ("e", "another"):
        weights_file(folder, f"v1-{name}").write_bytes(b"weights")
    confirming = ConfirmationWriter(writer.study, new_worker())
    confirming.claim([Wanted("v1-a", 2, 5)])
    for seed in (5, 6):
        confirmation_checkpoint(folder, "v1-a", 2, seed).write_bytes(b"state")
    (folder / ".writing-elsewhere-1-x").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"mine")
    (folder / "unsent").mkdir()
    (folder / "unsent" / "3-x.json").write_bytes(b"{}")
    yield writer.study
    writer.study.database.close()


REMOVABLE = {"v1-d.safetensors", "v1-d.checkpoint", "v1-a.2-6.checkpoint"}


def test_files_of_a_front_or_a_training_are_kept(study):
    """Only weights of dominated networks and checkpoints of finished trainings are listed, each with its reason."""
    found = {each.file: each for each in removable_files(study)}
    assert set(found) == REMOVABLE
    assert found["v1-d.safetensors"].reason == "weights of trial 3, on no frontier"
    assert found["v1-d.safetensors"].bytes == 7


def test_the_command_lists_and_removes(study, url, capsys):
    """Without --yes nothing is removed; with it exactly the listed files are removed, and a second listing is empty."""
    before = {path.name for path in study.artifacts.iterdir()}
    status, out, _ = run(capsys, "clean", "one", "--storage", url, "--json")
    document = json.loads(out)
    assert status == 0 and {row["file"] for row in document["files"]} == REMOVABLE and not document["removed"]
    assert {path.name for path in study.artifacts.iterdir()} == before
    status, out, _ = run(capsys, "clean", "one", "--storage", url)
    assert status == 0 and "--yes" in out and "3 files" in out
    status, out, _ = run(capsys, "clean", "one", "--storage", url, "--yes", "--json")
    assert status == 0 and json.loads(out)["removed"] and json.loads(out)["bytes"] == document["bytes"] > 0
    assert {path.name for path in study.artifacts.iterdir()} == before - REMOVABLE
    opened = open_study(url, "one")
    assert [opened.weights(opened.trial(number)) is not None for number in range(4)] == [True, True, True, False]
    status, out, _ = run(capsys, "clean", "one", "--storage", url)
    assert status == 0 and "nothing to free" in out
    status, out, err = run(capsys, "clean", "two", "--storage", url)
    assert (status, out) == (2, "") and "there is no study 'two'" in err


def test_the_checkpoints_of_paused_trials_are_removed_on_request(url, capsys):
    """The checkpoint of a stopped trial is kept unless it is asked for, when no trial runs or is interrupted."""
    writer = StudyWriter(make_study(url), new_worker())
    folder = writer.study.artifacts
    folder.mkdir(parents=True)
    for number, name in enumerate("ab"):
        writer.begin(number, proposal(name))
        checkpoint_file(folder, f"v1-{name}").write_bytes(b"state")
    writer.finish(0, Ending("stopped", reason="paused after 1 epoch"))
    assert removable_files(writer.study) == []
    writer.interrupt("Ctrl-C")
    assert removable_files(writer.study) == []
    writer.resume()
    writer.finish(1, Ending("stopped", reason="paused after 1 epoch"))
    reasons = [each.reason for each in removable_files(writer.study)]
    assert reasons == [f"checkpoint of trial {number}, which is paused" for number in (0, 1)]
    writer.study.database.close()
    status, out, _ = run(capsys, "clean", "one", "--storage", url, "--yes")
    assert status == 0 and "2 checkpoints of paused trials, 0.0 MB, kept; --paused removes them" in out
    _, out, _ = run(capsys, "clean", "one", "--storage", url, "--yes", "--json")
    assert json.loads(out)["kept_paused"] == {"files": 2, "bytes": 10} and not json.loads(out)["files"]
    assert len(list(folder.iterdir())) == 2
    status, out, _ = run(capsys, "clean", "one", "--storage", url, "--paused", "--yes")
    assert status == 0 and "2 files, 0.0 MB" in out and "kept" not in out
    assert not list(folder.iterdir())
