"""A killed search resumes with the same command: no finished trial is lost and none stays running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store.lease import RETRIES
from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.polling import PATIENCE, wait_until
from tests.study.evaluations import SPACE_TEXT, good
from tests.study.faults import alive, invariant


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_sigkill_and_the_same_line_again(space, url, tmp_path, start, workers):
    """After kills at random moments, the resumed search ends with the trials of an uninterrupted one."""
    moments = random.Random(workers)
    for _ in range(2):
        process = start("slow", 8, workers)
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
        wait_until(lambda: not alive(tmp_path))
    last = start("good", 8, workers)
    output, _ = last.communicate(timeout=PATIENCE)
    assert "the study has its 8 trials" in output
    invariant(url, tmp_path)
    study = open_study(url, "one")
    assert study.counts()["complete"] == 8 and study.counts()["failed"] == 0
    unbroken = run_search(space, evaluate=good, storage=None, sampler="random", trials=8).study
    assert [record.digest for record in study.trials()] == [record.digest for record in unbroken.trials()]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def trial_processes(search, tmp_path: Path) -> list[int]:
    """Return the processes of a search that are in sessions of their own: those of its trials."""
    found = []
    for pid in alive(tmp_path):
        with suppress(ProcessLookupError):
            if os.getsid(pid) != search.pid:
                found.append(pid)
    return found


def test_ctrl_c_keeps_finished_trials_and_releases_running_ones(url, tmp_path, start):
    """Ctrl-C ends the search cleanly: finished trials are kept, running ones are marked and resumed by the next
    search."""
    (tmp_path / "token").mkdir()
    process = start("gated", 4, 2)
    lines = iter(process.stdout.readline, "")
    next(line for line in lines if line == "ended\n")
    next(line for line in lines if line == "started\n")  # so one has ended, and one has only started
    os.killpg(process.pid, signal.SIGINT)  # to the whole process group, as a terminal does
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "result True interrupted; the same command resumes the study" in output
    wait_until(lambda: not alive(tmp_path))
    invariant(url, tmp_path)
    records = open_study(url, "one").trials()
    left = [record for record in records if record.state == "interrupted"]
    assert left and all(record.reason == "interrupted: Ctrl-C" for record in left)
    start("good", 4, 2).communicate(timeout=PATIENCE)
    invariant(url, tmp_path)
    study = open_study(url, "one")
    assert all(
        study.trial(record.number).state == "complete" and study.trial(record.number).attempt == 1 for record in left
    )
    assert study.counts()["complete"] == 4 and study.counts()["failed"] == 0


def test_ctrl_c_interrupts_an_evaluation_in_this_process(url, tmp_path, start):
    """With one worker ``evaluate`` runs in the searching process, and Ctrl-C ends it at once."""
    process = start("endless", 3, 1)
    for line in process.stdout:
        if line == "started\n":
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "result True interrupted" in output
    assert [record.reason for record in open_study(url, "one").trials()] == ["interrupted: Ctrl-C"]


def test_ctrl_c_interrupts_a_cost_function(tmp_path, environment):
    """Ctrl-C interrupts a long cost function in the searching process at once."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import time
import explorer
from tests.study.evaluations import good

def joules(architecture, choices):
    print("in it", flush=True)
    time.sleep(600)

space = explorer.parse_space({SPACE_TEXT!r}, "tiny.yaml")
objectives = {{"accuracy": "max", "joules": "min"}}
explorer.search(space, evaluate=good, costs={{"joules": joules}}, objectives=objectives, study="one", storage=None)
""")
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in it\n"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT  # as Python ends on a KeyboardInterrupt


@pytest.mark.parametrize("evaluation", [pytest.param("endless", marks=pytest.mark.slow), "with_child"])
def test_children_end_with_a_killed_parent(tmp_path, start, evaluation):
    """SIGKILL of the searching process leaves no process: neither its children nor their descendants."""
    process = start(evaluation, 5, 2)
    wait_until(
        lambda: len(alive(tmp_path)) >= (5 if evaluation == "endless" else 7)
    )  # search, server, its tracker, two children
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(tmp_path))


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_trial_killed_from_outside_is_resumed(url, tmp_path, start, number):
    """If a signal ends a trial's processes and not the search, the search resumes the trial and counts the attempt."""
    process = start("gated", 3, 2)
    wait_until(lambda: len(list(tmp_path.glob("waiting_*"))) == 2)
    for pid in trial_processes(process, tmp_path):
        os.kill(pid, number)
    (tmp_path / "open").touch()
    output, _ = process.communicate(timeout=PATIENCE)
    assert "the study has its 3 trials" in output
    study = open_study(url, "one")
    assert study.counts()["complete"] == 3 and study.counts()["failed"] == 0
    assert max(record.attempt for record in study.trials()) == 2


