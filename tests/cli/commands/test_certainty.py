"""The certainty of a frontier on the command line."""

from __future__ import annotations

import json
import random

import pytest

from explorer.records import TrialRecord
from explorer.space.search_space import parse_space
from explorer.store.studies import open_study
from explorer.study.search import search
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT, score


def noisy(architecture, *, choices, epochs, seed):
    return {"accuracy": score(choices) + random.Random(f"{seed} {architecture.digest}").gauss(0, 0.02)}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A storage with two studies of the same trials, one with repeats."""
    place, space = f"sqlite:///{tmp_path_factory.mktemp('studies')}/explorer.db", parse_space(SPACE_TEXT, "tiny.yaml")
    settings = {"trials": 12, "evaluate": noisy, "storage": place, "sampler": "random"}
    search(space, study="plain", **settings)
    search(space, study="repeated", repeats=6, **settings)
    return place


def test_the_frontier_says_how_many_stay(capsys, url):
    """The table has each network's probability, and below it the number that is expected to stay, the noise and the
    repeats that it comes from; ``--json`` has the probability of each, and so has the best network under a budget."""
    study = open_study(url, "repeated")
    front, certainty = study.frontier(), study.frontier_certainty()
    stays = [certainty.probabilities[trial.number] for trial in front]
    status, out, _ = run(capsys, "frontier", "repeated", "--storage", url)
    assert status == 0 and "stays" in out and all(f"{each:.0%}" in out for each in stays)
    text = " ".join(out.split())
    assert f"{sum(stays):.1f} of these {len(front)} are expected to stay on the frontier" in text
    assert f"standard deviation of {100 * certainty.noise.std:.2g} points of accuracy, from 6 repeats of" in text
    status, out, _ = run(capsys, "frontier", "repeated", "--storage", url, "--json")
    assert status == 0 and [row["frontier_probability"] for row in json.loads(out)] == stays
    best = max(front, key=lambda trial: trial.objectives["accuracy"])
    status, out, _ = run(capsys, "frontier", "repeated", "--storage", url, "--under", "macs<=1G", "--json")
    assert [row["frontier_probability"] for row in json.loads(out)] == [certainty.probabilities[best.number]]


def test_without_repeats_a_line_says_how_to_get_them(capsys, url):
    """There is no column, no field and no number, but what to run."""
    status, out, _ = run(capsys, "frontier", "plain", "--storage", url)
    assert status == 0 and "stays" not in out.splitlines()[0]
    assert "unknown, since no network was trained more than once: run the search again with --repeats K" in " ".join(
        out.split()
    )
    status, out, _ = run(capsys, "frontier", "plain", "--storage", url, "--json")
    assert status == 0 and not any("frontier_probability" in row for row in json.loads(out))


def test_a_search_prints_the_certainty_of_its_front(capsys, tmp_path):
    """The trainings of --repeats are named as they end, and the search's own table has the column."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    line = ("search", "--space", str(tmp_path / "tiny.yaml"), "--data", "digits", "--epochs", "1", "--workers", "2")
    line += ("--trials", "3", "--stopping", "none", "--limit", "macs<=700k", "--storage", f"{tmp_path}/explorer.db")
    status, out, err = run(capsys, *line, "--repeats", "2")
    assert status == 0, err
    assert err.count(" repeated accuracy ") == 2 and "2 of 2 repeats" in err and "stays" in out
    assert "the study has its 3 trials; the study has its 2 repeats" in out


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_number_of_repeats_is_a_whole_number(capsys, value, tmp_path, monkeypatch):
    """Anything else ends in one line and status 2, and makes no file."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "search", "--space", "preact_variants.yaml", "--repeats", value)
    assert (status, out) == (2, "") and "--repeats" in err and len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_record_may_have_an_objective_of_any_name():
    """The field of the probability is not taken by an objective of that name."""
    from explorer.analysis.frontier_certainty import FrontierCertainty, TrainingNoise
    from explorer.cli.studies import frontier_json

    record = TrialRecord(3, "complete", objectives={"frontier_probability": 7.0})
    certainty = FrontierCertainty(TrainingNoise(0.1, 1, 1, 0.1, False), {3: 0.25})
    assert frontier_json(record, certainty, None)["frontier_probability"] == 0.25
    assert frontier_json(record, None, None)["frontier_probability"] == 7.0
