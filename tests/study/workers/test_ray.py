"""Trainings on a Ray cluster of two node processes: nodes and searches that die, and files that return."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from explorer.errors import StudyError
from explorer.space.search_space import load_space
from explorer.store.artifacts import weights_file
from explorer.store.presence.status import study_status
from explorer.store.studies import open_study
from explorer.study.plan import make_plan
from explorer.study.search import run_search
from explorer.study.settings import SearchSettings
from explorer.study.workers.engines import start_executor
from explorer.study.workers.executor import Needs
from explorer.study.workers.jobs import Job, Outcome
from explorer.training.settings import TrainingSettings
from tests.extensions.page import shown
from tests.polling import PATIENCE, wait_until
from tests.study.evaluations import good
from tests.study.workers.children import answers, is_running

pytestmark = pytest.mark.slow

SCRIPT = """
import os, sys, time
import explorer

def evaluate(architecture, *, choices, epochs, seed):
    with open({starts!r}, "a") as file:
        print(seed, os.getpid(), file=file)
    time.sleep({seconds})
    return {{"accuracy": 0.5}}

if __name__ == "__main__":
    explorer.search(
        explorer.load_space("preact_variants.yaml"), evaluate=evaluate, trials={trials}, sampler="random",
        storage={storage!r}, study="on ray", engine="ray", engine_address={address!r},
    )
