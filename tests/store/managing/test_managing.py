"""Studies are renamed, deleted, annotated and copied on every kind of database."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from explorer.errors import StoreError
from explorer.store.artifacts import checkpoint_file, weights_file
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.managing.changes import annotate_study, delete_study, rename_study
from explorer.store.managing.copies import copy_study
from explorer.store.managing.merging import append_trials
from explorer.store.rows import Ending
from explorer.store.studies import find_study, list_studies, open_study, study_names
from explorer.store.writer import StudyWriter
from tests.command_line import run
from tests.store.conftest import ENVIRONMENT, GONE, RESULT, make_study, proposal

COMPLETE = Ending("complete", {"accuracy": 0.5}, RESULT, environment=ENVIRONMENT, weights="0" * 64)


@pytest.fixture
def writer(storage, tmp_path, monkeypatch):
    """A writer of a study with one trial of each ending, a confirmation, and files."""
    monkeypatch.chdir(tmp_path)
    writer = StudyWriter(make_study(storage), new_worker())
    for number, ending in enumerate([COMPLETE, Ending("failed", reason="no luck"), Ending("stopped", {}, RESULT)]):
        writer.begin(number, dataclasses.replace(proposal(f"net{number}"), seed=number))
        writer.finish(number, ending)
    writer.begin(3, dataclasses.replace(proposal("net0"), seed=3))  # cached: it has the result of trial 0
    writer.refuse(4, proposal("net4"), "rejected", "macs <= 1")
    confirming = ConfirmationWriter(writer.study, writer.worker)
    confirming.claim([Wanted("v1-net0", 2, 7)])
    confirming.finish(Wanted("v1-net0", 2, 7), test={"accuracy": 0.4}, result=RESULT)
    writer.study.artifacts.mkdir(parents=True)
    weights_file(writer.study.artifacts, "v1-net0").write_bytes(b"weights")
    yield writer
    writer.study.database.close()


def facts(study):
    """Return what a copy must have: trials, confirmations and the content of its files."""
    records = [dataclasses.replace(record, revision=0) for record in study.trials()]
    files = {path.name: path.read_bytes() for path in study.artifacts.glob("*") if path.is_file()}
    return records, [dataclasses.replace(each, revision=0) for each in study.confirmations()], files


def test_a_copy_has_all_of_the_study(writer, tmp_path):
    """A copy, in the same database or another, has the same trials, confirmations and files, and can be resumed."""
    study = writer.study
    before = facts(study)
    for storage, name in ((None, "two"), (f"sqlite:///{tmp_path}/other/o.db", "")):
        (tmp_path / "other").mkdir(exist_ok=True)
        copied = copy_study(study, storage, name)
        assert copied.name == (name or "one") and facts(copied) == before
        assert copied.artifacts != study.artifacts and (dict(copied.fingerprint), copied.seed) == (study.fingerprint, 3)
        with pytest.raises(StoreError, match=f"there is a study '{copied.name}' in .* already"):
            copy_study(study, storage, name)
        if storage:
            database = open_for_writing(storage)
            following = StudyWriter(find_study(database, "one"), new_worker())
            assert following.begin(5, proposal("net0")).state == "cached"  # its network is claimed
            database.close()


@contextmanager
def full_disk():
    """Let every transaction that changed a row fail at its commit, as SQLite does on a full disk."""
    changed = set()

    def note(connection, cursor, statement, *others):
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            changed.add(connection)

    def refuse(connection):
        if connection in changed:
            changed.remove(connection)
            cause = sqlite3.OperationalError("database or disk is full")
            cause.sqlite_errorname, cause.sqlite_errorcode = "SQLITE_FULL", sqlite3.SQLITE_FULL
            raise OperationalError("COMMIT", {}, cause)

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Engine, "commit", refuse)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        event.remove(Engine, "commit", refuse)


@pytest.mark.parametrize(
    "line",
    [
        ("note", "one", "what is known"),
        ("note", "one:0", "what is known"),
        ("tag", "one", "final"),
        ("rename", "one", "two"),
        ("copy", "one", "two"),
        ("copy", "one", "--to", "other.db"),
        ("merge", "one", "more"),
        ("delete", "one", "--yes"),
    ],
    ids=" ".join,
)
def test_a_full_disk_ends_a_command_soon(tmp_path, monkeypatch, capsys, line):
    """Where nothing can be written, each command ends with one error after a short while, and changes nothing."""
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///a.db"
    for name in ("one", "more"):
        made = StudyWriter(make_study(url, name), new_worker())
        made.begin(0, proposal(f"net{name}"))
        made.finish(0, COMPLETE)
        made.study.artifacts.mkdir(parents=True)
        weights_file(made.study.artifacts, f"v1-net{name}").write_bytes(b"weights")
        made.study.database.close()
    before = [facts(open_study(url, name)) for name in ("one", "more")]
    for module in ("changes", "copies"):
        monkeypatch.setattr(f"explorer.store.managing.{module}.ONCE_SECONDS", 0.5)
    with full_disk():
        status, out, err = run(capsys, "studies", *line, "--storage", url)
    assert (status, out) == (2, "") and "cannot write to this database" in err.splitlines()[-1], err
    assert len([told for told in err.splitlines() if "trying again" not in told]) == 1, err
    assert [facts(open_study(url, name)) for name in ("one", "more")] == before
    assert {each.name for each in list_studies(url)} == {"one", "more"}


def test_a_copy_between_servers_and_files_is_complete(postgresql_url, tmp_path, monkeypatch):
    """A study is copied from SQLite to PostgreSQL and back, with its files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    writer = StudyWriter(make_study(f"sqlite:///{tmp_path}/files/a.db"), new_worker())
    writer.begin(0, proposal("net0"))
    writer.finish(0, COMPLETE)
    writer.study.artifacts.mkdir(parents=True)
    weights_file(writer.study.artifacts, "v1-net0").write_bytes(b"weights")
    before = facts(writer.study)
    there = copy_study(writer.study, postgresql_url)
    back = copy_study(there, f"sqlite:///{tmp_path}/files/b.db")
    assert facts(there) == facts(back) == before
    assert back.trial(0).environment == ENVIRONMENT
    for study in (there, back):
        study.database.close()


