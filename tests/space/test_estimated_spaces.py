"""Spaces whose derivations are not counted: sizes are estimates, indices have gaps, draws stay uniform."""

import random
from collections import Counter

import pytest

from explorer.errors import SpaceError
from explorer.space import derivations
from explorer.space.choices import Derivation
from explorer.space.count import constrained, decisions
from explorer.space.search_space import load_space, parse_space

BLOCK = "conv3x3 bn act conv3x3 bn + act"
HEAD = """input: 3x16x16
classes: 10
stem: conv3x3(8) bn relu
head: gap fc
"""
SPACES = {
    "a choice in the shortcut of changed blocks": HEAD
    + f"""stages: {{blocks: [depth, 2], width: [8 | 16, 16 | 24], stride: [1, 2]}}
block: {BLOCK}
shortcut: {{changed: proj, same: gain}}
vary: {{proj: block, gain: block}}
grammar:
  depth: 1 | 2
  act: relu | silu
  proj: conv1x1 bn | avgpool conv1x1 bn
  gain: identity | scale(0.5)
""",
    "widths as running sums": HEAD
    + """stages: {blocks: [1, 2, 1], width: [w1, w2, w3], stride: [1, 1, 2]}
block: conv3x3 bn relu conv3x3 bn +
shortcut: {changed: proj}
vary: {proj: stage}
grammar:
  w1: 8 | 16
  w2: w1 + more
  w3: w2 + again
  more: 0 | 8
  again: 0 | 8 | 16
  proj: conv1x1 | conv1x1 bn
""",
    "conditions": HEAD
    + f"""stages: {{blocks: [1 | 2 | 3, 1 | 2], width: [8 | 16, 8 | 16 | 24]}}
block: {BLOCK}
vary: {{act: stage}}
grammar: {{act: relu | silu | gelu}}
where:
  - width@stage2 >= width@stage1
  - blocks@stage1 + blocks@stage2 == 4 or act@stage1 == relu
""",
    "conditions on which nothing else depends": HEAD
    + f"""stages: {{blocks: [1 | 2, 1, 1 | 2], width: width, stride: [1, 2, 1]}}
block: {BLOCK}
shortcut: {{changed: proj}}
vary: {{width: stage, act: stage, proj: stage}}
grammar:
  width: 8 | 16 | 24
  act: relu | silu
  proj: conv1x1 | conv1x1 bn
where:
  - width@stage1 <= width@stage2 <= width@stage3
  - act@stage1 == act@stage3 or width@stage2 == 16
""",
    "two units with choices in a shortcut": HEAD
    + """stages: {blocks: 1 | 2, width: [8, 16]}
block: conv3x3 bn + ; (conv1x1 +)?
shortcut: {changed: proj}
vary: {proj: block, block: block}
grammar: {proj: conv1x1 | conv1x1 bn | conv3x3}
""",
}


@pytest.fixture
def without_counts(monkeypatch):
    """Spaces are not counted, however small they are."""
    monkeypatch.setattr(decisions, "QUICK_WORK", -1)
    monkeypatch.setattr(constrained, "QUICK_WORK", -1)


@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES)
def test_each_derivation_has_one_index(text, monkeypatch):
    """The indices that belong to a derivation are as many as the derivations, in the same order; ``rank`` is the
    inverse."""
    exact = list(parse_space(text))
    monkeypatch.setattr(decisions, "QUICK_WORK", -1)
    monkeypatch.setattr(constrained, "QUICK_WORK", -1)
    space = parse_space(text)
    assert not space.is_counted and space.count() == len(exact)
    found = {index: each for index in range(space.indices) if (each := space.decisions.find(index)) is not None}
    assert list(found.values()) == exact == list(space)
    assert [space.rank(each) for each in exact] == list(found)
    assert space.size.low <= len(exact) <= space.size.high
    assert space.size.is_exact == (space.size.low == space.size.high)


