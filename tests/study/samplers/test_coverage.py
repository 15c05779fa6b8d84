"""Coverage: a search tries every level of every choice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from explorer.costs.analytic import count_cost
from explorer.records import TrialRecord
from explorer.space.levels import Level, levels_of, missing_levels
from explorer.space.search_space import load_space, parse_space
from explorer.study.results.levels import (
    excluded_levels,
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
    """With cover=1 as many trials as the largest choice has levels try every level, also of a choice that depends on
    another."""
    settings = {"evaluate": shallow, "workers": 1, "storage": None, "trials": 8, "seed": 3}
    study = run_search(rare, sampler=sampler, cover=1, **settings).study
    assert untried_levels(study) == [] and study.counts()["complete"] == 8


def test_every_level_is_tried_as_often_as_asked(rare):
    """With cover=2 twice as many trials try every level twice."""
    settings = {"evaluate": shallow, "workers": 1, "storage": None, "trials": 16}
    study = run_search(rare, cover=2, **settings).study
    counts = Counter(item for trial in study.trials() for item in trial.choices.items())
    assert min(counts[level] for level in levels_of(rare)) == 2


@pytest.mark.parametrize("seed", [1, 2])
def test_a_choice_that_depends_on_a_level_takes_the_trials_of_that_level(seed):
    """The three ratios of one of six orders take 3 + 5 trials; six trials try all orders."""
    variants = load_space("search_spaces/preact_variants.yaml")
    settings = {"evaluate": one_value, "workers": 1, "storage": None, "seed": seed, "cover": 1}
    assert untried_levels(run_search(variants, trials=8, **settings).study) == []
    assert {level.choice for level in untried_levels(run_search(variants, trials=6, **settings).study)} == {"ratio"}


def test_levels_that_the_limits_keep_apart_are_tried():
    """Under a limit that allows some levels only with cheap other ones, every allowed level is tried."""
    variants = load_space("search_spaces/preact_variants.yaml").with_input((1, 8, 8), 10)
    settings = {"evaluate": one_value, "workers": 1, "storage": None, "cover": 1, "limits": "macs<=600k"}
    study = run_search(variants, trials=5, **settings).study
    untried = untried_levels(study)
    assert untried and untried == excluded_levels(study, untried)


def one_value(architecture, *, choices, epochs, seed):
    return {"accuracy": 0.5}


NARROW = """
name: narrow
input: 1x8x8
classes: 10
stem: conv3x3(w1) bn relu
stages: {blocks: [d1, d2], width: [w1, w2], stride: [1, 2]}
block: conv3x3 bn act conv3x3 bn + act
head: gap fc
grammar:
  d1: 1 | 2 | 3
  d2: 1 | 2 | 3
  w1: 4 | 8 | 12
  w2: 8 | 16 | 24
  act: relu | silu