def test_the_commands_work_on_a_server(capsys, postgresql_url, tmp_path, monkeypatch):
    """``explorer studies`` lists, copies, merges, annotates, renames and deletes studies on PostgreSQL."""
    monkeypatch.chdir(tmp_path)
    made = make_study(f"sqlite:///{tmp_path}/a.db"), make_study(postgresql_url)
    for seed, study in enumerate(made):
        writer = StudyWriter(study, new_worker())
        writer.begin(0, dataclasses.replace(proposal(f"net{seed}"), seed=seed))
        writer.finish(0, COMPLETE)
        study.database.close()
    monkeypatch.setenv("EXPLORER_STORAGE", postgresql_url)

    def ask(*words: str) -> str:
        status, out, err = run(capsys, "studies", *words)
        assert status == 0, err
        return out

    ask("copy", "one", "two")
    assert "added 1" in ask("merge", "two", "one", "--from", f"sqlite:///{tmp_path}/a.db")
    ask("note", "two", "both machines")
    ask("tag", "two", "paper")
    ask("rename", "two", "both")
    (listed,) = json.loads(ask("--tag", "paper", "--json"))
    assert (listed["name"], listed["note"], listed["trials"]["complete"]) == ("both", "both machines", 2)
    ask("delete", "one", "both", "--yes")
    assert json.loads(ask("--json")) == []


def test_a_running_trial_is_interrupted_in_the_copy(writer):
    """The copy of a running study can be resumed; the study itself runs on."""
    writer.begin(5, proposal("net5"))
    checkpoint_file(writer.study.artifacts, "v1-net5").write_bytes(b"checkpoint")
    copied = copy_study(writer.study, name="two")
    assert (copied.trial(5).state, writer.study.trial(5).state) == ("interrupted", "running")
    resumed = StudyWriter(find_study(writer.study.database, "two"), new_worker()).resume()
    assert (resumed.number, resumed.state, resumed.attempt) == (5, "running", 1)
    assert checkpoint_file(copied.artifacts, "v1-net5").read_bytes() == b"checkpoint"


def test_a_renamed_study_keeps_trials_and_files(writer):
    """The folder of a study moves with its name; a taken or invalid name changes nothing."""
    before, folder = facts(writer.study), writer.study.artifacts
    renamed = rename_study(writer.study, "a/b: c")
    assert facts(renamed) == before and not folder.exists()
    copied = copy_study(renamed, name="two")
    for name, message in (("two", "there is a study 'two'"), ("", "printable text"), ("x" * 201, "printable text")):
        with pytest.raises(StoreError, match=message):
            rename_study(renamed, name)
    assert facts(renamed) == facts(copied) == before
    assert rename_study(renamed, renamed.name).name == "a/b: c"


def test_a_deleted_study_leaves_the_others(writer):
    """Deleting removes the rows and files of one study; networks and environments of others stay."""
    copied = copy_study(writer.study, name="two")
    before, folder = facts(copied), writer.study.artifacts
    assert delete_study(writer.study) == len(b"weights") and not folder.exists()
    assert study_names(copied.database) == {"two"} and facts(copied) == before
    delete_study(copied)
    if copied.database.engine.dialect.name == "sqlite":
        tables = ("architectures", "environments", "trials", "claims", "confirmations", "studies")
        with copied.database.engine.connect() as connection:
            for table in tables:
                assert connection.exec_driver_sql(f"SELECT count(*) FROM explorer_{table}").scalar() == 0, table


