"""Trials in child processes: a crash fails only its own trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.records import Epoch
from explorer.store.lease import RETRIES
from explorer.store.studies import open_study
from explorer.study.search import run_search
from explorer.study.workers import pool
from explorer.study.workers.jobs import Evaluation, Failure, Job, Outcome
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.watchdog import TrialLimits, Watchdog, usual_limits
from explorer.system.memory import total_memory
from tests.polling import wait_until
from tests.study import evaluations
from tests.study.evaluations import DEATHS, FAILURES, by_turns, good
from tests.study.faults import alive


@pytest.fixture
def workplace():
    """Create a workplace for an evaluation and stop it afterwards."""
    made = []

    def make(evaluate, workers=1, reused=False, work=None):
        made.append(
            ProcessPool(
                work or Evaluation(evaluate, None, ("accuracy",)), workers, is_user_function=True, reused=reused
            )
        )
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
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "the result\n" and done.stderr.count("chatter") == 2


@pytest.mark.parametrize(
    "evaluate, limits, message",
    [
        (evaluations.endless, TrialLimits(seconds=0.5), "it took longer than the 0.5 s that a trial may take"),
        (evaluations.ignores_sigterm, TrialLimits(seconds=0.5), "it took longer than the 0.5 s that a trial may take"),
        (evaluations.with_child, TrialLimits(seconds=0.5), "it took longer than the 0.5 s that a trial may take"),
        (evaluations.allocates_forever, TrialLimits(memory=1 << 30), "more than the 1.0 GiB that a trial may hold"),
        (evaluations.child_allocates, TrialLimits(memory=1 << 30), "more than the 1.0 GiB that a trial may hold"),
        (evaluations.detached_allocates, TrialLimits(memory=1 << 30), "more than the 1.0 GiB that a trial may hold"),
    ],
    ids=["hang", "hang ignoring SIGTERM", "hang of a grandchild", "memory", "of a grandchild", "of a detached one"],
)
def test_a_trial_beyond_its_limits_is_ended_with_all_it_started(workplace, job, evaluate, limits, message):
    """A trial that hangs or takes too much memory fails with the broken limit and leaves no process."""
    place = workplace(evaluate)
    place.start(job(0), limits)
    group = {child.process.pid for child in place._children}
    answer = answers(place, 1)[0]
    assert isinstance(answer, Failure) and message in answer.reason
    assert place.room == 1
    wait_until(lambda: not members(group), 2.0)


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
    process.communicate(timeout=60)
    wait_until(lambda: not alive(tmp_path))


def sleepers(tmp_path) -> list[int]:
    """Return the detached sleeping processes of this test."""
    found = []
    for pid in alive(tmp_path):
        with suppress(OSError):
            found += [pid] if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


@pytest.mark.slow
def test_a_trial_that_exhausts_memory_fails_alone(space):
    """Of two workers' trials, those without a memory bound fail with a reason and the others complete."""
    study = run_search(
        space,
        evaluate=evaluations.allocates_or_good,
        storage=None,
        sampler="random",
        workers=2,
        trials=5,
        trial_memory=600 << 20,
    ).study
    greedy = [record for record in study.trials() if record.state == "failed"]
    assert greedy and all("of memory, more than the 0.6 GiB that a trial may hold" in r.reason for r in greedy)
    assert all(record.seed % 3 == 0 for record in greedy if record.same_as is None)
    assert study.counts()["complete"] == 5 and study.counts()["running"] == 0


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="the kernel has no oom_score_adj")
def test_the_kernel_ends_a_trial_before_the_search(workplace, job):
    """A child has the highest ``oom_score_adj``, so the search survives when memory runs out."""
    place = workplace(evaluations.oom_score)
    place.start(job(0))
    assert answers(place, 1)[0].measured["accuracy"] == 1000


def test_a_search_of_hanging_trials_gives_up(space):
    """With a time limit, a search in which every trial hangs fails each trial and ends."""
    result = run_search(space, evaluate=evaluations.endless, storage=None, workers=4, trial_seconds=0.2)
    assert result.failed and result.study.counts()["running"] == 0
    reasons = [record.reason for record in result.study.trials() if record.state == "failed" and record.same_as is None]
    assert len(reasons) >= 11
    assert reasons.count("it took longer than the 0.2 s that a trial may take") >= 11


