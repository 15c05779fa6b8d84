"""Searches whose workers submitit starts on this machine: ``--engine slurm --engine-option cluster=local``."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

import pytest

from explorer.errors import StudyError
from explorer.space.search_space import load_space
from explorer.store.presence.stops import stop_study
from explorer.store.studies import open_study
from explorer.study.search import preview_launch, run_search
from explorer.study.settings import SearchSettings
from tests.command_line import run
from tests.polling import wait_until
from tests.study.evaluations import good

PATIENCE = 400.0
SEARCH = ("search", "--space", "preact_variants", "--data", "digits", "--stopping", "none", "--sampler", "random")
LOCAL = ("--study", "one", "--engine", "slurm", "--engine-option", "cluster=local", "--workers", "1")


def test_workers_finish_a_study(tmp_path, capsys):
    """A search starts workers, shows their trials, ends when the study is complete, and starts none the next time."""
    storage = f"sqlite:///{tmp_path}/explorer.db"
    line = (*SEARCH, *LOCAL, "--subset", "100", "--epochs", "1", "--trials", "2", "--storage", storage)
    status, out, err = run(capsys, *line)
    assert status == 0 and "the study has its 2 trials" in out and "started 1 workers on this machine" in err
    assert err.count(" complete ") == 2
    (pickled,) = tmp_path.glob("explorer.artifacts/*/slurm/*_submitted.pkl")
    assert b"explorer.study.launchers.element" in pickled.read_bytes()
    status, out, err = run(capsys, *line)
    assert status == 0 and "the study has its 2 trials" in out and "started" not in err
    status, out, _ = run(capsys, "trials", "one", "--json", "--storage", storage)
    assert status == 0 and out.count('"log": "') == 2


def test_a_worker_near_its_time_limit_begins_again(tmp_path, explorer):
    """The signal before the time limit interrupts the trial, which goes on from its checkpoint in the same element; a
    request to stop ends worker and search with status 0."""
    storage = f"sqlite:///{tmp_path}/explorer.db"
    line = (*SEARCH, *LOCAL, "--epochs", "3000", "--subset", "400", "--trials", "1", "--storage", storage)
    process = explorer(*line)
    wait_until(lambda: list(tmp_path.glob("explorer.artifacts/*/*.checkpoint")), PATIENCE)
    study = open_study(storage)
    (first,) = study.trials()
    os.kill(_element(tmp_path), signal.SIGUSR2)
    wait_until(lambda: study.trial(0).state == "running" and study.trial(0).worker != first.worker, PATIENCE)
    second = study.trial(0)
    assert (second.attempt, second.seed) == (1, first.seed)
    stop_study(study, at_once=True)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "stopped by 'explorer stop --now'" in out and study.trial(0).state == "interrupted"


@pytest.mark.slow
def test_a_request_that_only_the_workers_have_read_is_the_reason(tmp_path, monkeypatch):
    """If the workers obey a request to stop before the search has read it, the search names it as its reason."""
    storage = f"sqlite:///{tmp_path}/explorer.db"
    monkeypatch.setattr("explorer.study.presence.attend._obey", lambda loop, presence: None)  # it is read too late

    def ask(event):
        if event.kind == "begun":
            stop_study(open_study(storage, "one"))

    given = {"data": "digits", "epochs": 1, "subset": 100, "trials": 1, "workers": 1, "progress": ask}
    given |= {"engine": "slurm", "engine_options": {"cluster": "local"}}
    found = run_search(load_space("preact_variants"), storage=storage, study="one", **given)
    assert found.ended.startswith("stopped by 'explorer stop' of ") and not found.failed


def _element(folder: Path) -> int:
    """Return the process id of the element whose worker runs in a folder."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if "submitit.core._submit" in words and any(str(folder) in word for word in words):
            return int(entry.name)
    raise AssertionError("no element runs")


