"""The networks that a sampler can propose: their order, and what studies of one process share."""

from __future__ import annotations

import random

from explorer.analysis.limits import parse_limit
from explorer.space.search_space import parse_space
from explorer.study.candidates import Candidates
from explorer.study.samplers import candidate_pool
from explorer.study.samplers.candidate_pool import CandidatePool, _order


def test_a_space_of_up_to_the_limit_is_listed_without_repetition(space, monkeypatch):
    """Every derivation of a space of ``MAX_LISTED`` occurs once, first the ends; a larger space does not end."""
    total = space.count()
    monkeypatch.setattr(candidate_pool, "MAX_LISTED", total)
    ranks = list(map(space.rank, _order(space, random.Random(0))))
    assert ranks[:2] == [0, total - 1] and sorted(ranks) == list(range(total))
    monkeypatch.setattr(candidate_pool, "MAX_LISTED", total - 1)
    endless = _order(space, random.Random(0))
    assert len([next(endless) for _ in range(total + 10)]) == total + 10


def test_studies_share_networks_that_depend_on_the_space_alone(space):
    """Pools of a space share derived networks, except with other limits or with cost functions of the caller."""

    def candidate(costs, limits):
        return CandidatePool(Candidates(space, costs, limits), 0).candidate(space.unrank(3))

    first = candidate({}, ())
    assert candidate({}, ()) is first
    limited = candidate({}, (parse_limit("macs<=1"),))
    assert first.allowed and not limited.allowed
    own = candidate({"joules": lambda architecture, choices: 1.0}, ())
    assert own.costs["joules"] == 1.0 and "joules" not in first.costs


def test_equal_blocks_of_a_stage_are_one_object():
    """The first and the later blocks of a stage are one object if they are equal, so that each is examined once."""
    text = "name: n\ninput: 3x8x8\nclasses: 10\nstem: conv3x3(8)\nstages: {blocks: 3, width: 8}\nhead: gap fc\n"
    first, second, third = parse_space(text + "block: conv3x3 bn relu +\n", "n.yaml").architecture(0).stages[0].blocks
    assert first is second is third
