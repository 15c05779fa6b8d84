"""Fault injection: a study that is killed, stopped or starved keeps acknowledged results and resumes.

One invariant holds after each (``faults.invariant``). Moments are drawn from a seed that a red cell prints.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from explorer.errors import StoreError
from explorer.space.search_space import parse_space
from explorer.store import database as store_database
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import open_study
from explorer.store.writer import NumberTaken, StudyWriter
from explorer.study import search
from explorer.study.search import RecordLost, run_search
from tests.polling import wait_until
from tests.store.conftest import GONE, make_study, proposal
from tests.study.evaluations import good, moves
from tests.study.faults import acknowledged, acknowledging, alive, invariant, starter

# EXPLORER_FUZZ_SCALE=4 kills four times as often.
SCALE = int(os.environ.get("EXPLORER_FUZZ_SCALE", "1"))
CONTEXT = multiprocessing.get_context("forkserver")


@pytest.mark.slow
def test_kills_within_trials(url, tmp_path, start, draw):
    """After SIGKILL of the whole search at random moments within trials, the same command completes the study."""
    hits, wanted = 0, min(6 * SCALE, 20)  # more would fail trials that lost four workers
    for kill in range(2 * wanted):  # some attempts may find no running trial
        process = start("unhurried", 27, 1 + kill % 2)
        while process.stdout.readline() not in ("started\n", ""):
            pass
        time.sleep(draw.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        wait_until(lambda: not alive(tmp_path))
        hits += open_study(url, "one").counts()["running"] > 0
        if hits == wanted:
            break
    assert hits == wanted
    output, _ = start("good", 27, 2).communicate(timeout=120)
    assert "result False" in output
    invariant(url, tmp_path)
    records = open_study(url, "one").trials()
    assert all(
        r.state == "complete" or r.same_as is not None or "its worker was lost 4 times" in r.reason for r in records
    )
    assert max(record.attempt for record in records) <= 4


def search_widths(url: str, path: str, stages: str, trials: int, *endings: str) -> None:
    """Run one of several searches in one study: four widths, one letter each, per stage."""
    text = f"""
