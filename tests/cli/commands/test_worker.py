"""``explorer worker`` processes that join a study on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from explorer.store.studies import open_study
from tests.command_line import run
from tests.polling import PATIENCE

EXPLORER = [sys.executable, "-c", "from explorer.cli import main; main()"]
SETTINGS = ["--sampler", "random", "--workers", "1", "--json"]


@pytest.mark.slow
def test_two_workers_and_a_search_share_a_study(tmp_path, capsys):
    """One search and two workers reach the study's total exactly without duplicates, end with status 0 and keep its
    limit."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    line = ["search", "--space", "preact_variants.yaml", "--data", "digits", "--subset", "100", "--epochs", "1"]
    line += [*SETTINGS, "--storage", url, "--study", "shared"]
    assert run(capsys, *line, "--trials", "1", "--limit", "macs<=200k")[0] == 0
    search = [*EXPLORER, *line, "--trials", "9"]
    worker = [*EXPLORER, "worker", "--storage", url, "--study", "shared", "--trials", "9", *SETTINGS]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in (search, worker, worker)
    ]
    for process in started:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        assert (json.loads(out)["study"], json.loads(out)["limits"]) == ("shared", ["macs <= 200k"])
        assert b"limits were" not in err
    study = open_study(url, "shared")
    counts, records = study.counts(), study.trials(full=False)
    assert counts["complete"] + counts["stopped"] == 9 and counts["running"] == counts["failed"] == 0
    trained = [record.digest for record in records if record.state in ("complete", "stopped")]
    assert len(trained) == len(set(trained))
    assert all(record.costs["macs"] <= 200e3 for record in records if record.state in ("complete", "stopped"))
    assert [record.number for record in records] == list(range(len(records)))
    assert len({record.worker for record in records}) >= 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["worker", "--storage", "sqlite:///absent.db", "--study", "one"], "there is no file"),
        (["worker", "--trials", "0"], "--trials"),
        (["worker", "--trial-memory", "much"], "write 512M or 8G"),
        (["worker", "--until-stable", "0"], "--until-stable"),
        (["search", "--space", "he2016_orders.yaml", "--stopping", "rung"], "did you mean 'rungs'"),
    ],
)
def test_invalid_workers_give_one_line(capsys, args, message, tmp_path, monkeypatch):
    """Invalid input gives one line and status 2, and creates no file."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
