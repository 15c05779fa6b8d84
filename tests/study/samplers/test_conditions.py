"""Every sampler proposes only networks that satisfy the conditions of a space."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from explorer.records import TrialRecord
from explorer.space.edits import neighbours
from explorer.space.search_space import parse_space
from explorer.study.candidates import Candidates
from explorer.study.samplers.mutation import mutate, shuffled_neighbours
from explorer.study.samplers.registry import SAMPLERS, make_sampler
from tests.space.spaces import text

SPACE = text(
    {
        "wide": "range(8, 64, 8)",
        "depth": "1 | 2 | 3",
        "act": "relu | silu",
        "attn": "none | se(r=q) | eca",
        "q": "2 | 4",
    },
    {"wide": "stage", "depth": "stage", "attn": "stage"},
    stages="{blocks: depth, width: wide, stride: [1, 2]}",
    block="conv3x3 bn act attn + relu",
)
WHERE = """where:
  - wide@stage2 >= 4 * wide@stage1
  - depth@stage1 + depth@stage2 == 4
  - not (attn == se and act == silu)
"""


def satisfies(choices) -> bool:
    wide, depth = ([int(choices[f"{name}@stage{k}"]) for k in (1, 2)] for name in ("wide", "depth"))
    attention = [choices[f"attn@stage{k}"] for k in (1, 2)]
    return wide[1] >= 4 * wide[0] and sum(depth) == 4 and not (choices["act"] == "silu" and "se(r=q)" in attention)


@pytest.fixture
def space():
    return parse_space(SPACE + WHERE)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_proposal_satisfies_the_conditions(space, sampler):
    """Each proposal, with a history of complete trials, satisfies the conditions, also in Optuna's study."""
    made = Candidates(space, {}, ())
    asked = make_sampler(made, {"accuracy": "max", "macs": "min"}, sampler, seed=0)
    for number in range(20 if sampler == "gp" else 40):  # after ten random ones, each of gp takes half a second
        derivation, notes = asked.ask(number)
        assert satisfies(derivation.choices)
        assert derivation in space
        candidate = made.make(derivation)
        record = TrialRecord(
            number, "running", candidate.architecture.digest, choices=derivation.choices, costs=candidate.costs
        )
        objectives = {"accuracy": 1 - 1 / candidate.costs["params"], "macs": candidate.costs["macs"]}
        asked.learn(record, notes)
        asked.learn(replace(record, state="complete", objectives=objectives), notes)
    if sampler in ("tpe", "nsga2", "gp"):
        assert all(satisfies(trial.params) for trial in asked._study.trials)


def test_mutants_and_neighbours_satisfy_the_conditions(space):
    """Mutants and neighbours satisfy the conditions; the neighbours are all networks that differ in one choice."""
    draw = random.Random(0)
    every = [derivation.choices for derivation in space]
    for derivation in space.sample(20, seed=1):
        assert all(satisfies(mutate(space, derivation, draw).choices) for _ in range(20))
        assert all(satisfies(other.choices) for other in shuffled_neighbours(space, [derivation], draw))
        found = [dict(each.derivation.choices) for each in neighbours(space, derivation)]
        own = derivation.choices
        assert all(map(satisfies, found))
        same_names = [other for other in every if other.keys() == own.keys()]
        expected = [dict(o) for o in same_names if sum(o[name] != own[name] for name in own) == 1]
        assert all(other in found for other in expected)
