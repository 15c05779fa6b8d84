"""Searches in one study that cannot see each other's processes, such as two containers with one host name."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from explorer.errors import StoreError
from explorer.store.studies import open_study
from explorer.system.processes import UNKNOWN, has_ended, pid_space, process_start
from tests.polling import PATIENCE, wait_until
from tests.study.faults import acknowledged, alive, invariant

CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.fixture
def container():
    """Return a command that runs another command in its own PID namespace, as a container does."""
    try:
        tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("the command unshare is missing")
    if tried.returncode:
        pytest.skip(f"cannot create a PID namespace: {tried.stderr.strip()}")
    return CONTAINER


@pytest.mark.slow  # a lease expires in real time
@pytest.mark.parametrize("workers", [1, 2])
def test_two_containers_do_not_take_each_others_trials(url, tmp_path, start, container, workers):
    """Two searches under one host name, each in its own container, evaluate every trial once and store each result."""
    searches = [start("gated", 4, workers, lease=4.0, within=container) for _ in range(2)]
    wait_until(lambda: running(url) == 2 * workers)
    before = renewals(url)
    wait_until(lambda: not before & renewals(url))  # each has looked at the other's leases
    (tmp_path / "open").touch()
    for search in searches:
        output, _ = search.communicate(timeout=PATIENCE)
        assert search.returncode == 0 and "result False" in output
    invariant(url, tmp_path)
    records = open_study(url, "one").trials()
    assert len(acknowledged(tmp_path)) == 4 == sum(record.state == "complete" for record in records)
    assert {record.attempt for record in records} == {1} and len({record.worker for record in records}) == 2


@pytest.mark.slow
def test_a_search_waits_for_the_trial_of_a_removed_container(url, tmp_path, start, container):
    """When a container is killed, a search in another one waits for the lease of its trial, resumes it and completes
    all trials."""
    killed = start("endless", 3, 1, lease=60.0, within=container)
    while killed.stdout.readline() != "started\n":
        pass
    killed.kill()
    wait_until(lambda: not alive(tmp_path))
    restarted = start("good", 3, 1, lease=2.0, within=container)
    output, _ = restarted.communicate(timeout=PATIENCE)
    assert restarted.returncode == 0 and "the study has its 3 trials" in output
    invariant(url, tmp_path)
    records = open_study(url, "one").trials()
    assert [(record.state, record.attempt) for record in records[:3]] == [
        ("complete", 2),
        ("complete", 1),
        ("complete", 1),
    ]
    assert records[0].finished > records[2].finished


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["machine sleeps", "database locked"])
def test_what_stops_everybody_loses_no_trial(url, tmp_path, start, container, trouble):
    """Two searches that are suspended, or locked out of the database, for longer than a lease continue with their own
    trials."""
    searches = [start("slower", 4, 1, lease=3.0, within=container) for _ in range(2)]
    wait_until(lambda: running(url) == 2)
    if trouble == "database locked":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(4.5)
    else:
        processes = alive(tmp_path)
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(4.5)
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    for search in searches:
        output, _ = search.communicate(timeout=PATIENCE)
        assert search.returncode == 0 and "result False" in output
    invariant(url, tmp_path)
    assert {record.attempt for record in open_study(url, "one").trials()} == {1}


def renewals(url: str) -> set[float]:
    """Return when the leases of the running trials expire, which each renewal changes."""
    return {lease.until for lease in open_study(url, "one").leases()}


def running(url: str) -> int:
    try:
        return open_study(url, "one").counts()["running"]
    except StoreError:  # the process is being created
        return 0


def test_a_process_is_known_only_within_its_namespace(container):
    """A process counts as ended only if it ran in this PID namespace and its id is gone or reused."""
    here = pid_space()
    inside = subprocess.run(
        [*container, sys.executable, "-c", "from explorer.system.processes import pid_space; print(pid_space())"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ).stdout.strip()
    assert len({here, inside, UNKNOWN}) == 3 and len(inside) == 12
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert has_ended(here, ended.pid) and not has_ended(inside, ended.pid) and not has_ended(UNKNOWN, ended.pid)
    own = os.getpid()
    assert not has_ended(here, own) and not has_ended(here, own, process_start(own)) and has_ended(here, own, "1")


def test_a_proc_of_another_namespace_says_nothing(container):
    """Without a ``/proc`` of its own PID namespace a process cannot identify itself, so only leases decide."""
    code = "from explorer.system.processes import pid_space; print(pid_space())"
    bare = [*container[:-1]]
    assert container[-1] == "--mount-proc"
    for prepare in ("true", "mount -t tmpfs none /proc"):
        shell = f"{prepare} && {sys.executable} -c '{code}'"
        command = [bare[0], "--mount", *bare[1:], "sh", "-c", shell]
        ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
        assert ran.stdout.strip() == UNKNOWN, ran.stderr