"""


@pytest.mark.parametrize(("share", "trials"), [(0.1, 3), (0.2, 4), (0.35, 4)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tight_limit_takes_as_few_trials_as_possible(share, trials, seed):
    """Levels that few of the allowed networks have come first: the trials are as few as a computed cover has."""
    space = parse_space(NARROW, "narrow.yaml")
    macs = sorted(count_cost(space.architecture(each)).macs for each in space)
    settings = {
        "evaluate": one_value,
        "workers": 1,
        "storage": None,
        "limits": f"macs<={macs[int(share * (len(macs) - 1))]}",
    }
    study = run_search(space, trials=trials, cover=1, seed=seed, **settings).study
    left = untried_levels(study)
    assert left == excluded_levels(study, left)


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
    assert informed(Coverage(rare, None, "random", untried), begun(252)).next_level() is None
    assert informed(Coverage(rare, 1, "random", untried), begun(252)).next_level() is not None


def untried(derivation):
    """Return that no network within the limits is left."""


def begun(count: int) -> list[TrialRecord]:
    """Return trials of one network."""
    return [TrialRecord(n, "complete", choices={"depth": "1", "act": "relu", "attn": "none"}) for n in range(count)]


def informed(coverage: Coverage, trials: list[TrialRecord]) -> Coverage:
    """Return the coverage, which has learned the trials."""
    for trial in trials:
        coverage.learn(trial)
    return coverage


@pytest.mark.parametrize("budget", [3, 8, 30, 61, 400])
def test_coverage_takes_at_most_a_third_of_the_trials(rare, budget):
    """By default every third trial after the first eight has a wanted level, at most twice the same."""
    coverage = Coverage(rare, None, "frontier", untried)
    wanted, first = Counter(), None
    for trial in begun(budget):
        level = coverage.next_level()
        if level is not None:
            wanted[level] += 1
            first = trial.number if first is None else first
            trial = replace(trial, choices=dict([level]))
        coverage.learn(trial)
    assert wanted.total() <= budget // 3 and max(wanted.values(), default=0) <= 2
    assert first == (9 if budget > 9 else None)
    if budget == 400:
        assert set(wanted) == set(missing_levels(levels_of(rare), [begun(1)[0].choices]))


def test_a_promise_takes_as_many_trials_as_it_needs(rare):
    """With cover=3 the first trials all have wanted levels, as many as levels are left to try, and none is left out."""
    coverage, levels = Coverage(rare, 3, "frontier", untried), levels_of(rare)
    for trial in begun(60):
        level = coverage.next_level()
        coverage.learn(trial if level is None else replace(trial, choices=dict([level])))
    assert all(coverage._counts[level] >= 3 for level in levels)


def test_the_default_tries_every_level_of_the_shipped_space():
    """Without ``cover`` a search of 30 trials tries each level of each choice of preact_variants."""

    def likes_one_order(architecture, *, choices, epochs, seed):
        return {"accuracy": 0.5 + 0.1 * (choices["order"] == "original")}

    variants = load_space("search_spaces/preact_variants.yaml")
    settings = {"evaluate": likes_one_order, "workers": 1, "storage": None, "trials": 30}
    study = run_search(variants, **settings).study
    assert untried_levels(study) == []


def test_of_untried_levels_the_one_that_is_tried_nowhere_comes_first():
    """A level that is tried in another stage is wanted after those that are tried in no stage."""
    variants = load_space("search_spaces/preact_variants.yaml")
    coverage = Coverage(variants, 1, "frontier", untried)
    tried = {"depth": "1", "order": "original", "act": "relu", "dil@stage1": "1", "attn@stage2": "se(r=4)"}
    for number, depth in enumerate("1231"):
        coverage.learn(
            TrialRecord(number, "complete", choices={**tried, "depth": depth, "dil@stage1": str(1 + number % 2)})
        )
    assert coverage.next_level() == Level("order", "bn_after_add")


def test_a_level_needs_other_choices_to_be_within_the_limits(rare):
    """A level that no change of the sampler's proposal brings within the limits is sought among other networks."""
    large = max(rare, key=lambda derivation: count_cost(rare.architecture(derivation)).macs)
    others = []
    assert Coverage(rare, None, "tpe", others.append).find(large, Level("attn", "none")) is None
    assert others[0].choices["depth"] == large.choices["depth"]
    assert {each.choices["attn"] for each in others} == {"none"}
    assert len({each.choices["depth"] for each in others}) > 1


def test_a_level_outside_the_limits_is_given_up(rare):
    """A level that no network within the limits has does not end the search."""
    settings = {"evaluate": shallow, "workers": 1, "storage": None, "trials": 15, "limits": "macs<=300k"}
    study = run_search(rare, cover=1, **settings).study
    assert study.counts()["complete"] == 15 and Level("depth", "8") in untried_levels(study)
    untried = untried_levels(study)
    excluded = excluded_levels(study, untried)
    cheapest = {depth: min(costs) for depth, costs in macs_by_depth(rare).items()}
    assert {level.option for level in excluded if level.choice == "depth"} == {
        depth for depth, macs in cheapest.items() if macs > 300_000
    }
    text = untried_text(untried, excluded)
    assert "depth=8" in text.partition("because the limits exclude all networks with it: ")[2]
    assert "depth=8" not in text.partition("not tried, because")[0]
    assert "because the limits exclude" in unknown_levels_text(study, study.trials())


def macs_by_depth(space):
    """Return the MACs of all networks of a space by their depth."""
    found = {}
    for derivation in space:
        found.setdefault(derivation.choices["depth"], []).append(count_cost(space.architecture(derivation)).macs)
    return found


def test_limits_exclude_nothing_that_cannot_be_known(rare):
    """Without a limit on a computed cost no level is excluded."""
    study = run_search(rare, cover=0, evaluate=shallow, workers=1, storage=None, trials=2).study
    assert excluded_levels(study, levels_of(rare)) == []
