"""The samplers: uniform means uniform over derivations, and each resumes."""

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
    """Each of the 27 derivations is drawn as often as any other: chi-squared below its 0.999 quantile."""
    asked = memory(space, "random", seed=0)
    draws = 2_700
    found = Counter(space.rank(asked.ask(number)[0]) for number in range(draws))
    expected = draws / space.count()
    assert (
        sum((found[index] - expected) ** 2 / expected for index in range(space.count())) < 54.1
    )  # 26 degrees of freedom


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_ask_depends_on_seed_and_number_alone(space, sampler):
    """Two memories that have learnt the same ask the same for a number; another number or seed asks otherwise."""
    asked = [[memory(space, sampler, seed).ask(n)[0].choices for n in range(8)] for seed in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]
    assert len(set(map(str, asked[0]))) > 1


@pytest.mark.parametrize("sampler", ["frontier", "evolution", "tpe", "nsga2", "gp"])
def test_each_sampler_hears_what_a_stopped_trial_would_have_come_to(space, sampler):
    """Each sampler asks otherwise when stopped trials promise much than when they promise little, all else being
    equal. (``random`` asks the same whatever comes.)"""
    asked = []
    for promise in (0.2, 0.9):
        known, rest = memory(space, sampler, seed=0), []
        for number in range(20):
            rest.append(running(space, number, known.ask(number)[0]))
            known.learn(rest[-1], {})
        for record in rest:  # every second one was stopped; to samplers it is complete, with what is expected of it
            accuracy = 0.5 + record.number / 100 if record.number % 2 else promise - record.number / 100
            objectives = {"accuracy": accuracy, "macs": record.costs["macs"]}
            known.learn(replace(record, state="complete", objectives=objectives), {})
        asked.append([known.ask(number)[0].choices for number in range(20, 28)])
    assert asked[0] != asked[1]


def running(space, number: int, derivation) -> TrialRecord:
    """Trial ``number``, begun on that network."""
    made = Candidates(space, {}, ()).make(derivation)
    return TrialRecord(number, "running", made.architecture.digest, choices=derivation.choices, costs=made.costs)


def test_a_derivations_distributions_are_its_live_choices(space):
    """Of a conditional space only the choices that arise are asked, each with its alternatives."""
    without, with_se = space.named({"attn": "none"}), space.named({"attn": "se(r=ratio)"})
    assert set(distributions_of(space, without.choices)) == {"depth", "act", "attn"}
    assert distributions_of(space, with_se.choices)["ratio"].choices == ("2", "4")


def test_optunas_own_settings_are_left_alone(space):
    """Making a memory leaves Optuna's logging as the caller has it."""
    before = optuna.logging.get_verbosity()
    memory(space, "tpe", 0)
    assert optuna.logging.get_verbosity() == before
