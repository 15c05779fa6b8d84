"""A space that is listed at once has the features of its networks derived one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from explorer.analysis.limits import parse_limit
from explorer.records import TrialRecord
from explorer.space.search_space import load_space, parse_space
from explorer.study.candidates import Candidates
from explorer.study.samplers import candidate_pool
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.listing import list_networks
from explorer.study.samplers.registry import make_sampler
from tests.space.spaces import random_space
from tests.study.evaluations import score
from tests.study.samplers.test_cut_networks import CELL

LIMITS = (parse_limit("params<=100k"),)


def agree(space, most: int) -> None:
    """Check that a listed pool and one that derives ``most`` of its networks are equal in all that samplers use."""
    listed, derived = (CandidatePool(Candidates(space, {}, LIMITS), 0) for _ in range(2))
    listed.may_list = True
    rows, others = listed.first(most), derived.first(most)
    assert listed._known.is_listed and not derived._known.is_listed
    assert list(map(listed.derivation, rows)) == list(map(derived.derivation, others))
    assert np.array_equal(listed.worth_training(rows), derived.worth_training(others))
    for kind in ("numbers", "choices", "costs"):
        of_listed, of_derived = (getattr(pool.table, kind) for pool in (listed, derived))
        for name in {*of_listed.names(), *of_derived.names()}:
            assert np.array_equal(of_listed.of(name, rows), of_derived.of(name, others)), name
    for name in ("refusal", "is_cut"):
        assert np.array_equal(listed.table.facts.of(name, rows), derived.table.facts.of(name, others))
    pairs = set(zip(*(pool.table.facts.of("network", own) for pool, own in ((listed, rows), (derived, others)))))
    assert len(pairs) == len(set(dict(pairs).values())) == len(dict(pairs))


def test_a_listed_space_equals_its_derived_networks():
    """Features, costs, limits and identities of a listed space are those of its derived networks."""
    agree(load_space("preact_variants"), 150)


@pytest.mark.parametrize("seed", range(1, 60, 4))
def test_listed_random_spaces_equal_their_derived_networks(seed):
    """The same in random spaces, which have transitions, copied layers, and choices in every place."""
    if (space := random_space(seed, 200)) is not None and list_networks(space, (), 10_000) is not None:
        agree(space, 200)


def test_a_listed_space_of_cells_equals_its_derived_networks():
    """The same in a space with networks that ignore their input."""
    agree(parse_space(CELL, "cell.yaml"), 25)


def test_a_space_of_many_distinct_blocks_is_not_listed():
    """A space is not listed if its blocks are too many, which is known before they are derived."""
    space = load_space("preact_variants")
    assert list_networks(space, (), 100) is None and list_networks(space, (), 2_000) is not None


@pytest.mark.parametrize("seed", range(2))
def test_proposals_do_not_depend_on_the_listing(seed, monkeypatch, space):
    """The sampler proposes the same networks of a space whether it is listed or its networks are derived."""
    proposals = []
    for listing in (candidate_pool.LISTING, 0):
        monkeypatch.setattr(candidate_pool, "LISTING", listing)
        sampler = make_sampler(Candidates(space, {}, ()), {"accuracy": "max", "macs": "min"}, "frontier", seed)
        for number, index in enumerate(random.Random(seed).sample(range(space.count()), 10)):
            choices, network = space.unrank(index).choices, space.architecture(index)
            objectives = {"accuracy": score(choices)}
            sampler.learn(TrialRecord(number, "complete", network.digest, choices=choices, objectives=objectives), {})
        proposals.append([sampler.ask(number) for number in (10, 11)])
    assert proposals[0] == proposals[1]
