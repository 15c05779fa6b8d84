"""``explorer compare`` on the command line."""

from __future__ import annotations

import json

import pytest

from explorer.store.studies import list_studies
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT


def test_two_spaces_are_sampled_trained_and_compared(capsys, tmp_path):
    """Each space's networks are trained once in its own study, studies compare alike by name, and another seed has its
    own study."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(SPACE_TEXT.replace("name: tiny", f"name: {name}"))
    line = ("--data", "digits", "--epochs", "1", "--workers", "2", "-n", "3", "--storage", url, "--json")
    status, out, err = run(capsys, "compare", str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml"), *line)
    assert status == 0, err
    assert "one-digits-random: " in err and "two-digits-random: " in err  # why each search ended
    found = json.loads(out)
    assert found["a"]["networks"] == found["b"]["networks"] == 3 and found["bins"] >= 1 and found["cost"] == "macs"
    assert 0 <= found["ks"] <= 1 and found["ci95"][0] <= found["difference"] <= found["ci95"][1]
    assert {study.name: study.counts["complete"] for study in list_studies(url)} == {
        "one-digits-random": 3,
        "two-digits-random": 3,
    }
    status, out, _ = run(capsys, "compare", "one-digits-random", "two-digits-random", "--storage", url, "--json")
    assert status == 0 and json.loads(out) == found
    status, out, _ = run(capsys, "compare", "one-digits-random", "one-digits-random", "--storage", url)
    assert status == 0 and "+0.0 points" in out
    status, out, err = run(
        capsys, "compare", "one-digits-random", "two-digits-random", "--cost", "mac", "--storage", url
    )
    assert (status, out) == (2, "") and "has no complete trial with accuracy and mac" in err
    other = ("--data", "digits", "--epochs", "1", "--workers", "2", "-n", "2", "--seed", "1", "--storage", url)
    status, _, err = run(capsys, "compare", str(tmp_path / "one.yaml"), "two-digits-random", *other)
    assert status == 0, err
    assert {study.name for study in list_studies(url)} >= {"one-digits-random", "one-digits-random-seed1"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["compare", "he2016_orders.yaml"], "SPACE_B"),
        (["compare", "he2016_orders.yaml", "he2016_orders.yaml", "-n", "1"], "-n"),
        (["compare", "nowhere.yaml", "he2016_orders.yaml"], "no such file"),
    ],
)
def test_invalid_comparisons_give_one_line(capsys, args, message, tmp_path, monkeypatch):
    """Invalid input gives one line and status 2, and creates no file."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
