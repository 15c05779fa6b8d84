"""A search that ends early returns its study with all finished trials."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

import explorer
from explorer.errors import ExplorerError, StudyError
from explorer.study.search import RecordLost, search
from tests.study.evaluations import good, interrupted, raises


def run(space, storage, evaluate=good, **settings):
    return search(space, **{"evaluate": evaluate, "storage": storage, "study": "one", "sampler": "random", **settings})


@pytest.fixture(params=["memory", "file"])
def storage(request, url):
    return None if request.param == "memory" else url


def test_an_interrupted_search_returns_its_study(space, storage):
    """The KeyboardInterrupt carries the study, in memory or on a file, with its finished trials."""
    with pytest.raises(KeyboardInterrupt) as caught:
        run(space, storage, interrupted)
    assert type(caught.value) is KeyboardInterrupt
    study = caught.value.study
    assert study.counts()["complete"] >= 1 and len(study.to_frame()) == sum(study.counts().values())


def test_a_search_that_gave_up_returns_its_study(space, storage):
    """The exception is a StudyError that carries the study with its failures."""
    with pytest.raises(StudyError, match="11 of the last 11 trials failed") as caught:
        run(space, storage, raises)
    assert isinstance(caught.value, explorer.SearchFailed) and isinstance(caught.value, ExplorerError)
    assert caught.value.study.counts()["failed"] == 11


def test_an_error_of_the_progress_callback_carries_the_study(space, storage):
    """An exception in ``progress`` ends the search and carries the study."""

    def watch(event):
        if event.kind == "started" and event.trial.number == 2:
            raise LookupError("the watcher's own")

    with pytest.raises(LookupError, match="the watcher's own") as caught:
        run(space, storage, progress=watch)
    assert caught.value.study.counts()["complete"] == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, LookupError])
def test_a_cost_that_ends_the_search_keeps_the_study(space, storage, error):
    """If a cost function is interrupted or always fails, the search still returns the earlier trials."""
    calls = []

    def joules(architecture, choices):
        calls.append(choices)
        if len(calls) > 40:
            raise error("no meter")
        return 1.0

    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else StudyError) as caught:
        run(space, storage, costs={"joules": joules})
    counts = caught.value.study.counts()
    assert counts["complete"] >= 1 and counts["failed"] == (0 if error is KeyboardInterrupt else 11)


def test_a_lost_database_keeps_the_last_known_trials(space, url, tmp_path):
    """If the file is removed during a search, no study can be opened and the error carries the finished trials."""

    def watch(event):
        if event.kind == "ended" and event.trial.number == 2:
            (tmp_path / "explorer.db").unlink()

    with pytest.raises(RecordLost, match="the search gave up") as caught:
        run(space, url, progress=watch)
    assert [trial.state for trial in caught.value.trials][:3] == ["complete"] * 3


SESSION = """
import explorer, logging
from tests.study.evaluations import SPACE_TEXT, interrupted
space = explorer.parse_space(SPACE_TEXT, "tiny.yaml")
study = explorer.search(space, evaluate=interrupted, storage=None, sampler="random")
print("goes on with", study.counts()["complete"], "complete")
"""


@pytest.mark.parametrize("way", ["python -i", "a prompt", "a notebook"])
def test_an_interactive_session_returns_the_study(tmp_path, environment, way):
    """In an interactive session, an interrupted search returns the study and prints a line."""
    before = {
        "python -i": "",
        "a prompt": "import sys; sys.ps1 = '>>> '\n",
        "a notebook": "__builtins__.__IPYTHON__ = 1\n",
    }
    options = ["-i"] if way == "python -i" else []
    (tmp_path / "session.py").write_text(before[way] + SESSION)
    done = subprocess.run(
        [sys.executable, *options, "session.py"],
        cwd=tmp_path,
        env=environment,
        input="",
        capture_output=True,
        text=True,
    )
    assert "goes on with" in done.stdout, done.stderr
    assert "the search was interrupted; this is the study so far" in done.stderr and "Traceback" not in done.stderr


def test_a_script_ends_with_the_interrupt(tmp_path, environment):
    """Outside an interactive session the exception ends the script, and its message says where the study is."""
    (tmp_path / "script.py").write_text(SESSION)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and done.stdout == "" and "attribute 'study'" in done.stderr