@pytest.mark.parametrize("who", ["the group", pytest.param("every process", marks=pytest.mark.slow)])
def test_sigterm_to_all_processes_burns_no_trial(url, tmp_path, start, who):
    """SIGTERM sent twice to a search and all its processes interrupts running trials, which resume with all their
    attempts."""
    process = start("gated", 4, 2)
    wait_until(lambda: len(trial_processes(process, tmp_path)) == 4)
    for _ in range(2):
        if who == "the group":
            os.killpg(process.pid, signal.SIGTERM)
        for pid in alive(tmp_path) if who == "every process" else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "result True interrupted" in output
    wait_until(lambda: not alive(tmp_path))
    invariant(url, tmp_path)
    counts = open_study(url, "one").counts()
    assert counts["interrupted"] == 2 and counts["failed"] == 0
    start("good", 4, 2).communicate(timeout=PATIENCE)
    study = open_study(url, "one")
    assert study.counts()["complete"] == 4 and {record.attempt for record in study.trials()} == {1}


def test_a_search_survives_the_loss_of_its_fork_server(url, tmp_path, start):
    """After SIGKILL of the fork server, running trials are resumed from a new one."""
    process = start("gated", 4, 2)
    wait_until(lambda: len(trial_processes(process, tmp_path)) == 4)
    (server,) = (pid for pid in alive(tmp_path) if b"forkserver" in command(pid) and parent(pid) == process.pid)
    os.kill(server, signal.SIGKILL)
    (tmp_path / "open").touch()
    output, _ = process.communicate(timeout=PATIENCE)
    assert "the study has its 4 trials" in output
    study = open_study(url, "one")
    assert study.counts()["complete"] == 4 and study.counts()["failed"] == 0
    wait_until(lambda: not alive(tmp_path))


@pytest.mark.slow
def test_a_trial_that_crashes_the_search_is_retried_three_times(url, tmp_path, start):
    """A crash of ``evaluate`` in the searching process ends the search; the trial fails after four attempts."""
    crashes = 0
    while (process := start("crashes_or_good", 2, 1)).communicate(timeout=PATIENCE) and process.returncode:
        assert process.returncode == -signal.SIGSEGV
        crashes += 1
        assert crashes < 20
    study = open_study(url, "one")
    failed = [record for record in study.trials() if record.state == "failed" and record.same_as is None]
    assert study.counts()["complete"] == 2 and crashes == (RETRIES + 1) * len(failed) > 0
    assert {record.reason for record in failed} == {"its worker was lost 4 times"}


def test_two_searches_share_one_study(url, tmp_path, start):
    """Two concurrent searches evaluate each network once and reach the total; one ends while the other runs the last
    trials."""
    both = [start("gated", 12, 1), start("gated", 12, 1)]
    wait_until(lambda: len(list(tmp_path.glob("waiting_*"))) == 2)
    (tmp_path / "open").touch()
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
    ends = [output.splitlines()[-1] for output in outputs]
    assert set(ends) <= {"result False the study has its 12 trials", "result False the study's last trials are running"}
    invariant(url, tmp_path)
    study = open_study(url, "one")
    assert study.counts()["complete"] == 12
    assert len({record.worker for record in study.trials()}) == 2


def test_a_missing_study_is_reported(space, url):
    """Opening a study that does not exist gives a one-line error."""
    with pytest.raises(StoreError, match="there is no file"):
        open_study(url, "one")
