"""Trials in child processes: a crash fails only its own trial, and no process is left behind."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from explorer.study.workers.jobs import Failure, Outcome
from tests.polling import PATIENCE, wait_until
from tests.study import evaluations
from tests.study.evaluations import DEATHS, FAILURES
from tests.study.faults import alive
from tests.study.workers.children import answers, members


@pytest.mark.parametrize("evaluate", [*FAILURES, *DEATHS], ids=lambda evaluate: evaluate.__name__)
def test_each_way_to_fail_is_a_failure_with_a_reason(workplace, job, evaluate):
    """Fifteen ways to fail, a process crash among them, give failures with a reason."""
    place = workplace(evaluate)
    place.start(job(0))
    assert place.room == 0
    assert {**FAILURES, **DEATHS}[evaluate] in answers(place, 1)[0].reason
    assert place.room == 1


def test_jobs_beside_a_killed_one_continue(workplace, job):
    """Of two concurrent jobs, one is killed and the other returns its result."""
    dying, living = workplace(evaluations.killed), workplace(evaluations.slow)
    dying.start(job(0))
    living.start(job(1))
    assert isinstance(answers(dying, 1)[0], Failure)
    assert answers(living, 1)[1] == Outcome({"accuracy": evaluations.score(job(1).choices)})


def test_output_of_a_child_stays_off_standard_output(tmp_path, environment):
    """The output of an evaluation goes to standard error, because standard output is for results."""
    (tmp_path / "noisy.py").write_text(
        "def noisy(architecture, *, choices, epochs, seed):\n    print('chatter')\n    return {'accuracy': 0.5}\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from noisy import noisy\n"
        "from explorer.space.search_space import load_space\n"
        "from explorer.study.search import run_search\n"
        "if __name__ == '__main__':\n"
        "    run_search(load_space('he2016_orders.yaml'), evaluate=noisy, storage=None, trials=2, workers=2)\n"
        "    print('the result')\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout == "the result\n" and done.stderr.count("chatter") == 2


@pytest.mark.parametrize(
    "evaluation",
    [
        *(pytest.param(how, marks=pytest.mark.slow) for how in ("detaches", "detaches_and_crashes")),
        "detaches_and_hangs",
    ],
)
def test_processes_in_sessions_of_their_own_end_with_their_trial(tmp_path, start, evaluation):
    """Detached processes of a trial end with it: after a result, a crash, and SIGKILL of the search."""
    process = start(evaluation, 2, 2)
    if evaluation == "detaches_and_hangs":
        wait_until(lambda: len(sleepers(tmp_path)) >= 4)
        process.kill()
    process.communicate(timeout=PATIENCE)
    wait_until(lambda: not alive(tmp_path))


def sleepers(tmp_path) -> list[int]:
    """Return the detached sleeping processes of this test."""
    found = []
    for pid in alive(tmp_path):
        with suppress(OSError):
            found += [pid] if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


def test_a_stopped_workplace_leaves_no_process(workplace, job):
    """``stop`` ends the children and all their descendants at once."""
    place = workplace(evaluations.with_child, workers=2)
    place.start(job(0))
    place.start(job(1))
    groups = {child.process.pid for child in place._children}
    wait_until(lambda: len(members(groups)) == 6)  # two trials, each with its supervisor and a process
    place.stop()
    assert place.room == 2
    wait_until(lambda: not members(groups))


@pytest.mark.slow
def test_ctrl_c_does_not_end_a_fork_server_during_imports(environment):
    """SIGINT to the process group does not end a fork server that still imports torch, and prints no traceback."""
    code = """
import os, signal, threading, time
from multiprocessing import forkserver
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.jobs import Evaluation, Job
from tests.study.evaluations import good

def press():
    while forkserver._forkserver._forkserver_pid is None:
        time.sleep(0.001)
    servers.append(forkserver._forkserver._forkserver_pid)
    os.killpg(0, signal.SIGINT)

servers = []
signal.signal(signal.SIGINT, lambda number, frame: print("pressed"))
threading.Thread(target=press, daemon=True).start()
workplace = ProcessPool(Evaluation(good, None, ("accuracy",)), 1)
workplace.start(Job(0, "v1-0", {}, {"depth": "1", "act": "relu"}, 0))
print(servers == [forkserver._forkserver._forkserver_pid])
workplace.stop()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=PATIENCE,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "pressed\nTrue\n", "")
