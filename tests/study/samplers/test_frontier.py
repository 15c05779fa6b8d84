"""The frontier sampler: its candidates, its calibration, and its results under any objectives."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import pytest

from explorer.analysis.limits import parse_limit
from explorer.space.edits import neighbours
from explorer.space.search_space import load_space, parse_space
from explorer.study.candidates import Candidates
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.evolution import by_rank
from explorer.study.samplers.features import FeatureMap
from explorer.study.samplers.gaussian_process import Features, GaussianProcess
from explorer.study.samplers.mutation import mutate, shuffled_neighbours
from explorer.study.samplers.network_table import NetworkTable
from explorer.study.search import run_search
from tests.study.evaluations import good


def search(space, evaluate, **settings):
    return run_search(space, evaluate=evaluate, storage=None, study="one", sampler="frontier", **settings).study


def by_size(architecture, *, choices, epochs, seed):
    """Return a noisy accuracy that grows with the depths."""
    return {"accuracy": 0.5 + 0.05 * math.log(sum(map(len, choices.values()))) + random.Random(seed).gauss(0, 0.005)}


def test_a_mutation_changes_one_choice_and_its_dependent_choices():
    """A mutation redraws one choice and keeps every other choice that is still active."""
    space, draw = load_space("preact_variants"), random.Random(0)
    for parent in space.sample(50):
        child = mutate(space, parent, draw)
        assert space.rank(child) != space.rank(parent)
        both = [name for name in child.choices if name in parent.choices]
        assert sum(child.choices[name] != parent.choices[name] for name in both) == 1


def test_the_neighbours_are_all_single_changes(space):
    """The neighbours of two networks are all derivations that change one active choice, each listed once per parent."""
    parents = [space.unrank(0), space.unrank(space.count() - 1)]
    found = list(shuffled_neighbours(space, parents, random.Random(0)))
    wanted = [(p, n.choice, n.option) for p in parents for n in neighbours(space, p)]
    assert len(found) == len(wanted) > 4
    for parent, name, option in wanted:
        assert any(
            child.choices[name] == option
            and all(child.choices[k] == v for k, v in parent.choices.items() if k in child.choices and k != name)
            for child in found
            if name in child.choices
        )


def test_an_empty_mutation_is_the_parent():
    """In a space with one network, a mutation returns the parent."""
    text = (
        "name: one\ninput: 1x8x8\nclasses: 10\nstem: conv3x3(8)\n"
        "stages: {blocks: 1, width: 8}\nblock: conv3x3 +\nhead: gap fc\n"
    )
    space = parse_space(text, "one.yaml")
    assert mutate(space, space.unrank(0), random.Random(0)) == space.unrank(0)


def test_the_distance_of_choices_is_the_share_that_differs(space):
    """Half the squared distance of two choice features is the share of choices that differ, absent ones included."""
    pool = CandidatePool(Candidates(space, {}, ()), 0)
    networks = pool.rows(map(space.named, ({"depth": "1"}, {"attn": "se(r=ratio)"}, {"depth": "3"})))
    rows = FeatureMap(pool.table, networks).encode(networks).choices
    half = [0.5 * float(((rows[0] - row) ** 2).sum()) for row in rows]
    assert half == pytest.approx([0.0, 2 / 4, 1 / 4])  # of depth, act, attn and ratio


def test_a_number_that_repeats_another_is_left_out():
    """Of numbers that are nearly linear functions of each other on the encoded axis, one is a feature."""
    table, draw = NetworkTable(), np.random.default_rng(0)
    for macs, act in np.exp(draw.standard_normal((60, 2))):
        numbers = {"act": act, "macs": macs, "macs@stage1": 0.3 * macs, "same": 4.0, "sum": macs * act}
        table.add(numbers, choices={}, costs={}, predicted={}, facts={})
    features = FeatureMap(table, np.arange(60)).encode(np.arange(60)).numbers
    logs = np.log([table.numbers.of(name, np.arange(60)) for name in ("act", "macs", "sum")]).T
    assert np.allclose(features, (logs - logs.mean(axis=0)) / logs.std(axis=0))


def test_posterior_intervals_are_calibrated():
    """On functions drawn from additive effects, central 90% intervals contain 80% to 99% of held-out values."""
    held = []
    for seed in range(8):
        draw = np.random.default_rng(seed)
        numbers, choices = draw.standard_normal((90, 2)), draw.integers(0, 2, (90, 5)).astype(float)
        values = np.exp(0.5 * np.sin(numbers[:, 0]) + choices @ draw.normal(0, 0.3, 5) + draw.normal(0, 0.02, 90))
        features = Features(numbers, choices * math.sqrt(2 / 5))
        process = GaussianProcess(features[:40], values[:40], seed)
        belief = process.predict(features[40:])
        spread = 1.645 * np.hypot(belief.sd, process.noise)
        held.append(np.abs(np.log(values[40:] - belief.floor) - belief.mean) < spread)
    assert 0.8 <= np.mean(held) <= 0.99


def test_a_running_trial_is_not_proposed_again(space):
    """Conditioning on a running trial narrows its posterior and keeps the mean."""
    draw = np.random.default_rng(0)
    features = Features(draw.standard_normal((12, 2)), np.zeros((12, 0)))
    process = GaussianProcess(features[:10], np.exp(draw.standard_normal(10)), 0)
    before = process.predict(features[10:])
    process.add_unfinished(features[10:])
    after = process.predict(features[10:])
    assert np.all(after.sd < before.sd) and after.mean == pytest.approx(before.mean, abs=0.05)


def test_the_next_level_of_discrete_values_can_be_reached():
    """If values have discrete levels, the model allows a better level than the best seen, and repeating the best is no
    gain."""
    features = Features(np.random.default_rng(0).standard_normal((8, 2)), np.zeros((8, 0)))
    belief = GaussianProcess(features, np.array([0.5, 0.4, 0.5, 0.5, 0.4, 0.5, 0.4, 0.5]), 0).predict(features)
    assert belief.step == pytest.approx(0.1) and belief.floor < 0.4 - 0.15
    known_well = dataclasses.replace(belief, mean=np.log(np.full(8, 0.4 - belief.floor)), sd=np.full(8, 0.01))
    assert np.all(known_well.shortfall(np.array([0.4])) < 1e-9)
    assert GaussianProcess(features, np.linspace(0.4, 0.5, 8), 0).predict(features).step == 0.0


@pytest.mark.parametrize("worst", [0.9, 1e6, 1e10, 1e30])
def test_one_diverged_value_does_not_make_the_others_equal(worst):
    """The gaps between the other values are no rounding errors, however large the worst value is."""
    features = Features(np.random.default_rng(0).standard_normal((8, 2)), np.zeros((8, 0)))
    belief = GaussianProcess(features, np.array([0.5, 0.4, 0.55, 0.6, 0.45, 0.7, 0.8, worst]), 0).predict(features)
    assert belief.step == 0.0 and 0.0 < belief.floor < 0.4


@pytest.mark.parametrize("way", [-1.0, 1.0])
def test_values_that_differ_by_rounding_are_equal(way):
    """The floor is below the best value, also if the median is next to it."""
    features = Features(np.random.default_rng(0).standard_normal((8, 2)), np.zeros((8, 0)))
    values = way * np.array([0.3, 0.1 + 0.2] * 4)
    belief = GaussianProcess(features, values, 0).predict(features)
    assert belief.step == 0.0 and belief.floor < values.min()
    assert np.allclose(belief.quantile(0.0), way * 0.3)


@pytest.mark.parametrize(
    "objectives",
    [
        {"accuracy": "max"},
        {"accuracy": "max", "loss": "min"},
        {"macs": "max", "accuracy": "min"},
        {"accuracy": "max", "joules": "min", "params": "min", "loss": "min"},
    ],
    ids=lambda objectives: ",".join(objectives),
)
def test_any_objectives_are_searched(objectives):
    """The sampler accepts one to four objectives, minimised or maximised, with or without costs, failures and negative
    costs."""

    def evaluate(architecture, *, choices, epochs, seed):
        if choices["order"] == "original":
            raise RuntimeError("does not fit")
        told = {**by_size(architecture, choices=choices, epochs=epochs, seed=seed), "loss": 2.0 - len(choices) / 10}
        return {name: told[name] for name in objectives if name in told}

    costs = {"joules": lambda architecture, choices: -float(len(str(choices)))} if "joules" in objectives else None
    study = search(load_space("preact_variants"), evaluate, objectives=objectives, costs=costs, trials=9)
    counts = study.counts()
    assert counts["complete"] == 9 and counts["cached"] == counts["rejected"] == 0


def test_limits_are_kept_without_a_refusal():
    """Candidates are checked against the limits before they are proposed, so no trial is rejected."""
    limits = [parse_limit("macs<=6M")]
    study = search(load_space("preact_variants"), by_size, limits=limits, trials=12)
    assert study.counts()["rejected"] == 0
    assert all(record.costs["macs"] <= 6e6 for record in study.trials(full=False))


def test_the_first_networks_are_spread_over_the_cost():
    """The initial design covers cheap and expensive networks: MACs differ by a factor of at least four."""
    macs = [record.costs["macs"] for record in search(load_space("preact_variants"), by_size, trials=5).trials()]
    assert max(macs) > 4 * min(macs)


def test_it_beats_uniform_draws(space):
    """On a task with additive effects, 9 trials have a larger hypervolume than 9 uniform draws, as the mean of three
    seeds."""
    reference = {"accuracy": 0.5, "macs": 1e6}
    found = {
        sampler: sum(
            run_search(space, evaluate=good, storage=None, sampler=sampler, seed=seed, trials=9).study.hypervolume(
                reference
            )
            for seed in range(3)
        )
        for sampler in ("frontier", "random")
    }
    assert found["frontier"] > found["random"]


@pytest.mark.slow
def test_a_space_of_very_many_derivations_is_searched():
    """The sampler draws and mutates but never lists derivations, so it searches a space of 3 ** 90."""
    text = (
        "name: vast\ninput: 1x8x8\nclasses: 10\nstem: conv3x3(4)\nstages: {blocks: 30, width: [4, 4, 4]}\n"
        "block: conv3x3 act +\nhead: gap fc\nvary: {act: block}\ngrammar:\n  act: relu | silu | gelu\n"
    )
    assert search(parse_space(text, "vast.yaml"), by_size, trials=7).counts()["complete"] == 7


def test_rank_then_crowding():
    """Ranks equal those of repeated fronts; within a front, ends come first, then isolated points; equal points share a
    rank."""
    keys = by_rank([(1, 4), (2, 2), (4, 1), (3, 3), (2, 2), (5, 5)])
    assert [rank for rank, _ in keys] == [0, 0, 0, 1, 0, 2]
    assert keys[0][1] == keys[2][1] == -math.inf
