"""``explorer confirm`` on the command line."""

from __future__ import annotations

import json

import pytest

from explorer.store.studies import open_study
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A storage with one small study on digits whose objectives are accuracy and params."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "tiny.yaml").write_text(SPACE_TEXT)
    return folder, f"sqlite:///{folder / 'explorer.db'}"


def test_confirm_gives_test_metrics_of_the_front(capsys, storage):
    """The JSON documents have network, seeds, mean, deviation and probability, and use the study's cost as axis."""
    folder, url = storage
    line = ("search", "--space", str(folder / "tiny.yaml"), "--data", "digits", "--epochs", "1", "--workers", "2")
    status, _, err = run(
        capsys, *line, "--objectives", "accuracy,params", "--trials", "3", "--stopping", "none", "--storage", url
    )
    assert status == 0, err
    line = ("confirm", "tiny-digits", "--seeds", "2", "--workers", "2", "--storage", url)
    status, out, err = run(capsys, *line, "--json")
    assert status == 0 and "all" in err and "trainings are done" in err
    rows = json.loads(out)
    front = open_study(url).frontier("params", searched=True)
    assert [(row["trial"], row["digest"], row["params"]) for row in rows] == [
        (trial.number, trial.digest, trial.costs["params"]) for trial in front
    ]
    for row in rows:
        assert row["seeds"] == 2 and row["x"] == "params" and row["choices"] and row["failed"] == 0
        assert 0 <= row["test_mean"] <= 1 and row["test_std"] >= 0 and 0 <= row["frontier_probability"] <= 1
    status, out, err = run(capsys, *line)
    assert status == 0 and "on the frontier" in out and str(rows[0]["trial"]) in out
    status, out, _ = run(capsys, "frontier", "tiny-digits", "--x", "params", "--storage", url, "--json")
    points = json.loads(out)
    assert status == 0 and all(0 <= point["frontier_probability"] <= 1 for point in points)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["confirm", "none", "--storage", "sqlite:///absent.db"], "there is no file"),
        (["confirm", "none", "--seeds", "0"], "--seeds"),
        (["confirm", "none", "--epochs", "x"], "--epochs"),
        (["confirm", "none", "--y", "macs"], "--y"),
        (["confirm", "--storage", "sqlite:///absent.db"], "there is no file"),
    ],
)
def test_invalid_confirmations_give_one_line(capsys, args, message, tmp_path, monkeypatch):
    """Invalid input gives one line and status 2, and creates no file."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
