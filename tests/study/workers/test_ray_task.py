"""Tasks of the Ray engine, run in this process: what they leave on their node."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from explorer.study.workers import ray_task
from explorer.study.workers.jobs import Evaluation
from explorer.study.workers.ray_task import Order, run_task
from explorer.study.workers.watchdog import UNLIMITED
from explorer.system.version import explorer_version
from tests.polling import wait_until
from tests.study import evaluations
from tests.study.workers.children import is_running

MAILBOX = SimpleNamespace(begin=SimpleNamespace(remote=lambda *_: None))  # these tasks send nothing else


@pytest.fixture
def pid_of(job):
    """Run a task, and return the process in which it evaluated its job."""

    def run(number: int) -> int:
        order = Order("search", explorer_version(), number, job(number), UNLIMITED)
        work = Evaluation(evaluations.gives_pid, None, ("accuracy",))
        return int(run_task(order, work, MAILBOX).last.measured["pid"])

    yield run
    ray_task._close()


def test_tasks_share_a_child(pid_of):
    """A task that begins soon finds the child of the one before."""
    assert len({pid_of(number) for number in range(3)}) == 1


def test_the_child_of_an_idle_worker_ends(pid_of, monkeypatch):
    """Ray may keep a worker after its search: the child does not wait for ever, and a later task starts another."""
    monkeypatch.setattr(ray_task, "IDLE_SECONDS", 0.3)
    first = pid_of(0)
    wait_until(lambda: not is_running(first))
    assert pid_of(1) != first
