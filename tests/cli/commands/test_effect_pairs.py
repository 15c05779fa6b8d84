"""``explorer effects --pairs``: counterparts proposed, trained and shown."""

from __future__ import annotations

import json
import random
import re

import pytest

import explorer
from explorer.store import open_study
from tests.cli.commands.small_space import SPACE
from tests.command_line import run

TINY = """
name: tiny
input: 1x8x8
classes: 10
stem: conv3x3(2) bn relu
stages: {blocks: depth, width: [2]}
block: conv3x3 bn act attn +
head: gap fc
grammar:
  depth: 1 | 2
  act: relu | silu
  attn: none | se(r=2)
"""  # 8 networks


def accuracy(arch, *, choices, epochs, seed):
    return {"accuracy": 0.5 + 0.1 * (choices["act"] == "silu") + random.Random(arch.digest).gauss(0, 0.03)}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A database with one study of 14 networks, evaluated by a function."""
    url = f"sqlite:///{tmp_path_factory.mktemp('pairs') / 'explorer.db'}"
    explorer.search(
        explorer.parse_space(SPACE, "small.yaml"), objectives={"accuracy": "max", "macs": "min"}, trials=14,
        sampler="random", seed=0, storage=url, study="one", evaluate=accuracy,
    )  # fmt: skip
    return url


def test_a_dry_run_prints_the_proposal(capsys, evaluated):
    """``--dry-run`` lists N networks with their twins and, for each level, the width now and the expected one, and
    stores nothing."""
    before = open_study(evaluated, "one").trials()
    status, out, err = run(
        capsys, "effects", "one", "--pairs", "3", "--factor", "act", "--dry-run", "--storage", evaluated
    )
    assert (status, err) == (0, "") and out.count("proposed") == 3 and "its twin's seed" in out
    (row,) = [line for line in out.splitlines() if re.match("act +(silu|relu) +(silu|relu) ", line)]
    now, expected = map(float, row.split()[-2:])
    assert expected < now and open_study(evaluated, "one").trials() == before


def test_the_json_of_a_dry_run_has_fields(capsys, evaluated):
    """``--dry-run --json`` gives each training with its twin and seed, and each interval with its widths."""
    status, out, _ = run(capsys, "effects", "one", "--pairs", "3", "--dry-run", "--json", "--storage", evaluated)
    found = json.loads(out)
    assert status == 0 and found["effects"] == [] and found["asked"] is None
    assert {each["state"] for each in found["trainings"]} == {"proposed"}
    study = open_study(evaluated, "one")
    assert all(each["seed"] == study.trial(each["twin"]).seed for each in found["trainings"])
    assert {each["half_width_achieved"] for each in found["intervals"]} == {None}


def test_a_function_is_called_in_python_only(capsys, evaluated):
    """For a study that a function evaluated, one line names the call that trains its counterparts."""
    status, out, err = run(capsys, "effects", "one", "--pairs", "3", "--storage", evaluated)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert "explorer.train_pairs(study, N, evaluate=...) in Python" in err


@pytest.mark.parametrize(
    "options, message",
    [
        (("--workers", "2"), "--workers has an effect only with --pairs N"),
        (("--dry-run",), "--dry-run has an effect only with --pairs N"),
        (("--pairs", "3", "--interactions"), "--interactions and --pairs exclude each other"),
        (("--pairs", "0"), "0 is not in the range"),
        (("--pairs", "3", "--factor", "nothing"), "unknown factor 'nothing'"),
    ],
)
def test_options_that_do_not_fit_together(capsys, evaluated, options, message):
    """Each is one line, and exit status 2."""
    status, out, err = run(capsys, "effects", "one", *options, "--storage", evaluated)
    assert (status, out, len(err.splitlines())) == (2, "", 1) and message in err


def test_a_note_names_the_command(capsys, evaluated):
    """A level with too few pairs has a note with the option that trains some."""
    status, out, _ = run(capsys, "effects", "one", "--storage", evaluated)
    assert status == 0 and "'explorer effects --pairs N' trains networks" in out


@pytest.mark.slow  # trains eight networks: that the recorded settings are used shows in a training only
def test_counterparts_are_trained_as_the_study_was(capsys, tmp_path):
    """A trained study needs no options: data, recipe, epochs and precision are those that it recorded, the trials are
    marked, and the same command again trains nothing."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    url = f"sqlite:///{tmp_path}/explorer.db"
    options = ("--data", "digits", "--epochs", "1", "--subset", "300", "--stopping", "none", "--workers", "1")
    more = ("--precision", "bfloat16", "--sampler", "random", "--trials", "5", "--study", "one", "--storage", url)
    status, _, err = run(capsys, "search", "--space", str(tmp_path / "tiny.yaml"), *options, *more)
    assert status == 0, err
    for _ in range(2):
        status, out, err = run(capsys, "effects", "one", "--pairs", "2", "--workers", "1", "--json", "--storage", url)
        assert status == 0, err
        found = json.loads(out)
        assert [each["state"] for each in found["trainings"]] == ["complete", "complete"]
        assert found["effects"] and None not in [each["half_width_achieved"] for each in found["intervals"]]
    trials = [trial for trial in open_study(url, "one").trials() if trial.counterpart]
    assert [trial.number for trial in trials] == [each["trial"] for each in found["trainings"]]
    assert {(trial.result.epochs, trial.result.precision) for trial in trials} == {(1, "bfloat16")}
    status, out, _ = run(capsys, "trials", "one", "--storage", url)
    assert out.count("counterpart of") == 2