name: widths
input: 1x4x4
classes: 2
stem: conv3x3(4)
stages: {{blocks: 1, width: [{", ".join(stages)}]}}
block: conv3x3 +
shortcut: {{changed: conv1x1}}
head: gap fc
grammar: {{{", ".join(f"{name}: 2 | 4 | 6 | 8" for name in stages)}}}
"""

    def evaluate(architecture, *, choices, epochs, seed):
        return {"accuracy": seed / 2**31}

    settings = {"storage": url, "study": "one", "sampler": "random", "progress": acknowledging(path)}
    result = run_search(parse_space(text, "widths.yaml"), evaluate=evaluate, trials=trials, **settings)
    assert result.ended in endings and not result.failed


def four_searches(*args) -> None:
    """Run ``search_widths`` in four processes, which must all exit with status 0."""
    CONTEXT.set_forkserver_preload(["tests.study.test_faults"])
    processes = [CONTEXT.Process(target=search_widths, args=args) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * 4


@pytest.mark.slow
def test_four_searches_share_the_trials(url, tmp_path):
    """Four concurrent searches complete exactly the trials of a study, without an error or a lost acknowledged
    result."""
    wanted = min(250 * SCALE, 4_000)  # of 4,096 networks
    endings = f"the study has its {wanted} trials", "the study's last trials are running"
    four_searches(url, str(tmp_path / "acknowledged"), "abcefg", wanted, *endings)
    invariant(url, tmp_path)
    counts = open_study(url, "one").counts()
    assert counts["complete"] == len(acknowledged(tmp_path)) == wanted == sum(counts.values()) - counts["cached"]


@pytest.mark.slow  # four processes; test_interruption.py has a test with two
def test_four_searches_exhaust_a_space(url, tmp_path):
    """Four concurrent searches find all 64 networks, evaluate each once, and all end."""
    ended = "no network of the space within its limits is left to try"
    four_searches(url, str(tmp_path / "acknowledged"), "abc", 1_000, ended)
    invariant(url, tmp_path)
    assert open_study(url, "one").counts()["complete"] == len(acknowledged(tmp_path)) == 64


def commit_for_ever(url: str, path: str) -> None:
    """Start and end trials in a loop, and acknowledge each one in a flushed file."""
    writer = StudyWriter(make_study(url), new_worker())
    with open(path, "a") as stream:
        while True:
            number = sum(writer.study.counts().values())
            try:
                record = writer.begin(number, proposal(f"n{number}-{os.getpid()}"))
            except NumberTaken:
                continue
            writer.finish(number, Ending("complete", {"accuracy": number / 7, "macs": 1.0}))
            stream.write(json.dumps([number, record.digest, {"accuracy": number / 7, "macs": 1.0}]) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


@pytest.mark.slow  # it starts and kills six processes
def test_kills_during_commits(url, tmp_path, draw):
    """SIGKILLs in a tight loop of commits lose no acknowledged result and leave the file intact."""
    CONTEXT.set_forkserver_preload(["tests.study.test_faults"])
    path = tmp_path / "acknowledged"
    for _ in range(6 * SCALE):
        before = path.stat().st_size if path.exists() else 0
        process = CONTEXT.Process(target=commit_for_ever, args=(url, str(path)))
        process.start()
        wait_until(lambda before=before: path.exists() and path.stat().st_size > before)
        time.sleep(draw.uniform(0.0, 0.1))
        process.kill()
        process.join()
        StudyWriter(make_study(url), new_worker()).reap()
        invariant(url, tmp_path)
    assert len(acknowledged(tmp_path)) >= 6 * SCALE


def die_at_statement(url: str, statement: int) -> None:
    """Start a trial and kill this process before the given SQL statement; return if there are fewer statements."""
    writer = StudyWriter(make_study(url), new_worker())
    count = [0]

    def die(*_) -> None:
        count[0] += 1
        if count[0] == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(writer.study.database.engine, "before_cursor_execute", die)
    writer.begin(sum(open_study(url, "one").counts().values()), proposal(f"n{statement}"))


@pytest.mark.slow
def test_kills_between_proposal_and_lease(url, tmp_path):
    """A kill during the transaction that starts a trial leaves nothing; a kill after it leaves a running trial that
    another worker resumes."""
    CONTEXT.set_forkserver_preload(["tests.study.test_faults"])
    make_study(url).database.close()
    for statement in range(1, 30):
        process = CONTEXT.Process(target=die_at_statement, args=(url, statement))
        process.start()
        process.join(60)
        records = open_study(url, "one").trials()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL and records == []
    assert statement > 5 and [record.state for record in records] == ["running"]
    heir = StudyWriter(make_study(url), new_worker())
    assert [record.reason for record in heir.reap()] == ["interrupted: its worker was lost"]
    assert heir.resume().attempt == 2
    heir.finish(0, Ending("complete", {"accuracy": 1.0, "macs": 1.0}))
    invariant(url, tmp_path)


def stops_within_a_trial(process: subprocess.Popen, url: str) -> bool:
    """Stop a search; let it continue and return False if it has no running trial or holds the lock of the database."""
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1][0] == "T")
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        if open_study(url, "one").counts()["running"]:
            return True
    except sqlite3.OperationalError:  # it was stopped within a write
        pass
    finally:
        connection.close()
    process.send_signal(signal.SIGCONT)
    return False


@pytest.mark.slow  # a lease expires in real time
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_stopped_beyond_its_lease_is_fenced_and_lives(url, tmp_path, start, workers):
    """A search stopped by SIGSTOP until another resumes its trials discards its late results after SIGCONT, and
    continues."""
    paused = start("slow", 12, workers, lease=1.5)
    while paused.stdout.readline() != "started\n":
        pass
    wait_until(lambda: stops_within_a_trial(paused, url))
    other = start("slow", 12, 1, lease=1.5)
    wait_until(lambda: any(r.attempt == 2 and r.state == "complete" for r in open_study(url, "one").trials(full=False)))
    paused.send_signal(signal.SIGCONT)
    for process in (paused, other):
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 0 and "result False" in output
    invariant(url, tmp_path)
    assert open_study(url, "one").counts()["complete"] == 12


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
        output, _ = process.communicate(timeout=60)
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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_changed_working_folder_loses_nothing(space, tmp_path, monkeypatch, workers):
    """A relative storage path stays valid if ``evaluate``, a cost or the progress callback changes the working
    folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def joules(architecture, choices):
        os.chdir(tmp_path / "elsewhere")
        return 1.0

    settings = {"storage": "sqlite:///x.db", "study": "one", "sampler": "random", "costs": {"joules": joules}}
    settings |= {"progress": lambda event: os.chdir("/"), "workers": workers}
    study = run_search(space, evaluate=moves, trials=3, **settings).study
    os.chdir(tmp_path / "elsewhere")
    assert study.counts()["complete"] == 3 and len(study.frontier("macs", "accuracy")) > 0
    assert study.artifacts.parent == tmp_path / "explorer.artifacts"
    assert open_study(f"sqlite:///{tmp_path}/x.db", "one").counts()["complete"] == 3
    assert sorted(path.name for path in tmp_path.glob("**/x.db")) == ["x.db"]


