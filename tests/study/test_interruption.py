"""Kill it, and run the same line again: nothing that had ended is lost, nothing stays running."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from explorer.errors import StoreError
from explorer.store.lease import RETRIES
from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.study.evaluations import slow
from tests.study.faults import alive, invariant, leads_its_group
from tests.study.test_children import wait_until


@pytest.mark.parametrize("workers", [1, 2])
def test_sigkill_and_the_same_line_again(space, url, tmp_path, start, workers):
    """R5, R10: killed at random moments, the search goes on; in the end it has done what an unbroken one does."""
    moments = random.Random(workers)
    for _ in range(RETRIES):
        process = start("slow", 14, workers)
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 1.5))
        process.kill()
        process.communicate()
        wait_until(lambda: not alive(tmp_path))
    last = start("slow", 14, workers)
    output, _ = last.communicate(timeout=60)
    assert "the study has its 14 trials" in output
    invariant(url, tmp_path)
    study = open_study(url, "one")
    assert study.counts()["complete"] == 14 and study.counts()["failed"] == 0
    unbroken = run_search(space, evaluate=slow, storage=None, sampler="random", trials=14).study
    assert {r.digest for r in study.trials()} == {r.digest for r in unbroken.trials()} or workers > 1


def test_ctrl_c_keeps_what_ended_and_frees_what_ran(url, tmp_path, start):
    """Ctrl-C ends the search in order: what ended is kept, what ran is marked and taken up by the next search."""
    process = start("slower", 6, 2)
    lines = iter(process.stdout.readline, "")
    next(line for line in lines if line == "ended\n")
    next(line for line in lines if line == "started\n")  # so one has ended, and one has only begun
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "result True interrupted; the same line goes on" in output
    wait_until(lambda: not alive(tmp_path))
    invariant(url, tmp_path)
    records = open_study(url, "one").trials()
    left = [record for record in records if record.state == "failed"]
    assert left and all(record.reason == "interrupted: Ctrl-C" for record in left)
    start("slower", 6, 2).communicate(timeout=60)
    invariant(url, tmp_path)
    study = open_study(url, "one")
    assert all(
        study.trial(record.number).state == "complete" and study.trial(record.number).attempt == 2 for record in left
    )
    assert study.counts()["complete"] == 6 and study.counts()["failed"] == 0


def test_ctrl_c_breaks_into_an_evaluation_of_this_process(url, tmp_path, start):
    """With one worker ``evaluate`` runs in the searching process; Ctrl-C ends it at once, however long it is."""
    process = start("endless", 3, 1)
    for line in process.stdout:
        if line == "started\n":
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "result True interrupted" in output
    assert [record.reason for record in open_study(url, "one").trials()] == ["interrupted: Ctrl-C"]


@pytest.mark.parametrize("evaluation", ["endless", "with_child"])
def test_children_die_with_a_killed_parent(tmp_path, start, evaluation):
    """SIGKILL of the searching process leaves no process behind: not its children, not what they started."""
    process = start(evaluation, 5, 2)
    wait_until(
        lambda: len(alive(tmp_path)) >= (5 if evaluation == "endless" else 7)
    )  # search, server, its tracker, two children
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(tmp_path))


def test_a_killed_child_is_a_failed_trial(url, tmp_path, start):
    """SIGKILL of a child from outside fails its trial with the reason; the search goes on with another."""
    process = start("endless", 8, 2)

    def children() -> list[int]:
        return [pid for pid in alive(tmp_path) if pid != process.pid and leads_its_group(pid)]

    wait_until(lambda: len(children()) == 2)
    os.kill(children()[0], signal.SIGKILL)
    wait_until(lambda: open_study(url, "one").counts()["failed"] == 1)
    (failed,) = (record for record in open_study(url, "one").trials() if record.state == "failed")
    assert failed.reason == "the trial's process died of SIGKILL (out of memory?)"
    wait_until(lambda: len(children()) == 2)
    assert open_study(url, "one").counts()["running"] == 2


def test_two_searches_share_one_study(url, tmp_path, start):
    """Two processes that search one study at once evaluate each network once and together reach the total; the
    one that finds the last trials running in the other ends."""
    both = [start("slow", 16, 1), start("slow", 16, 1)]
    outputs = [process.communicate(timeout=90)[0] for process in both]
    ends = [output.splitlines()[-1] for output in outputs]
    assert set(ends) <= {"result False the study has its 16 trials", "result False the study's last trials are running"}
    invariant(url, tmp_path)
    study = open_study(url, "one")
    assert study.counts()["complete"] == 16
    assert len({record.worker for record in study.trials()}) == 2


def test_a_study_that_is_not_there_is_named(space, url):
    """Opening a study before any search is one clear line."""
    with pytest.raises(StoreError, match="there is no file"):
        open_study(url, "one")
