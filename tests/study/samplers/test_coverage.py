"""Coverage: a search tries every level of every choice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from explorer.records import TrialRecord
from explorer.space.levels import Level, levels_of, missing_levels
from explorer.space.search_space import parse_space
from explorer.study.results.levels import (
    stopped_levels,
    stopped_text,
    unknown_levels_text,
    untried_levels,
    untried_text,
)
from explorer.study.samplers.coverage import Coverage
from explorer.study.search import run_search

RARE = """
name: rare
input: 1x8x8
classes: 10
stem: conv3x3(8) bn relu
stages: {blocks: depth, width: [8, 16], stride: [1, 2]}
block: conv3x3 bn act conv3x3 bn attn + act
head: gap fc
grammar:
  depth: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8
  act: relu | silu | gelu
  attn: none | se(r=ratio)
  ratio: 2 | 4
"""


def shallow(architecture, *, choices, epochs, seed):
    """Prefer one block, so that a sampler has no reason to try the others."""
    return {"accuracy": 1.0 - 0.1 * int(choices["depth"])}


@pytest.fixture(scope="module")
def rare():
    return parse_space(RARE, "rare.yaml")


@pytest.mark.parametrize("sampler", ["frontier", "evolution", "tpe"])
def test_every_level_is_tried(rare, sampler):
    """With cover=1 a study of as many trials as levels tries every level, also of a choice that depends on another."""
    settings = {"evaluate": shallow, "workers": 1, "storage": None, "trials": 24, "seed": 3}
    study = run_search(rare, sampler=sampler, cover=1, **settings).study
    assert untried_levels(study) == [] and study.counts()["complete"] == 24


def test_a_search_without_coverage_names_what_it_left_out(rare):
    """With cover=0 the sampler is free, and the levels that it left out are named."""
    settings = {"evaluate": shallow, "workers": 1, "storage": None, "trials": 6}
    study = run_search(rare, cover=0, **settings).study
    tried = {item for trial in study.trials() for item in trial.choices.items()}
    left_out = [level for level in levels_of(rare) if tuple(level) not in tried]
    assert untried_levels(study) == left_out != []
    assert untried_text(left_out).startswith(f"not tried: {left_out[0]}") and "--cover K" in untried_text(left_out)
    assert untried_text([]) == ""


def test_a_level_whose_trials_were_all_stopped_is_named(rare):
    """A level that was tried, but has no complete trial, is named apart from those that were not tried."""
    study = run_search(rare, evaluate=shallow, workers=1, storage=None, trials=6).study
    records = [
        replace(trial, state="stopped" if trial.choices["act"] == "relu" else "complete") for trial in study.trials()
    ]
    assert Level("act", "relu") in stopped_levels(study, records)
    assert not set(stopped_levels(study, records)) & set(untried_levels(study, records))
    text = unknown_levels_text(study, records)
    assert "act=relu" in text.partition("no complete trial")[2] and "--stopping none" in text
    assert stopped_levels(study) == [] and stopped_text([]) == ""


def test_a_random_sample_is_not_restricted(rare):
    """The sampler random proposes a uniform sample unless coverage is asked for."""
    assert Coverage(rare, None, 1_000, "random").level_for(500) is None
    assert informed(Coverage(rare, 1, 1_000, "random"), begun(250)).level_for(500) is not None


def begun(count: int) -> list[TrialRecord]:
    """Return trials of one network."""
    return [TrialRecord(n, "complete", choices={"depth": "1", "act": "relu", "attn": "none"}) for n in range(count)]


def informed(coverage: Coverage, trials: list[TrialRecord]) -> Coverage:
    """Return the coverage, which has learned the trials."""
    for trial in trials:
        coverage.learn(trial)
    return coverage


def test_coverage_takes_at_most_a_quarter_of_the_trials(rare):
    """By default levels are covered after the first quarter of the budget, at every second trial, at most twice, and
    not at all if the budget is small."""
    levels = levels_of(rare)
    assert informed(Coverage(rare, None, 4 * len(levels) - 1, "frontier"), begun(50)).level_for(1_000) is None
    coverage = Coverage(rare, None, 400, "frontier")
    assert informed(coverage, begun(98)).level_for(98) is None and informed(coverage, begun(101)).level_for(101) is None
    count, wanted = 101, Counter()
    while (level := coverage.level_for(2 * count)) is not None:
        wanted[level] += 1
        coverage.learn(TrialRecord(count, "complete", choices=dict([level])))
        count += 1
    assert set(wanted.values()) == {2} and wanted.total() <= 400 / 4
    assert set(wanted) == set(missing_levels(levels, [begun(1)[0].choices]))


def test_a_level_outside_the_limits_is_given_up(rare):
    """A level that no network within the limits has does not end the search."""
    settings = {"evaluate": shallow, "workers": 1, "storage": None, "trials": 15, "limits": "macs<=300k"}
    study = run_search(rare, cover=1, **settings).study
    assert study.counts()["complete"] == 15 and Level("depth", "8") in untried_levels(study)