@pytest.mark.parametrize("change", [delete_study, lambda study: rename_study(study, "two")])
def test_a_running_study_is_neither_renamed_nor_deleted(writer, change):
    """A study that a worker runs is not changed; one whose worker has ended is."""
    writer.begin(5, proposal("net5"))
    with pytest.raises(StoreError, match=r"study 'one' cannot be (deleted|renamed) while a worker on host"):
        change(writer.study)
    assert len(writer.study.trials()) == 6
    lost = StudyWriter(writer.study, GONE)
    writer.finish(5, COMPLETE)
    lost.begin(6, proposal("net6"))
    change(writer.study)
    assert "one" not in study_names(writer.study.database)


def test_merged_trials_get_the_next_numbers(writer, tmp_path):
    """Trials of another study are added once; references to trials, claims, weights and confirmations go with them."""
    source = f"sqlite:///{tmp_path}/source/o.db"
    (tmp_path / "source").mkdir()
    other = StudyWriter(make_study(source, "other"), new_worker())
    other.begin(0, dataclasses.replace(proposal("net0"), seed=99))  # the network of trial 0, from another seed
    other.finish(0, COMPLETE)
    other.begin(1, dataclasses.replace(proposal("net1"), seed=1))  # trial 1 failed here
    other.finish(1, COMPLETE)
    twin = {"twin": 1, "factor": "order", "objective": "accuracy", "asked": "order", "precision": "float32"}
    other.begin(2, dataclasses.replace(proposal("net1"), seed=2, counterpart=twin))
    other.begin(3, proposal("net9"))
    for digest in ("v1-net0", "v1-net1"):
        other.study.artifacts.mkdir(parents=True, exist_ok=True)
        weights_file(other.study.artifacts, digest).write_bytes(b"other")
    merged = append_trials(writer.study, other.study)
    assert (merged.added, merged.present, merged.unfinished) == (3, 0, 1)
    found = {record.number: record for record in writer.study.trials()}
    assert [found[number].state for number in (5, 6, 7)] == ["complete", "complete", "cached"]
    assert (found[5].weights, found[6].weights, found[7].same_as) == ("", "0" * 64, 6)
    assert found[7].counterpart["twin"] == 6
    assert weights_file(writer.study.artifacts, "v1-net0").read_bytes() == b"weights"
    assert weights_file(writer.study.artifacts, "v1-net1").read_bytes() == b"other"
    again = append_trials(writer.study, other.study)
    assert (again.added, again.present) == (0, 3) and len(writer.study.trials()) == 8
    assert writer.begin(8, proposal("net9")).state == "running"
    with pytest.raises(StoreError, match="cannot be merged into while"):
        append_trials(writer.study, other.study)


def test_a_place_of_files_has_the_curves_of_copied_and_merged_trials(writer, tmp_path):
    """A copy or a merged study whose place of files was chosen has the curve of each of its trials, by its number."""
    target = f"sqlite:///{tmp_path}/copy.db"
    copied = copy_study(writer.study, target, artifacts=str(tmp_path / "place"))
    assert {name for name in copied.files.names() if "curve" in name} == {"trial-0.curve.json", "trial-2.curve.json"}
    other = StudyWriter(make_study(f"sqlite:///{tmp_path}/o.db", "other"), new_worker())
    other.begin(0, dataclasses.replace(proposal("net9"), seed=9))
    other.finish(0, COMPLETE)
    append_trials(copied, other.study)
    curve = json.loads(copied.files.read("trial-5.curve.json"))
    assert (curve["trial"], curve["network"], curve["val_loss"]) == (5, "v1-net9", RESULT.val_loss)
    assert "trial-0.curve.json" in copied.files.names() and len(copied.trials()) == 6
    copied.files.remove("trial-5.curve.json")  # as if it could not be written
    append_trials(copied, other.study)
    assert "trial-5.curve.json" in copied.files.names()


def test_notes_and_tags_are_listed(writer, storage):
    """A note is one line, tags are a set; both can change while the study runs."""
    writer.begin(5, proposal("net5"))
    study = annotate_study(writer.study, note=" baseline,\n lr 0.1 ", add_tags=["paper", " paper ", "v2"])
    assert (study.note, study.tags) == ("baseline, lr 0.1", ("paper", "v2"))
    study = annotate_study(study, add_tags=["x"], remove_tags=["v2", "unknown"])
    assert (study.note, study.tags) == ("baseline, lr 0.1", ("paper", "x"))
    assert annotate_study(study, note="").note == ""
    for tags in ([""], ["a,b"], ["x" * 61], ["\x1b[0m"]):
        with pytest.raises(StoreError, match="a tag has 1 to 60 printable characters"):
            annotate_study(study, add_tags=tags)
    with pytest.raises(StoreError, match="at most 2,000 characters, found 2,001"):
        annotate_study(study, note="x" * 2001)
    if storage:
        (summary,) = list_studies(storage)
        assert (summary.note, summary.tags) == ("", ("paper", "x"))
