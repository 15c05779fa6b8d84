"""A caller's function runs in a child process where it can be found there."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest

from explorer.study.search import run_search
from explorer.study.workers.isolation import why_in_process
from tests.polling import PATIENCE
from tests.study.evaluations import SPACE_TEXT, good, score

CALLS = []


def collects(architecture, *, choices, epochs, seed):
    CALLS.append(seed)
    return {"accuracy": score(choices)}


def counts(architecture, *, choices, epochs, seed):
    global CALLS
    CALLS = [*CALLS, seed]
    return {"accuracy": score(choices)}


def crashes(architecture, *, choices, epochs, seed):
    """End the process of one network of three, as a fault in native code does."""
    if choices["depth"] == "2":
        os.abort()
    return {"accuracy": score(choices), "pid": os.getpid()}


class Counter:
    def __call__(self, architecture, *, choices, epochs, seed):
        return {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("evaluate", "why"),
    [
        (good, ""),
        (partial(good, epochs=3), ""),
        (lambda architecture, **settings: {"accuracy": 0.5}, "a lambda"),
        (collects, "changes global variables"),
        (counts, "changes global variables"),
        (Counter(), "an object of the class Counter"),
        (partial(good, epochs=lambda: 3), "cannot be pickled"),
    ],
)
def test_a_function_that_a_child_cannot_find_stays_here(evaluate, why):
    """A lambda, an object, a function that changes global variables and one that cannot be pickled run in this
    process."""
    found = why_in_process(evaluate)
    assert why in found and bool(why) == bool(found)


def test_a_crash_fails_one_trial(space, no_signal_follows):
    """A crash in native code ends the child, not the search; the other trials share one child."""
    study = run_search(space, evaluate=crashes, trials=6, storage=None, sampler="random", seed=1).study
    states = {record.choices["depth"]: record.state for record in study.trials()}
    assert states.pop("2") == "failed" and "failed" not in states.values()
    assert os.getpid() not in {record.objectives.get("pid") for record in study.trials()}


def test_a_function_that_stays_here_is_named(space, caplog):
    """A search says why ``evaluate`` runs in this process, and with workers=1 it does so as asked, without a word."""
    seen = []

    def inner(architecture, *, choices, epochs, seed):
        seen.append(seed)
        return {"accuracy": score(choices)}

    for workers, said in ((None, 1), (1, 0)):
        caplog.clear()
        run_search(space, evaluate=inner, trials=1, storage=None, workers=workers)
        why = "runs in this process, since it is defined inside the function"
        assert sum(why in message for message in caplog.messages) == said
    assert len(seen) == 2
    run_search(space, evaluate=collects, trials=1, storage=None, workers=1)
    assert len(CALLS) == 1


SCRIPT = f"""
import os, explorer
SPACE = explorer.parse_space({SPACE_TEXT!r})
def evaluate(architecture, *, choices, epochs, seed):
    return {{"accuracy": 0.5, "pid": os.getpid()}}
def main():
    study = explorer.search(SPACE, evaluate=evaluate, trials=1, storage=None, progress=False)
    print("here" if study.trials()[0].objectives["pid"] == os.getpid() else "child")
"""


@pytest.mark.parametrize(
    ("end", "where"), [("main()\n", "here"), ("if __name__ == '__main__':\n    main()\n", "child")]
)
def test_a_script_needs_a_guard_for_a_child(tmp_path, environment, end, where):
    """The function of a script runs in a child if the script can be imported without searching again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + end)
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == f"{where}\n", done.stderr
    assert ("does not guard its main code" in done.stderr) == (where == "here")
