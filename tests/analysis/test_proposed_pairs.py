"""Trainings that narrow the intervals of effects."""

from __future__ import annotations

import itertools
import random

import pytest

from explorer.analysis.effects import choice_effects, propose_pairs
from explorer.errors import StudyError
from explorer.records import TrialRecord


def record(number: int, choices: dict[str, str], seed: int = 0) -> TrialRecord:
    accuracy = 0.5 + random.Random(f"{choices} {seed}").gauss(0, 0.03)
    return TrialRecord(number, "complete", choices=choices, costs={"macs": 1e6}, objectives={"accuracy": accuracy})


EVERY = [
    {"order": order, "depth": depth, "act": act, "se": se}
    for order, depth, act, se in itertools.product("abc", "123", ("relu", "silu"), ("no", "yes"))
]


@pytest.fixture
def half() -> list[TrialRecord]:
    return [record(number, choices) for number, choices in enumerate(random.Random(1).sample(EVERY, 14))]


def test_proposals_are_untrained_counterparts_of_trained_networks(half):
    """Each of exactly N networks is new, and differs from its twin only in the named choice."""
    proposal = propose_pairs(half, 5)
    trained = [dict(each.choices) for each in half]
    assert len(proposal.trainings) == 5
    for training in proposal.trainings:
        twin = next(each for each in half if each.number == training.twin)
        assert training.choices not in trained
        assert {name for name in twin.choices if twin.choices[name] != training.choices[name]} == {training.factor}


def test_trained_proposals_narrow_the_interval(half):
    """The expected width is smaller than that of now, and near that which the trainings give."""
    proposal = propose_pairs(half, 8, factor="se")
    (narrowing,) = proposal.narrowing
    assert narrowing.after < 0.95 * narrowing.before and narrowing.pairs_after > narrowing.pairs_before
    new = [record(100 + place, dict(each.choices)) for place, each in enumerate(proposal.trainings)]
    (effect,) = choice_effects([*half, *new], factor="se")
    assert effect.paired.pairs == narrowing.pairs_after
    width = (effect.paired.ci95[1] - effect.paired.ci95[0]) / 2
    assert narrowing.after / 1.7 < width < narrowing.after * 1.7


def test_impossible_networks_are_not_proposed(half):
    """Networks that the space does not have, or that a trial has begun, are passed over; fewer than N may be left."""
    proposal = propose_pairs(half, 100, possible=lambda choices: choices["order"] == "a")
    assert {training.choices["order"] for training in proposal.trainings} == {"a"}
    assert len(proposal.trainings) < 100


def test_a_proposal_has_at_least_one_training(half):
    """A number below 1 is refused."""
    with pytest.raises(StudyError, match="at least 1 training, found 0"):
        propose_pairs(half, 0)
