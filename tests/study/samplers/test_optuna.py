"""Optuna's samplers: random search is uniform over derivations, and each sampler can be resumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import optuna
import pytest

from explorer.records import TrialRecord
from explorer.study.candidates import Candidates
from explorer.study.samplers.optuna import distributions_of
from explorer.study.samplers.registry import SAMPLERS, make_sampler

OBJECTIVES = {"accuracy": "max", "macs": "min"}


def memory(space, sampler, seed):
    return make_sampler(Candidates(space, {}, ()), OBJECTIVES, sampler, seed)


def test_random_is_uniform_over_derivations(space):
    """Each of the 27 derivations is drawn equally often: chi-squared is below its 0.999 quantile."""
    asked = memory(space, "random", seed=0)
    draws = 2_700
    found = Counter(space.rank(asked.ask(number)[0]) for number in range(draws))
    expected = draws / space.count()
    assert (
        sum((found[index] - expected) ** 2 / expected for index in range(space.count())) < 54.1
    )  # 26 degrees of freedom


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposal_depends_only_on_seed_number_and_history(space, sampler):
    """Two samplers with the same history propose the same network for a number; another number or seed changes it."""
    asked = [[memory(space, sampler, seed).ask(n)[0].choices for n in range(8)] for seed in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]
    assert len(set(map(str, asked[0]))) > 1


@pytest.mark.parametrize(
    "sampler", ["frontier", "evolution", "tpe", "nsga2", pytest.param("gp", marks=pytest.mark.slow)]
)
def test_each_sampler_uses_the_forecasts_of_stopped_trials(space, sampler):
    """Each sampler proposes otherwise if forecasts of stopped trials are high instead of low; ``random`` ignores
    them."""
    asked = []
    for promise in (0.2, 0.9):
        known, rest = memory(space, sampler, seed=0), []
        for number in range(20):
            rest.append(running(space, number, known.ask(number)[0]))
            known.learn(rest[-1], {})
        for record in rest:  # every second one was stopped; samplers see it as complete, with its forecast values
            accuracy = 0.5 + record.number / 100 if record.number % 2 else promise - record.number / 100
            objectives = {"accuracy": accuracy, "macs": record.costs["macs"]}
            known.learn(replace(record, state="complete", objectives=objectives), {})
        asked.append([known.ask(number)[0].choices for number in range(20, 24)])
    assert asked[0] != asked[1]


def running(space, number: int, derivation) -> TrialRecord:
    """Return trial ``number``, running with that network."""
    made = Candidates(space, {}, ()).make(derivation)
    return TrialRecord(number, "running", made.architecture.digest, choices=derivation.choices, costs=made.costs)


def test_the_distributions_of_a_derivation_are_its_active_choices(space):
    """In a conditional space the sampler sees only active choices, each with its alternatives."""
    without, with_se = space.named({"attn": "none"}), space.named({"attn": "se(r=ratio)"})
    assert set(distributions_of(space, without.choices)) == {"depth", "act", "attn"}
    assert distributions_of(space, with_se.choices)["ratio"].choices == ("2", "4")


def test_optunas_own_settings_are_unchanged(space):
    """Creating a sampler adapter leaves Optuna's logging settings unchanged."""
    before = optuna.logging.get_verbosity()
    memory(space, "tpe", 0)
    assert optuna.logging.get_verbosity() == before
