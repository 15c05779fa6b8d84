"""Trials in child processes: what kills one kills its trial and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorer.study.children import Children
from explorer.study.search import run_search
from explorer.study.work import Evaluation, Failure, Job, Outcome
from tests.study import evaluations
from tests.study.evaluations import DEATHS, FAILURES, by_turns, good


@pytest.fixture
def workplace():
    """Makes a workplace for an evaluation, and clears it away."""
    made = []

    def make(evaluate, workers=1):
        made.append(Children(Evaluation(evaluate, None, ("accuracy",)), workers, of_caller=True))
        return made[-1]

    yield make
    for workplace in made:
        workplace.stop()


@pytest.fixture
def job(space):
    def make(number: int) -> Job:
        derivation = space.unrank(number)
        architecture = space.architecture(derivation)
        return Job(number, architecture.digest, architecture.to_json(), dict(derivation.choices), seed=number)

    return make


def answers(workplace, count: int) -> dict[int, Outcome | Failure]:
    found = {}
    end = time.monotonic() + 60
    while len(found) < count and time.monotonic() < end:
        found |= dict(workplace.messages(0.2))
    return found


@pytest.mark.parametrize("evaluate", [*FAILURES, *DEATHS], ids=lambda evaluate: evaluate.__name__)
def test_each_way_to_fail_is_a_failure_with_a_reason(workplace, job, evaluate):
    """R1: twelve ways to end badly, a crash of the process among them, are twelve failures that say what happened."""
    place = workplace(evaluate)
    place.start(job(0))
    assert place.room == 0
    assert {**FAILURES, **DEATHS}[evaluate] in answers(place, 1)[0].reason
    assert place.room == 1


def test_jobs_beside_a_dying_one_go_on(workplace, job):
    """One child's death is no other's: two jobs at once, one is killed, the other gives its result."""
    dying, living = workplace(evaluations.killed), workplace(evaluations.slow)
    dying.start(job(0))
    living.start(job(1))
    assert isinstance(answers(dying, 1)[0], Failure)
    assert answers(living, 1)[1] == Outcome({"accuracy": evaluations.score(job(1).choices)})


def test_what_a_child_prints_stays_off_standard_output(tmp_path, environment):
    """Standard output is for results alone: what an evaluation prints goes to standard error."""
    (tmp_path / "noisy.py").write_text(
        "def noisy(architecture, *, choices, epochs, seed):\n    print('chatter')\n    return {'accuracy': 0.5}\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from noisy import noisy\n"
        "from explorer.grammar.parse import load_space\n"
        "from explorer.study.search import run_search\n"
        "if __name__ == '__main__':\n"
        "    run_search(load_space('he2016_orders.yaml'), evaluate=noisy, storage=None, trials=2, workers=2)\n"
        "    print('the result')\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "the result\n" and done.stderr.count("chatter") == 2


def test_a_stopped_workplace_leaves_no_process(workplace, job):
    """``stop`` ends the children and what they started, at once."""
    place = workplace(evaluations.with_child, workers=2)
    place.start(job(0))
    place.start(job(1))
    groups = {child.process.pid for child in place._children}
    wait_until(lambda: len(members(groups)) == 4)  # two children, and the process that each started
    place.stop()
    assert place.room == 2
    wait_until(lambda: not members(groups))


def test_two_workers_never_evaluate_one_network_twice(space, url):
    """R15 with two workers and failures of all kinds: each network is evaluated once at most, and all are tried."""
    result = run_search(space, evaluate=by_turns, storage=url, study="one", sampler="random", workers=2, trials=1000)
    records = result.study.trials()
    evaluated = [record.digest for record in records if record.same_as is None]
    assert len(evaluated) == len(set(evaluated)) == space.count()
    assert [record.number for record in records] == list(range(len(records)))
    failed = [record for record in records if record.state == "failed" and record.same_as is None]
    reasons = {**FAILURES, **DEATHS}
    assert failed and all(any(text in record.reason for text in reasons.values()) for record in failed)
    assert all(record.seed % 3 == 0 for record in failed)
    assert result.study.counts()["running"] == 0 and not result.failed


def test_workers_change_nothing_but_the_order(space):
    """What is found does not depend on the number of workers when the whole space is searched."""
    found = [
        {record.digest: record.objectives for record in study.trials()}
        for study in (
            run_search(space, evaluate=good, storage=None, sampler="random", workers=workers, trials=1000).study
            for workers in (1, 2)
        )
    ]
    assert found[0] == found[1] and len(found[0]) == space.count()


def wait_until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def members(groups: set[int]) -> list[int]:
    """The living processes of these process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) in groups:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found
