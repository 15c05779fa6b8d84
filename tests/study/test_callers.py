"""Searches and trainings called from every kind of process: pools, threads, forks, no script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.polling import PATIENCE
from tests.study.evaluations import SPACE_TEXT

SCRIPT = f"""
import multiprocessing, sys, threading
import explorer
from tests.study.evaluations import good

SPACE = explorer.parse_space({SPACE_TEXT!r}, "tiny.yaml")

def searches(_=None):
    return explorer.search(SPACE, evaluate=good, trials=2, storage=None, workers=2).counts()["complete"]

def computes(x):
    import torch
    a = torch.randn(300, 300, requires_grad=True)
    (a @ a).sum().backward()
    return x

def main(how):
    if how in ("spawn", "forkserver"):
        with multiprocessing.get_context(how).Pool(1) as pool:
            return pool.apply_async(searches).get(timeout={PATIENCE})
    if how == "fork after a search":
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return searches() and pool.apply_async(searches).get(timeout={PATIENCE}) and searches()
    if how == "thread":
        found = []
        thread = threading.Thread(target=lambda: found.append(searches()))
        thread.start()
        thread.join()
        return found[0]
    if how == "fork after a training":
        explorer.train(SPACE.architecture(0), "digits", epochs=1, threads=2)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return len(pool.map_async(computes, range(2)).get(timeout={PATIENCE}))
    return searches()
"""
GUARDED = SCRIPT + "\nif __name__ == '__main__':\n    print('result', main(sys.argv[1]))\n"
CALLERS = [
    "spawn",
    "thread",
    *(
        pytest.param(how, marks=pytest.mark.slow)
        for how in ("forkserver", "fork after a search", "fork after a training")
    ),
]


@pytest.mark.parametrize("how", CALLERS)
def test_every_kind_of_process_may_search_and_train(tmp_path, environment, how):
    """A daemonic pool worker, a fork after a search and a thread can search and train, and a fork after a training can
    use torch."""
    script = tmp_path / "script.py"
    script.write_text(GUARDED)
    run = subprocess.run(
        [sys.executable, script, how], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert run.stdout == "result 2\n", run.stderr


def test_an_evaluation_of_a_folder_that_is_run_is_refused_several_workers(tmp_path, environment):
    """A ``__main__.py`` of a folder, zip file or package gives a one-line error, because children cannot import it."""
    text = f"{SCRIPT}\ndef mine(architecture, **settings):\n    return {{'accuracy': 0.5}}\ngood = mine\n"
    (tmp_path / "__main__.py").write_text(f"{text}\nif __name__ == '__main__':\n    searches()\n")
    run = subprocess.run([sys.executable, tmp_path], env=environment, capture_output=True, text=True)
    last = "StudyError: with several workers 'evaluate' cannot be a function of a __main__.py; put it into a module"
    assert run.returncode == 1 and last in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(["-c", f"{SCRIPT}\nprint('result', searches())"], marks=pytest.mark.slow), ["-"]],
    ids=["-c", "stdin"],
)
def test_a_process_without_a_script_may_search(environment, arguments):
    """``python -c``, standard input and notebooks can search although children can import no file."""
    text = f"{SCRIPT}\nprint('result', searches())"
    settings = {"env": environment, "capture_output": True, "text": True, "timeout": PATIENCE}
    run = subprocess.run([sys.executable, *arguments], input=text, **settings)
    assert run.stdout == "result 2\n", run.stderr
