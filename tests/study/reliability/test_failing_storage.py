"""A disk or database that is full, locked, removed or unwritable fails no trial."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from explorer.errors import StoreError
from explorer.store import database as store_database
from explorer.store.database import open_for_writing
from explorer.store.studies import open_study
from explorer.study import search
from explorer.study.search import RecordLost, run_search
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import GONE, make_study
from tests.study.evaluations import good
from tests.study.faults import invariant, starter


@pytest.mark.parametrize("k", [k if k in (1, 5, 10) else pytest.param(k, marks=pytest.mark.slow) for k in range(1, 11)])
def test_a_full_disk_at_any_write_burns_no_trial(space, url, tmp_path, monkeypatch, k):
    """If the k-th write of a search finds the disk full twice, the search waits, continues and has the usual trials."""
    monkeypatch.setattr(store_database, "FIRST_PAUSE", 0.01)
    writes = [0]

    def full(connection, cursor, statement, parameters, context, executemany) -> None:
        writes[0] += statement.startswith(("INSERT", "UPDATE"))
        if writes[0] in (k, k + 1) and statement.startswith(("INSERT", "UPDATE")):
            raise OperationalError(statement, {}, sqlite3.OperationalError("database or disk is full"))

    def opened(storage):
        database = open_for_writing(storage)
        event.listen(database.engine, "before_cursor_execute", full)
        return database

    monkeypatch.setattr(search, "open_for_writing", opened)
    found = run_search(space, evaluate=good, storage=url, study="one", sampler="random", trials=4).study
    assert writes[0] > k + 1
    invariant(url, tmp_path)
    unbroken = run_search(space, evaluate=good, storage=None, sampler="random", trials=4).study
    assert [(r.number, r.state, r.digest, r.objectives) for r in found.trials()] == [
        (r.number, r.state, r.digest, r.objectives) for r in unbroken.trials()
    ]
    assert not list(found.artifacts.rglob("*.json"))


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path, environment):
    """On a full 3 MiB disk a search waits, fails no trial, and continues when space is free again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk of its own can be mounted by root alone")
    url, started = f"sqlite:///{disk}/explorer.db", []
    try:
        make_study(url, "other").database.close()
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - (200 << 10)))
        process = starter(tmp_path, url, environment, started)("good", 27, 1)
        wait_until(lambda: os.statvfs(disk).f_bavail <= 2)
        time.sleep(0.5)
        assert process.poll() is None
        ballast.unlink()
        output, _ = process.communicate(timeout=PATIENCE)
        assert "the study has its 27 trials" in output
        invariant(url, tmp_path)
        assert open_study(url, "one").counts()["failed"] == 0
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()
        subprocess.run(["umount", str(disk)], check=True)


def test_a_nearly_full_disk_is_rejected_before_anything_is_written(space, url, tmp_path, monkeypatch):
    """Without disk space for the record of a search, it does not start and gives a one-line error."""
    monkeypatch.setattr(store_database, "FREE_BYTES", 1 << 60)
    with pytest.raises(StoreError, match=r"only \d+ MiB are free on its disk, a search needs 1099511627776; free some"):
        run_search(space, evaluate=good, storage=url, study="one", trials=1)


def test_a_storage_that_stays_unavailable_ends_the_search_with_the_reason(space, url, tmp_path, monkeypatch):
    """An unwritable database ends the search after a timeout; the next one writes saved results and resumes running
    trials."""
    calls = []

    def finishing(connection, cursor, statement, parameters, context, executemany) -> None:
        if calls and statement.startswith(("INSERT", "UPDATE")):
            raise OperationalError(statement, {}, sqlite3.OperationalError("disk I/O error"))

    def opened(storage):
        database = open_for_writing(storage)
        event.listen(database.engine, "before_cursor_execute", finishing)
        database.stop_retrying.set()
        return database

    def evaluate(architecture, *, choices, epochs, seed):
        calls.append(seed)
        return {"accuracy": 0.75}

    with monkeypatch.context() as patched:
        patched.setattr(search, "open_for_writing", opened)
        patched.setattr(search, "new_worker", lambda: GONE)  # a worker whose process has ended
        broken = run_search(space, evaluate=evaluate, storage=url, study="one", sampler="random", trials=4)
    assert (
        broken.failed and broken.ended.startswith("the result cannot be written: ") and "disk I/O error" in broken.ended
    )
    assert len(calls) == 1 and len(list(broken.study.artifacts.rglob("*.json"))) == 1
    study = run_search(space, evaluate=good, storage=url, study="one", sampler="random", trials=4).study
    assert study.trial(0).objectives["accuracy"] == 0.75 and study.trial(0).attempt == 1
    assert not list(study.artifacts.rglob("*.json"))
    invariant(url, tmp_path)


def test_a_removed_database_ends_the_search(space, url, tmp_path):
    """Writes to a removed file would be lost, so the search ends with a one-line error and creates no new file."""
    calls = []

    def evaluate(architecture, *, choices, epochs, seed):
        calls.append(seed)
        if len(calls) == 3:
            for file in tmp_path.glob("explorer.db*"):
                file.unlink()
        return {"accuracy": 0.5}

    with pytest.raises(RecordLost, match=r"the search gave up: .*was removed or replaced while in use") as caught:
        run_search(space, evaluate=evaluate, storage=url, study="one", sampler="random", trials=20)
    assert len(calls) == 3 and "\n" not in str(caught.value) and not list(tmp_path.glob("explorer.db*"))


def test_a_search_waits_for_a_locked_database(space, url, tmp_path):
    """A lock that another program holds for a while delays the search and fails no trial."""
    calls, held = [], []

    def evaluate(architecture, *, choices, epochs, seed):
        calls.append(seed)
        if len(calls) == 2:
            held.append(sqlite3.connect(tmp_path / "explorer.db", isolation_level=None, check_same_thread=False))
            held[0].execute("BEGIN EXCLUSIVE")
            threading.Timer(1.0, held[0].execute, ["ROLLBACK"]).start()
        return {"accuracy": 0.5}

    study = run_search(space, evaluate=evaluate, storage=url, study="one", sampler="random", trials=6).study
    held[0].close()
    invariant(url, tmp_path)
    assert len(calls) == study.counts()["complete"] == 6 and study.counts()["failed"] == 0


def test_an_unreadable_file_of_saved_results_is_skipped(space, url, caplog):
    """A damaged file among the results that wait to be written is named in the log and left unchanged."""
    study = run_search(space, evaluate=good, storage=url, study="one", trials=1).study
    waiting = Path(study.artifacts) / "unsent" / "0-abc.json"
    waiting.parent.mkdir(parents=True)
    whole = {"worker": "a:1:1:b", "number": 0, "ending": {"state": "done", "objectives": {}, "expected": {}}}
    for number, content in enumerate(('{"worker": "a:1:1:b", "num', "[]", "[" * 100_000, json.dumps(whole))):
        waiting.write_text(content)
        run_search(space, evaluate=good, storage=url, study="one", trials=2 + number)
        assert "cannot be read" in caplog.text and waiting.exists()
        caplog.clear()
    with suppress(FileNotFoundError):
        waiting.unlink()