def test_a_worker_that_fails_is_named(tmp_path, capsys, monkeypatch):
    """If the workers fail, the search ends with status 1, the last words of a worker, and its log."""
    storage = f"sqlite:///{tmp_path}/explorer.db"
    line = (*SEARCH, *LOCAL, "--subset", "100", "--epochs", "1", "--storage", storage)
    monkeypatch.setenv("EXPLORER_STOP_SEEN", "ignored")
    monkeypatch.setattr("explorer.study.launchers.driver.spelled", lambda values: ["--sampler", "unknown"])
    status, _, err = run(capsys, *line, "--trials", "1")
    assert status == 1 and "1 of 1 workers failed: " in err and "unknown sampler" in err and "_log.out" in err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "an SQLite file such as .* is safe on one machine only"),
        ({"storage": None, "engine_options": {"cluster": "local"}}, "a study in memory has no workers"),
        ({"engine_options": {"cluster": "moon"}}, "expected slurm or local"),
        ({"engine_options": {"array": "0-3"}}, "give the number of workers with --workers"),
        ({"evaluate": good}, "cannot call evaluate of a script"),
        ({"costs": {"joules": lambda architecture, choices: 1.0}}, "cannot call costs of a script"),
        ({"engine_address": "host:1"}, "has no address"),
        ({"engine": "local", "engine_options": {"partition": "gpu"}}, "engine 'local' has no options"),
        ({"engine_options": {"comment": "http://me:canary@h"}}, "comment: the value has a password, which the batch"),
        ({"engine": "slrum"}, r"unknown engine 'slrum'; known: local, slurm, .*did you mean 'slurm'"),
    ],
)
def test_a_launch_that_cannot_work_is_refused(tmp_path, settings, message):
    """A search that cannot start workers ends in one line, before it creates a database."""
    space = load_space("preact_variants")
    given = {"storage": f"sqlite:///{tmp_path}/x.db", "engine": "slurm", **settings}
    given |= {} if "evaluate" in given else {"data": "digits"}
    with pytest.raises(StudyError, match=message) as raised:
        run_search(space, **given)
    assert "\n" not in str(raised.value) and "canary" not in str(raised.value) and not list(tmp_path.iterdir())


def test_without_slurm_one_line_says_so(tmp_path, monkeypatch):
    """A machine without sbatch is named as the cause."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("explorer.study.launchers.driver.sqlite_file", lambda url: None)
    with pytest.raises(StudyError, match="there is no 'sbatch' on this machine; search on a login node"):
        run_search(load_space("preact_variants"), storage=f"sqlite:///{tmp_path}/x.db", engine="slurm", data="digits")


def test_the_batch_file_is_shown(tmp_path, capsys):
    """``--dry-run`` prints the batch file with the options of sbatch, and writes nothing."""
    storage = f"sqlite:///{tmp_path}/explorer.db"
    options = ["partition=gpu", "time=4:00:00", "gres=gpu:1", "exclusive=", "signal_delay_s=300", "cluster=local"]
    line = [*SEARCH, *LOCAL, "--workers", "64", "--cpus-per-trial", "8", "--storage", storage, "--dry-run"]
    status, out, err = run(capsys, *line, *(word for each in options for word in ("--engine-option", each)))
    assert (status, err) == (0, "") and out.startswith("#!/bin/bash\n") and not list(tmp_path.iterdir())
    wanted = ["partition=gpu", "time=4:00:00", "gres=gpu:1", "exclusive", "signal=USR2@300", "array=0-63%64", "requeue"]
    flags = [line.removeprefix("#SBATCH --") for line in out.splitlines()]
    assert set(wanted) | {"cpus-per-task=8"} <= set(flags) and sys.executable in out
    settings = SearchSettings.make({"storage": storage, "data": "digits"})
    with pytest.raises(StudyError, match="engine 'local' submits no batch file"):
        preview_launch(load_space("preact_variants"), settings)


def test_a_pickled_element_has_no_password(monkeypatch):
    """The pickle of an element has the URL without its password, which the worker takes from its environment."""
    from explorer.store.server.engine import portable_storage, with_password
    from explorer.store.storage_url import parse_storage
    from explorer.study.launchers.element import Element

    storage = "postgresql+psycopg://me:canary@host/db"
    element = Element(("--study", "one"), portable_storage(parse_storage(storage)), 0)
    assert b"canary" not in pickle.dumps(element)
    monkeypatch.setenv("EXPLORER_STORAGE", storage)
    assert with_password(element.storage) == storage
