"""Children that run several jobs, and when they are replaced."""

from __future__ import annotations

import os
import signal

from explorer.study.workers import pool
from tests.polling import wait_until
from tests.study import evaluations
from tests.study.workers.children import answers, is_running


def test_a_reused_child_runs_several_jobs(workplace, job):
    """A reused child runs several jobs in one process, each with its own result."""
    place = workplace(evaluations.gives_pid, reused=True)
    pids = []
    for number in range(4):
        place.start(job(number))
        assert place.room == 0
        pids.append(answers(place, 1)[number].measured["pid"])
        assert place.room == 1
    assert len(set(pids)) == 1
    place.stop()
    wait_until(lambda: not is_running(int(pids[0])))


def test_a_failure_ends_a_reused_child(workplace, job):
    """After a failure the next job gets a new process, because the device state of the old one is unknown."""
    place = workplace(evaluations.fails_on_odd, reused=True)
    found = {}
    for number in (0, 2, 1, 4, 6):
        place.start(job(number))
        found |= answers(place, 1)
    assert found[1].reason.startswith("RuntimeError: odd")
    pids = [found[number].measured["pid"] for number in (0, 2, 4, 6)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_reused_child_that_leaks_memory_is_replaced(workplace, job, monkeypatch):
    """A child whose memory grew too much since its first job gets no further job."""
    monkeypatch.setattr(pool, "LEAK_BYTES", 60 << 20)
    place = workplace(evaluations.leaks, reused=True)
    pids = []
    for number in range(6):
        place.start(job(number))
        pids.append(answers(place, 1)[number].measured["pid"])
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3]


def test_a_killed_reused_child_fails_only_its_job(workplace, job):
    """SIGKILL of a reused child between jobs fails no job; within a job it fails that job."""
    place = workplace(evaluations.gives_pid, reused=True)
    place.start(job(0))
    first = int(answers(place, 1)[0].measured["pid"])
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not place._children[0].process.is_alive())
    place.start(job(1))
    assert answers(place, 1)[1].measured["pid"] != first
