"""What each engine promises: the same tests run on this process, on child processes and on a Ray cluster."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from explorer.errors import StudyError
from explorer.records import Epoch
from explorer.study.workers import engines
from explorer.study.workers.engines import start_executor
from explorer.study.workers.executor import Needs
from explorer.study.workers.jobs import Evaluation, Failure, Outcome
from tests.polling import PATIENCE
from tests.study import evaluations
from tests.study.workers.children import answers

RAY = pytest.param("ray", marks=pytest.mark.slow)


def _needs(engine, address):
    alone = engine == "this process"
    return Needs(1 if alone else 2, address=address, in_process=alone)


@pytest.fixture
def executor(request, engine):
    """Start an executor of the engine and stop it afterwards."""
    started = []

    def start(work):
        address = request.getfixturevalue("ray_nodes").address if engine == "ray" else ""
        name = "local" if engine in ("this process", "child processes") else engine
        started.append(start_executor(name, work, _needs(engine, address)))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.mark.parametrize("engine", ["this process", "child processes", RAY])
class TestEveryEngine:
    def test_a_job_gives_its_result_and_frees_its_worker(self, executor, job):
        """A started job takes a worker until its result has arrived."""
        place = executor(Evaluation(evaluations.good, None, ("accuracy",)))
        workers = place.room
        place.start(job(3))
        assert place.room == workers - 1
        (outcome,) = answers(place, 1).values()
        assert replace(outcome, seconds=None) == Outcome({"accuracy": evaluations.score(job(3).choices)})
        assert place.room == workers

    def test_a_failure_has_a_reason_and_the_next_job_runs(self, executor, job):
        """A job that raises an error fails with its message, and the executor continues."""
        place = executor(Evaluation(evaluations.fails_on_odd, None, ("accuracy",)))
        found = {}
        for number in (0, 1):
            place.start(job(number))
            found |= answers(place, 1)
        assert {type(each) for each in found.values()} == {Outcome, Failure}
        (failure,) = [each for each in found.values() if isinstance(each, Failure)]
        assert (failure.kind, failure.resumable) == ("code", False) and "RuntimeError: odd" in failure.reason


@pytest.mark.parametrize("engine", ["child processes", RAY])
class TestEngineWithProcesses:
    @pytest.mark.parametrize("stop_after", [3, None])
    def test_a_stop_decision_ends_a_training_after_that_epoch(self, executor, job, stop_after):
        """All reports arrive in order, and an answer reaches the running job."""
        place = executor(evaluations.epochs_until_stopped)
        place.start(replace(job(0), decision_epochs=(3,), verdict_seconds=PATIENCE))
        heard, outcome, end = [], None, time.monotonic() + PATIENCE
        while outcome is None and time.monotonic() < end:
            for number, message in place.messages(0.2):
                if isinstance(message, Epoch):
                    heard.append(message.epoch)
                    if message.epoch == 3:
                        place.answer(number, 3, stop=stop_after == 3)
                else:
                    outcome = message
        assert heard == list(range(1, outcome.result.epochs + 1))
        assert outcome.result.epochs == 10 if stop_after is None else outcome.result.epochs in range(3, 10)

    @pytest.mark.parametrize("evaluate", [evaluations.hard_exit, evaluations.killed], ids=["exit", "SIGKILL"])
    def test_a_process_that_dies_fails_only_its_job(self, executor, job, evaluate):
        """A death of the job's process is a failure of the kind ``died``; one from outside is resumable."""
        place = executor(Evaluation(evaluate, None, ("accuracy",)))
        place.start(job(0))
        failure = answers(place, 1)[0]
        assert (failure.kind, failure.resumable) == ("died", evaluate is evaluations.killed)

    def test_stop_ends_running_jobs(self, executor, job):
        """``stop`` ends a job that never ends by itself, and all workers are free."""
        place = executor(Evaluation(evaluations.endless, None, ("accuracy",)))
        workers = place.room
        place.start(job(0))
        place.stop()
        assert place.room == workers


def test_an_unknown_engine_is_rejected():
    """The message lists the installed engines."""
    with pytest.raises(StudyError, match="unknown engine 'rya'; known: local, slurm, ray"):
        start_executor("rya", evaluations.epochs_until_stopped, Needs())


def test_an_engine_whose_package_is_missing_names_the_extra(monkeypatch):
    """The message has the command that installs the package."""

    class Missing:
        names = {"ray"}

        def __getitem__(self, name):
            return self

        def load(self):
            raise ModuleNotFoundError("No module named 'ray'", name="ray")

    monkeypatch.setattr(engines, "_installed", Missing)
    with pytest.raises(StudyError, match=r"needs the package ray; install it with: .*pip install 'ray>="):
        start_executor("ray", evaluations.epochs_until_stopped, Needs())
