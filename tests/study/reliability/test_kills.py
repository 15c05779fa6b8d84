"""A search or worker that is killed or stopped at any moment loses no acknowledged result."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import event

from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import open_study
from explorer.store.writer import NumberTaken, StudyWriter
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import make_study, proposal
from tests.study.faults import SCALE, acknowledged, alive, invariant

CONTEXT = multiprocessing.get_context("forkserver")


@pytest.mark.slow
def test_kills_within_trials(url, tmp_path, start, draw):
    """After SIGKILL of the whole search at random moments within trials, the same command completes the study."""
    hits, wanted = 0, min(6 * SCALE, 20)  # more would fail trials that lost four workers
    for kill in range(5 * wanted):  # some attempts find no running trial
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
    output, _ = start("good", 27, 2).communicate(timeout=PATIENCE)
    assert "result False" in output
    invariant(url, tmp_path)
    records = open_study(url, "one").trials()
    assert all(
        r.state == "complete" or r.same_as is not None or "its worker was lost 4 times" in r.reason for r in records
    )
    assert max(record.attempt for record in records) <= 4


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
    CONTEXT.set_forkserver_preload([__name__])
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
    CONTEXT.set_forkserver_preload([__name__])
    make_study(url).database.close()
    for statement in range(1, 30):
        process = CONTEXT.Process(target=die_at_statement, args=(url, statement))
        process.start()
        process.join(PATIENCE)
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
    trials = 24  # the other search has work for twice the lease, and does not end before the lease has expired
    paused = start("slow", trials, workers, lease=1.5)
    while paused.stdout.readline() != "started\n":
        pass
    wait_until(lambda: stops_within_a_trial(paused, url))
    other = start("slow", trials, 1, lease=1.5)

    def taken_over() -> bool:
        has_ended, records = other.poll() is not None, open_study(url, "one").trials(full=False)
        found = any(each.attempt == 2 and each.state == "complete" for each in records)
        assert found or not has_ended, f"{other.stdout.read()}{[(each.state, each.attempt) for each in records]}"
        return found

    wait_until(taken_over)
    paused.send_signal(signal.SIGCONT)
    for process in (paused, other):
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 and "result False" in output
    invariant(url, tmp_path)
    assert open_study(url, "one").counts()["complete"] == trials


@pytest.mark.slow  # a lease expires in real time
@pytest.mark.parametrize("trials", [1, 4])
def test_a_search_that_is_suspended_for_good_leaves_no_trial_undone(url, tmp_path, start, trials):
    """Another search on the same machine waits for the lease of its trial and resumes it, also if it has nothing else
    to train."""
    suspended = start("unhurried", trials, 1, lease=1.5)
    while suspended.stdout.readline() != "started\n":
        pass
    wait_until(lambda: stops_within_a_trial(suspended, url))
    output, _ = start("unhurried", trials, 1, lease=1.5).communicate(timeout=PATIENCE)
    assert f"the study has its {trials} trial" in output
    assert open_study(url, "one").counts()["complete"] == trials