def test_a_trial_that_ignores_sigterm_is_killed_a_second_later():
    """A process that survives SIGTERM for one second gets SIGKILL, and an ended job is not run again."""
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    watchdog = Watchdog(process.pid, TrialLimits(seconds=0.0))
    watchdog.check()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    watchdog.check()
    assert process.poll() is None
    wait_until(lambda: (watchdog.check(), process.poll())[1] is not None)
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()
    watchdog.check()


def test_default_limits_leave_room():
    """The time limit is unset at first, then twenty times the usual trial (at least ten minutes); workers share memory
    (at least 2 GiB)."""
    assert usual_limits(1, None).seconds is None
    assert usual_limits(1, 2.0).seconds == 600 and usual_limits(1, 60.0).seconds == 1200
    assert usual_limits(1, None).memory == max(2 << 30, int(0.9 * total_memory()))
    assert usual_limits(10_000, None).memory == 2 << 30


@pytest.mark.parametrize("stop_after", [1, 3, None])
def test_a_stop_decision_ends_a_training_after_that_epoch(workplace, job, stop_after):
    """The parent checks some epochs: a stopped training starts no further epoch, the others continue."""
    place = workplace(None, work=evaluations.epochs_until_stopped)
    place.start(replace(job(0), decision_epochs=(1, 3, 9)))
    heard, outcome = [], None
    end = time.monotonic() + 60
    while outcome is None and time.monotonic() < end:
        for number, message in place.messages(0.2):
            if isinstance(message, Epoch):
                heard.append(message.epoch)
                if message.epoch in (1, 3, 9):
                    place.answer(number, message.epoch, stop=message.epoch == stop_after)
            else:
                outcome = message
    assert outcome.result.epochs == (stop_after or 10) and heard == list(range(1, (stop_after or 10) + 1))


def test_a_late_stop_decision_still_applies(workplace, job, monkeypatch):
    """A training without an answer continues after a while and ends at whichever epoch the stop decision arrives."""
    place = workplace(None, work=evaluations.epochs_until_stopped)
    place.start(replace(job(0), decision_epochs=(1, 9)))
    outcome, told = None, False
    end = time.monotonic() + 60
    while outcome is None and time.monotonic() < end:
        for number, message in place.messages(0.2):
            if not isinstance(message, Epoch):
                outcome = message
            elif message.epoch > 1 and not told:
                place.answer(number, 1, stop=True)
                told = True
    assert 2 <= outcome.result.epochs < 10


def test_a_reused_child_runs_several_jobs(workplace, job):
    """A reused child runs several jobs in one process, each with its own result."""
    place = workplace(evaluations.pid_as_accuracy, reused=True)
    pids = []
    for number in range(4):
        place.start(job(number))
        assert place.room == 0
        pids.append(answers(place, 1)[number].measured["accuracy"])
        assert place.room == 1
    assert len(set(pids)) == 1
    place.stop()
    wait_until(lambda: not members({int(pids[0])}))


def test_a_failure_ends_a_reused_child(workplace, job):
    """After a failure the next job gets a new process, because the device state of the old one is unknown."""
    place = workplace(evaluations.fails_on_odd, reused=True)
    found = {}
    for number in (0, 2, 1, 4, 6):
        place.start(job(number))
        found |= answers(place, 1)
    assert found[1].reason.startswith("RuntimeError: odd")
    pids = [found[number].measured["accuracy"] for number in (0, 2, 4, 6)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_reused_child_that_leaks_memory_is_replaced(workplace, job, monkeypatch):
    """A child whose memory grew too much since its first job gets no further job."""
    monkeypatch.setattr(pool, "LEAK_BYTES", 60 << 20)
    place = workplace(evaluations.leaks, reused=True)
    pids = []
    for number in range(6):
        place.start(job(number))
        pids.append(answers(place, 1)[number].measured["accuracy"])
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3]


