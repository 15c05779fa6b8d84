"""Searches with several workers give the same results as with one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from explorer.store.lease import RETRIES
from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.polling import PATIENCE
from tests.study import evaluations
from tests.study.evaluations import DEATHS, FAILURES, by_turns, good


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
    run = {"env": environment, "capture_output": True, "text": True, "timeout": PATIENCE}
    script.write_text(lines.replace("{guard}", ""))
    unguarded = subprocess.run([sys.executable, script], **run)
    assert unguarded.returncode == 1 and unguarded.stderr.count("Traceback") == 1
    assert "put the main code of the script under: if __name__ == '__main__':" in unguarded.stderr.splitlines()[-1]
    url = f"sqlite:///{tmp_path}/x.db"
    assert {record.reason for record in open_study(url, "one").trials()} == {"interrupted: the search ended"}
    script.write_text(lines.replace("{guard}", "if __name__ == '__main__': "))
    assert subprocess.run([sys.executable, script], **run).stderr == ""
    assert open_study(url, "one").counts()["complete"] == 3
