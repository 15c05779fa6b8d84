"""The networks that a sampler can propose: their order, and what studies of one process share."""

from __future__ import annotations

import random

import numpy as np

from explorer.analysis.limits import parse_limit
from explorer.space.search_space import parse_space
from explorer.study.candidates import Candidates
from explorer.study.samplers import candidate_pool
from explorer.study.samplers.candidate_pool import CandidatePool, _indices


def test_a_space_of_up_to_the_limit_is_listed_without_repetition(space, monkeypatch):
    """Every derivation of a space of ``MAX_LISTED`` occurs once, first the ends; a larger space does not end."""
    total = space.count()
    monkeypatch.setattr(candidate_pool, "MAX_LISTED", total)
    ranks = list(_indices(total, random.Random(0)))
    assert ranks[:2] == [0, total - 1] and sorted(ranks) == list(range(total))
    monkeypatch.setattr(candidate_pool, "MAX_LISTED", total - 1)
    endless = _indices(total, random.Random(0))
    assert len([next(endless) for _ in range(total + 10)]) == total + 10


def test_studies_share_networks_that_depend_on_the_space_alone(space):
    """Pools of a space share derived networks, except with other limits or with cost functions of the caller."""

    def table(costs, limits):
        pool = CandidatePool(Candidates(space, costs, limits), 0)
        rows = pool.rows([space.unrank(3)])
        assert pool.worth_training(rows).all() != bool(limits)
        return pool.table

    first = table({}, ())
    assert table({}, ()) is first is not table({}, (parse_limit("macs<=1"),))
    own = table({"joules": lambda architecture, choices: 1.0}, ())
    (known,), (other,) = own.known_costs(np.array([0])), first.known_costs(np.array([0]))
    assert known.costs["joules"] == 1.0 and "joules" not in other.costs and not known.predicted


def test_equal_blocks_of_a_stage_are_one_object():
    """The first and the later blocks of a stage are one object if they are equal, so that each is examined once."""
    text = "name: n\ninput: 3x8x8\nclasses: 10\nstem: conv3x3(8)\nstages: {blocks: 3, width: 8}\nhead: gap fc\n"
    first, second, third = parse_space(text + "block: conv3x3 bn relu +\n", "n.yaml").architecture(0).stages[0].blocks
    assert first is second is third
