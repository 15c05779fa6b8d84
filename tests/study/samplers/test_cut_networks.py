"""Networks whose output does not depend on their input are proposed last."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.space.levels import levels_of
from explorer.space.search_space import parse_space
from explorer.study.candidates import Candidates
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.search import run_search

CELL = """
name: cell
input: 3x8x8
classes: 10
stem: conv3x3(8) bn
stages: {blocks: 1, width: 8}
block: e01 e12 +
shortcut: {same: scale(0), changed: scale(0)}
head: gap fc
grammar:
  e01: zero | identity | conv3x3 bn | avgpool3x3 | conv1x1 bn
  e12: zero | identity | conv3x3 bn | avgpool3x3 | conv1x1 bn
"""


@pytest.mark.parametrize("sampler", ["frontier", "evolution"])
def test_a_sampler_trains_networks_that_ignore_their_input_last(sampler):
    """Samplers with a candidate pool leave them out until no other network is untried."""
    space = parse_space(CELL, "cell.yaml")
    pool = CandidatePool(Candidates(space, {}, ()), 0)
    of_all = [space.architecture(derivation).digest for derivation in space]
    cut = {digest for digest, is_cut in zip(of_all, pool.table.facts.of("is_cut", pool.rows(space))) if is_cut}
    digests = set(of_all)
    assert 0 < len(cut) < len(digests)

    def evaluate(architecture, *, choices, epochs, seed):
        return {"accuracy": 0.1 if architecture.digest in cut else 0.5 + 0.01 * len(str(choices))}

    study = run_search(
        space, evaluate=evaluate, storage=None, sampler=sampler, trials=len(digests) + 5, cover=0, seed=3
    ).study
    trained = [trial.digest for trial in study.trials() if trial.same_as is None and trial.state == "complete"]
    assert set(trained) == digests
    assert not cut & set(trained[: len(digests) - len(cut)])


def test_a_level_is_covered_by_a_network_that_uses_its_input():
    """Networks that ignore their input are kept for a required level only if all networks with it ignore theirs."""
    space = parse_space(CELL, "cell.yaml")
    pool = CandidatePool(Candidates(space, {}, ()), 0)
    rows = pool.rows(space)
    is_cut = pool.table.facts.of("is_cut", rows).astype(bool)
    for level in levels_of(space):
        pool.required = level
        kept, having = pool.worth_training(rows), pool.table.has_level(level, rows)
        assert kept.any() and np.array_equal(kept, having if level.option == "zero" else having & ~is_cut)