@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES)
def test_draws_are_uniform(text, without_counts):
    """Each derivation is drawn equally often: chi-squared stays below its 99.9% quantile. The same seed draws the
    same networks, also after other draws."""
    space = parse_space(text)
    drawn = space.sample(4_000, seed=3)
    every = list(space)
    counts = Counter(drawn)
    expected = len(drawn) / len(every)
    squares = sum((counts[each] - expected) ** 2 / expected for each in every)
    freedom = len(every) - 1
    assert set(counts) <= set(every)
    assert squares < freedom + 3.1 * (2 * freedom) ** 0.5 + 8
    assert drawn[:50] == space.sample(50, seed=3) == parse_space(text).sample(50, seed=3)


def test_an_index_without_derivation_is_an_error(without_counts):
    """A gap among the indices is one line that says how to get networks."""
    space = parse_space(SPACES["conditions"])
    gap = next(index for index in range(space.indices) if space.decisions.find(index) is None)
    with pytest.raises(SpaceError, match=f"no network has the index {gap}: .* 'explorer sample' draws networks"):
        space.unrank(gap)


def test_a_space_that_is_not_counted_has_no_len(without_counts):
    """``len`` is one line that names what to use; ``list`` and a quick sample work."""
    space = parse_space(SPACES["widths as running sums"])
    with pytest.raises(TypeError, match=r"has .* derivations .* use size, which .*, or count\(\)"):
        len(space)
    assert len(list(space)) == space.count()
    assert space.quick_sample(5) == space.sample(5)


def test_a_quick_sample_is_short_if_draws_take_long(without_counts, monkeypatch):
    """Of a space that is not counted it has at least 10 derivations, and no more than the steps allow."""
    monkeypatch.setattr(derivations, "QUICK_STEPS", 100)
    space = parse_space(SPACES["a choice in the shortcut of changed blocks"])
    quick = space.quick_sample(1_000)
    assert quick == space.sample(len(quick)) and 10 <= len(quick) < 100


WIDE = ", ".join(['"range(8, 1024, 8)"'] * 4)
DEEP = ", ".join(['"range(1, 24, 1)"'] * 4)
LARGE = f"""input: 3x32x32
classes: 10
stem: conv3x3(32) bn relu
stages: {{blocks: [{DEEP}], width: [{WIDE}], stride: [1, 2, 2, 2]}}
block: conv1x1(w*b) bn relu conv3x3(w*b, g=gr) bn relu conv1x1 bn + relu
shortcut: {{changed: proj}}
head: gap fc
grammar:
  b: 1 | 2 | 4
  gr: 1 | 2 | 4 | 8
  proj: conv1x1 bn | avgpool conv1x1 bn
vary: {{b: stage, gr: stage, proj: block}}
"""


def test_a_large_space_is_loaded_and_sampled_with_little_work():
    """The work of loading such a space and of ten draws is bounded: counting it would take 50 times as much."""
    space = parse_space(LARGE)
    derivations = space.sample(10)
    assert not space.is_counted and len(set(derivations)) == 10
    assert space.decisions.automaton.work < 40_000
    first = space.derivation("0")
    assert set(first.choices.values()) == {"1", "8", "conv1x1 bn"}
    for each in derivations:
        assert space.unrank(space.rank(each)) == each == space.derivation(str(each))
    # Every first stage of 32 channels has no projection to choose.
    exact = (24 * 12) ** 4 * (128 * 2 - 1) * (128 * 2) ** 3
    assert space.size.low <= exact <= space.size.high


def test_memory_of_many_draws_is_bounded(monkeypatch, without_counts):
    """States and decisions of earlier draws are dropped."""
    monkeypatch.setattr(decisions, "MAX_KEPT", 100)
    monkeypatch.setattr(constrained, "MAX_KEPT", 100)
    for text in (SPACES["conditions"], SPACES["widths as running sums"]):
        space = parse_space(text)
        source = random.Random(0)
        drawn = [space.draw(source) for _ in range(500)]
        assert all(isinstance(each, Derivation) for each in drawn)
        assert len(space.decisions.automaton._settled) < 1_500


def test_shipped_spaces_are_counted():
    """The largest shipped space is counted exactly on loading."""
    assert load_space("published/resnet").is_counted