def test_trainings_find_their_data_after_the_working_folder_changes(space, tmp_path, monkeypatch):
    """A relative ``data_dir`` is resolved against the folder in which the search was called."""
    rng = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "images" / "tiny" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    settings = {"data": "tiny", "data_dir": "images", "epochs": 1, "recipe": "quick", "sampler": "random"}
    study = run_search(
        space, storage="sqlite:///x.db", trials=2, workers=1, progress=lambda event: os.chdir("/"), **settings
    ).study
    assert study.counts()["complete"] == 2 and study.counts()["failed"] == 0


@pytest.mark.slow  # it imports torch in a process of its own
@pytest.mark.parametrize("workers", [1, 2])
def test_an_evaluation_that_abuses_its_process_loses_no_trial(tmp_path, environment, workers):
    """Changes that ``evaluate`` makes to its process (streams, umask, signals, torch's defaults, threads) lose no
    result."""
    script = tmp_path / "script.py"
    script.write_text(ABUSE)
    run = subprocess.run([sys.executable, script, str(workers)], env=environment, capture_output=True, text=True)
    study = open_study(f"sqlite:///{tmp_path}/x.db", "one")
    assert (run.returncode, study.counts()["complete"], study.counts()["failed"]) == (0, 6, 0), run.stderr
    assert study.frontier("macs", "accuracy")


ABUSE = '''
import os, signal, sys, threading, time
import explorer

SPACE = """
name: six
input: 1x4x4
classes: 2
stem: conv3x3(4)
stages: {blocks: 1, width: [a]}
block: conv3x3 +
shortcut: {changed: conv1x1}
head: gap fc
grammar: {a: 2 | 4 | 6 | 8 | 10 | 12}
"""

def evaluate(architecture, *, choices, epochs, seed):
    how = int(choices["a"])
    if how == 2:
        os.closerange(0, 3)
    elif how == 4:
        sys.stdin = sys.stdout = sys.stderr = None
    elif how == 6:
        os.umask(0o777)
    elif how == 8:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    elif how == 10:
        import torch
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.use_deterministic_algorithms(True)
    else:
        threading.Thread(target=time.sleep, args=(1,)).start()
    return {"accuracy": seed / 2**31}

if __name__ == "__main__":
    space = explorer.parse_space(SPACE, "six.yaml")
    os.chdir(os.path.dirname(__file__))
    explorer.search(space, evaluate=evaluate, storage="sqlite:///x.db", study="one", workers=int(sys.argv[1]))
'''


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