"""


@pytest.fixture
def begin(tmp_path, ray_nodes):
    """Start a search of a script in its own process."""
    begun = []
    starts = tmp_path / "starts"

    def start(trials, seconds):
        script = tmp_path / "script.py"
        storage = f"sqlite:///{tmp_path}/explorer.db"
        values = {"starts": str(starts), "seconds": seconds, "trials": trials, "storage": storage}
        script.write_text(SCRIPT.format(**values, address=ray_nodes.address))
        begun.append(subprocess.Popen([sys.executable, script], cwd=tmp_path, env=ray_nodes.environment))
        return begun[-1]

    def lines():
        return [line.split() for line in starts.read_text().splitlines()] if starts.exists() else []

    yield start, lines
    for process in begun:
        process.kill()
        process.wait()


def test_a_killed_search_leaves_no_process_and_the_same_line_resumes(begin, tmp_path):
    """Tasks end with the search that a SIGKILL ends; the next run takes their trials up."""
    start, lines = begin
    first = start(trials=4, seconds=300)
    wait_until(lambda: len(lines()) >= 4)
    first.kill()
    wait_until(lambda: not any(is_running(int(pid)) for _, pid in lines()))
    second = start(trials=4, seconds=0)
    assert second.wait(timeout=120) == 0
    counts = open_study(f"sqlite:///{tmp_path}/explorer.db", "on ray").counts()
    assert (counts["complete"], counts["running"], counts["failed"]) == (4, 0, 0)
    assert set(Counter(seed for seed, _ in lines()).values()) == {2}


def test_weights_return_from_a_node_without_the_folder(ray_nodes, tmp_path):
    """A node that does not see the folder of artifacts sends the weights to the search."""
    settings = SearchSettings(
        training=TrainingSettings(data="digits", subset=100, epochs=1), engine="ray", engine_address=ray_nodes.address
    )
    plan = make_plan(load_space("he2016_orders.yaml"), settings)
    place = start_executor("ray", replace(plan.work, artifacts=tmp_path), Needs(1, address=ray_nodes.address))
    (tmp_path / ".shared").unlink()  # by which a node of the same machine sees the folder
    try:
        network = plan.space.architecture(plan.space.unrank(0))
        place.start(Job(0, network.digest, network.to_json(), {}, 0))
        outcome = answers(place, 1)[0]
    finally:
        place.stop()
    assert isinstance(outcome, Outcome) and outcome.weights
    assert weights_file(tmp_path, network.digest).exists()


def test_other_data_on_a_node_fail_the_trial(ray_nodes, tmp_path):
    """Data with another hash than those of the search are not trained on."""
    settings = SearchSettings(
        training=TrainingSettings(data="digits", subset=100, epochs=1), engine="ray", engine_address=ray_nodes.address
    )
    plan = make_plan(load_space("he2016_orders.yaml"), settings)
    place = start_executor("ray", replace(plan.work, data_sha256="other"), Needs(1, address=ray_nodes.address))
    try:
        network = plan.space.architecture(plan.space.unrank(0))
        place.start(Job(0, network.digest, network.to_json(), {}, 0))
        failure = answers(place, 1)[0]
    finally:
        place.stop()
    assert "are not those of the search" in failure.reason


def without_explorer():
    """Fail as a task on a node whose Python has no explorer."""
    raise ModuleNotFoundError("No module named 'explorer'")


@pytest.mark.parametrize(
    "version, message",
    [(lambda: "99.0", r"has explorer 99\.0, this is"), (without_explorer, "has no explorer: install")],
)
def test_nodes_with_another_version_or_none_are_refused(ray_nodes, monkeypatch, version, message):
    """A search does not begin, since each trial would fail there; it disconnects from the cluster."""
    import ray

    from explorer.study.workers import ray_cluster

    monkeypatch.setattr(ray_cluster, "_version", version)
    with pytest.raises(StudyError, match=message):
        start_executor("ray", good, Needs(1, address=ray_nodes.address))
    assert not ray.is_initialized()


def test_ray_client_is_rejected():
    """The message says where to run the search."""
    pytest.importorskip("ray")
    with pytest.raises(StudyError, match="Ray Client is not supported; search on a machine of the cluster"):
        start_executor("ray", os.getpid, Needs(address="ray://127.0.0.1:10001"))


def test_a_server_that_is_no_cluster_gets_other_advice(monkeypatch):
    """If a process listens at the address, as a head that refuses the token, it is not advised to start one."""
    ray = pytest.importorskip("ray")

    def refuse(*_, **__):
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(StudyError, match=r"Failed to connect.*authentication token") as caught:
            start_executor("ray", os.getpid, Needs(1, address=address))
    assert "ray start" not in str(caught.value)
    with pytest.raises(StudyError, match="start one with 'ray start --head'"):
        start_executor("ray", os.getpid, Needs(1, address=address))


def test_nodes_load_the_extensions_of_the_search(ray_nodes, tmp_path):
    """A space with an op, a data set and a recipe of a file is trained on nodes that have no copy of the file."""
    here, script = tmp_path / "here", tmp_path / "here" / "parts.py"
    here.mkdir()
    script.write_text(shown("parts.py"))
    (here / "parts.yaml").write_text(shown("parts.yaml"))
    line = ("--space", "parts.yaml", "--data", "stripes", "--recipe", "slow", "--objectives", "accuracy,joules")
    line += ("--epochs", "2", "--trials", "3", "--import", str(script))
    line += ("--engine", "ray", "--engine-address", ray_nodes.address)
    command = [sys.executable, "-m", "explorer", "search", *line]
    done = subprocess.run(
        command, cwd=here, env=ray_nodes.environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    study = open_study(f"sqlite:///{here}/explorer.db")
    assert study.counts()["complete"] == 3 and study.counts()["failed"] == 0
    assert all(trial.costs["joules"] > 0 for trial in study.trials(full=False))


def test_an_address_without_a_cluster_is_rejected(tmp_path):
    """The message names the address, within seconds."""
    pytest.importorskip("ray")
    with pytest.raises(StudyError, match=r"no Ray cluster was reached at 127\.0\.0\.1:9"):
        run_search(
            load_space("he2016_orders.yaml"),
            evaluate=good,
            storage=None,
            engine="ray",
            engine_address="127.0.0.1:9",
        )


def test_the_status_shows_the_nodes_of_the_tasks(begin, tmp_path):
    """``explorer status`` names the node and device of each task."""
    start, starts = begin
    process = start(trials=3, seconds=200)
    wait_until(lambda: len(starts()) >= 3)
    study = open_study(f"sqlite:///{tmp_path}/explorer.db")

    def shown() -> list[tuple[str, str, str]]:
        return [(each.host, each.device, each.state) for each in study_status(study).workers]

    wait_until(lambda: shown().count((os.uname().nodename, "cpu", "training")) == 3)
    process.kill()


def test_trials_of_a_killed_node_run_on_another(begin, ray_nodes, tmp_path):
    """A node that dies fails its trials as resumable, and no trial runs more often than its attempts. Runs last."""
    start, lines = begin
    search = start(trials=8, seconds=2)
    wait_until(lambda: len(lines()) >= 4)
    os.kill(ray_nodes.pids[0], signal.SIGKILL)
    assert search.wait(timeout=180) == 0
    study = open_study(f"sqlite:///{tmp_path}/explorer.db", "on ray")
    assert (study.counts()["complete"], study.counts()["failed"]) == (8, 0)
    attempts = {str(trial.seed): trial.attempt for trial in study.trials()}
    started = Counter(seed for seed, _ in lines())
    assert sum(started.values()) > 8 and all(count <= attempts[seed] for seed, count in started.items())
    wait_until(lambda: not any(is_running(int(pid)) for _, pid in lines()))
