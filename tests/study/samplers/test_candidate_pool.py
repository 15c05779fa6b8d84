"""The networks that a sampler can propose: their order, and what studies of one process share."""

from __future__ import annotations

import random

import numpy as np
import pytest

import explorer
from explorer.analysis.limits import parse_limit
from explorer.space.levels import Level
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


WRITTEN_IN_VAIN = """
name: vain
input: 1x8x8
classes: 10
stem: conv3x3(8) bn relu
stages: {blocks: depth, width: 8}
block: sum(first second, conv3x3) bn relu +
head: gap fc
grammar:
  depth: 1 | 2 | 3 | 4
  first: conv3x3 | conv1x1 | identity
  second: identity | zero
"""


@pytest.mark.parametrize("is_listed", [False, True])
def test_of_several_derivations_the_one_that_writes_least_is_proposed(is_listed):
    """Where ``second`` is zero nothing uses ``first``, which is then ``identity``; otherwise the derivation stays."""
    space = parse_space(WRITTEN_IN_VAIN, "vain.yaml")
    pool = CandidatePool(Candidates(space, {}, ()), 0)
    pool.may_list = is_listed
    drawn = pool.first(int(space.count()))
    fresh = [pool.derivation(row).choices for row in pool.fresh(drawn, set()).tolist()]
    assert len(fresh) == len({space.architecture(each).digest for each in map(space.unrank, range(space.count()))})
    assert {each["first"] for each in fresh if each["second"] == "zero"} == {"identity"}
    for row in drawn.tolist():
        before = pool.derivation(row)
        for others in (drawn, drawn[:0]):
            least = pool.derivation(pool.least_written(row, others))
            in_vain = before.choices["second"] == "zero"
            assert least.choices == {**before.choices, **({"first": "identity"} if in_vain else {})}


def test_proposals_do_not_depend_on_what_else_the_process_derived():
    """A derivation that another study derived is no candidate for the one that writes least."""
    space = parse_space(WRITTEN_IN_VAIN, "vain.yaml")
    pool, other = (CandidatePool(Candidates(space, {"j": lambda architecture, choices: 1.0}, ()), 0) for _ in range(2))
    other.rows(map(space.unrank, range(space.count())))
    for index in range(space.count()):
        derivation = space.unrank(index)
        written = [each.derivation(each.least_written(each.row(derivation), each.first(9))) for each in (pool, other)]
        assert written[0].choices == written[1].choices


def counted_pool(text):
    """Return a pool, and the list of the choices of the networks that it derives."""
    made = []
    costs = {"j": lambda architecture, choices: float(len(made.append(choices) or choices))}
    return CandidatePool(Candidates(parse_space(text, "counted.yaml"), costs, ()), 0), made


def test_the_derivation_that_writes_least_is_found_in_few_steps():
    """The steps grow with the choices alone, not with the number of those that nothing uses."""
    text = WRITTEN_IN_VAIN.replace("sum(first second, conv3x3) bn relu", "first second").replace("vain", "deep")
    text = text.replace("depth: 1 | 2 | 3 | 4", "depth: 12").replace("grammar:", "vary: {first: block}\ngrammar:")
    pool, made = counted_pool(text)
    row = pool.row(pool.space.named({"second": "zero"}))
    pool.least_written(row, pool.first(0))  # what each option writes
    made.clear()
    other = pool.row(pool.space.named({"second": "zero", "first@stage1.block2": "conv1x1"}))
    choices = pool.derivation(pool.least_written(other, pool.first(0))).choices
    assert {option for name, option in choices.items() if name.startswith("first")} == {"identity"}
    assert len(made) <= 2 * 12 * 3  # two rounds


def test_a_derivation_that_is_drawn_twice_is_no_second_one_of_its_network(monkeypatch):
    """In a space that writes no network twice the derivation that writes least is not sought."""
    monkeypatch.setattr(candidate_pool, "MAX_LISTED", 1)
    text = WRITTEN_IN_VAIN.replace("identity | zero", "relu | silu").replace("width: 8", 'width: "range(8, 2048, 8)"')
    text = text.replace("conv1x1 | identity", "conv1x1")
    pool, made = counted_pool(text)
    drawn = pool.first(pool.derivable)
    assert len(set(drawn.tolist())) < len(drawn)
    before = len(made)
    assert [pool.least_written(row, drawn) for row in drawn.tolist()] == drawn.tolist() and len(made) == before


def test_the_least_written_derivation_has_the_required_level():
    """Of two paths that can be exchanged, the one with the required level keeps it."""
    text = WRITTEN_IN_VAIN.replace("sum(first second, conv3x3)", "sum(first, second)")
    text = text.replace("second: identity | zero", "second: conv1x1 | conv3x3 | identity")
    pool = CandidatePool(Candidates(parse_space(text, "exchanged.yaml"), {}, ()), 0)
    drawn = pool.first(int(pool.space.count()))
    exchanged = 0
    for row in drawn.tolist():
        pool.required = None
        exchanged += pool.least_written(row, drawn) != row
        for level in map(Level._make, pool.derivation(row).choices.items()):
            pool.required = level
            choices = pool.derivation(pool.least_written(row, drawn)).choices
            assert choices[level.choice] == level.option
    assert exchanged


def test_a_search_covers_levels_that_its_networks_use():
    """Each level of ``first`` is tried in a network that uses it, as the others write it in vain."""
    study = explorer.search(
        parse_space(WRITTEN_IN_VAIN, "vain.yaml"),
        evaluate=lambda architecture, choices, **_: {"accuracy": 0.9 if choices["second"] == "zero" else 0.2},
        trials=16,  # all networks
        storage=None,
    )
    tried = [trial.choices for trial in study.trials()]
    assert {each["first"] for each in tried if each["second"] != "zero"} == {"conv3x3", "conv1x1", "identity"}
    assert {each["first"] for each in tried if each["second"] == "zero"} == {"identity"}