def test_a_killed_reused_child_fails_only_its_job(workplace, job):
    """SIGKILL of a reused child between jobs fails no job; within a job it fails that job."""
    place = workplace(evaluations.pid_as_accuracy, reused=True)
    place.start(job(0))
    first = int(answers(place, 1)[0].measured["accuracy"])
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not place._children[0].process.is_alive())
    place.start(job(1))
    assert answers(place, 1)[1].measured["accuracy"] != first


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
        timeout=60,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "pressed\nTrue\n", "")


def test_two_workers_never_evaluate_one_network_twice(space, url, no_signal_follows):
    """With two workers and all kinds of failures, each network is evaluated at most once and all are tried."""
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


def test_a_network_that_kills_its_workers_is_given_up(space, no_signal_follows):
    """A trial whose process is killed each time gets four attempts and then fails."""
    study = run_search(
        space, evaluate=evaluations.killed_or_good, storage=None, sampler="random", workers=2, trials=4
    ).study
    failed = [record for record in study.trials() if record.state == "failed" and record.same_as is None]
    assert failed and all(record.attempt == RETRIES + 1 and record.seed % 3 == 0 for record in failed)
    assert {record.reason for record in failed} == {
        "the trial's process died of SIGKILL (out of memory?), in attempt 4 of 4"
    }
    assert study.counts()["complete"] == 4 and study.counts()["interrupted"] == 0


def test_workers_change_only_the_order(space):
    """A search of the whole space gives the same results with any number of workers."""
    found = [
        {record.digest: record.objectives for record in study.trials()}
        for study in (
            run_search(space, evaluate=good, storage=None, sampler="random", workers=workers, trials=1000).study
            for workers in (1, 2)
        )
    ]
    assert found[0] == found[1] and len(found[0]) == space.count()


def test_an_evaluation_of_an_interactive_session_is_refused_several_workers(environment):
    """A function defined without a file, as in a notebook, cannot be imported by children and gives a one-line
    error."""
    script = f"""
import explorer
def good(architecture, *, choices, epochs, seed):
    return {{"accuracy": 0.5}}
space = explorer.parse_space({evaluations.SPACE_TEXT!r}, "tiny.yaml")
print(explorer.search(space, evaluate=good, storage=None, trials=1).counts()["complete"])
explorer.search(space, evaluate=good, storage=None, trials=1, workers=2)
"""
    run = subprocess.run([sys.executable, "-"], input=script, env=environment, capture_output=True, text=True)
    last = "StudyError: with several workers 'evaluate' cannot be a function of an interactive session; put it into"
    assert run.stdout == "1\n" and last in run.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_script_that_would_search_in_its_workers_needs_a_guard(tmp_path, environment):
    """A script that searches at its top level is refused before any trial with advice to use a guard, and then
    resumes."""
    script = tmp_path / "script.py"
    lines = f"""
import explorer
def good(architecture, *, choices, epochs, seed):
    return {{"accuracy": 0.5}}
{{guard}}space = explorer.parse_space({evaluations.SPACE_TEXT!r}, "tiny.yaml")
{{guard}}explorer.search(space, evaluate=good, storage="sqlite:///{tmp_path}/x.db", study="one", trials=3, workers=2)
"""
    run = {"env": environment, "capture_output": True, "text": True, "timeout": 120}
    script.write_text(lines.replace("{guard}", ""))
    unguarded = subprocess.run([sys.executable, script], **run)
    assert unguarded.returncode == 1 and unguarded.stderr.count("Traceback") == 1
    assert "put the main code of the script under: if __name__ == '__main__':" in unguarded.stderr.splitlines()[-1]
    url = f"sqlite:///{tmp_path}/x.db"
    assert {record.reason for record in open_study(url, "one").trials()} == {"interrupted: the search ended"}
    script.write_text(lines.replace("{guard}", "if __name__ == '__main__': "))
    assert subprocess.run([sys.executable, script], **run).stderr == ""
    assert open_study(url, "one").counts()["complete"] == 3


def members(groups: set[int]) -> list[int]:
    """Return the running processes of these process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) in groups:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found
