"""Searches on PostgreSQL that share a study, while the server restarts and workers are killed."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.store.studies import open_study, study_revisions
from tests.polling import PATIENCE, wait_until
from tests.store.servers import Server
from tests.study.faults import SCALE, alive, invariant, starter

WORKERS = 4
NETWORKS = 27  # in the space
RESTARTS = 10


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test alone, which it may restart."""
    made = Server()
    yield made
    made.remove()


@pytest.fixture
def url(server) -> Iterator[str]:
    """The URL of an empty storage."""
    with server.database() as name:
        yield server.url(name)


@pytest.fixture
def start(tmp_path, url, environment, monkeypatch):
    """Start a search of the storage in its own process, in the test's folder."""
    started: list[subprocess.Popen] = []
    monkeypatch.chdir(tmp_path)
    yield starter(tmp_path, url, environment, started)
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def revision(url: str) -> int:
    """Return the number of changes to the study; 0 before it exists."""
    try:
        return study_revisions(url).get("one", 0)
    except Exception:  # the tables do not exist yet
        return 0


def trained(folder: Path) -> Counter[int]:
    """Return how often the network of each seed was trained to the end."""
    file = folder / "trained"
    return Counter(map(int, file.read_text().split())) if file.exists() else Counter()


@pytest.mark.slow  # a server of its own restarts ten times
def test_workers_survive_restarts_of_the_server(server, url, tmp_path, start):
    """After ten immediate restarts every worker has ended in order, and each network was trained once."""
    start("counted", 1, 1).communicate(timeout=PATIENCE)  # it creates the study
    workers = [start("counted", NETWORKS, 1) for _ in range(WORKERS)]
    for worker in workers:  # a server that does not answer when a command begins ends it
        while worker.stdout.readline() not in ("begun\n", ""):
            pass
    for _ in range(RESTARTS):
        before = revision(url)
        wait_until(lambda before=before: revision(url) > before or all(each.poll() is not None for each in workers))
        assert all(each.poll() is None for each in workers), "a worker ended before the restarts did"
        server.restart()
    for worker in workers:
        output, _ = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0 and "result False" in output
    invariant(url, tmp_path)
    own = [record for record in open_study(url, "one").trials(full=False) if record.same_as is None]
    assert [(record.state, record.attempt) for record in own] == [("complete", 1)] * NETWORKS
    assert trained(tmp_path) == {record.seed: 1 for record in own}
    assert not list(tmp_path.rglob("unsent/*.json"))


@pytest.mark.slow  # workers are killed in real time
def test_killed_workers_train_no_network_too_often(url, tmp_path, start, draw):
    """After SIGKILLs of workers on a server, no network was trained more often than its attempts, and all are there."""
    start("counted", 1, 1).communicate(timeout=PATIENCE)
    workers = [start("counted", NETWORKS, 1) for _ in range(2)]
    for _ in range(4 * SCALE):
        before = sum(trained(tmp_path).values())
        wait_until(
            lambda before=before: (
                sum(trained(tmp_path).values()) > before or all(each.poll() is not None for each in workers)
            )
        )
        victim = workers.pop(draw.randrange(len(workers)))
        victim.kill()
        victim.communicate()
        workers.append(start("counted", NETWORKS, 1))
    for worker in workers:
        output, _ = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0 and "result False" in output
    wait_until(lambda: not alive(tmp_path))
    invariant(url, tmp_path)
    records = [record for record in open_study(url, "one").trials(full=False) if record.same_as is None]
    assert len(records) == NETWORKS and {record.state for record in records} == {"complete"}
    counts = trained(tmp_path)
    assert all(1 <= counts[record.seed] <= record.attempt <= 4 for record in records)
