"""What a choice does at equal cost."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from explorer.analysis.effects import choice_effects
from explorer.errors import StudyError
from explorer.records import TrialRecord


def trial(number: int, accuracy: float, macs: float, **choices: str) -> TrialRecord:
    named = {name.replace("_", "@"): text for name, text in choices.items()}
    return TrialRecord(number, "complete", choices=named, costs={"macs": macs}, objectives={"accuracy": accuracy})


def grid(noise: float = 0.0, seed: int = 0) -> list[TrialRecord]:
    """All networks of three choices: SE gives 0.03 and costs nothing, depth gives 0.1 a decade of MACs alone."""
    draw = random.Random(seed)
    out = []
    for number, (act, attn, depth) in enumerate(itertools.product(("relu", "silu"), ("none", "se"), (1, 2, 4))):
        macs = 1e6 * depth * (1.0 if act == "relu" else 1.001)
        accuracy = 0.5 + 0.1 * (depth / 4) + 0.03 * (attn == "se") + draw.gauss(0, noise)
        out.append(trial(number, accuracy, macs, act=act, attn_stage1=attn, depth=str(depth)))
    return out


def test_pairs_tell_an_effect_exactly():
    """Without noise, twins that differ in one choice alone give its effect exactly, and say they are pairs."""
    (effect,) = choice_effects(grid(), factor="attn")
    assert (effect.factor, effect.level, effect.reference, effect.method) == ("attn@stage1", "se", "none", "pairs")
    assert effect.effect == pytest.approx(0.03)
    assert effect.pairs == 6
    assert effect.ci95 == (pytest.approx(0.03), pytest.approx(0.03))


def test_few_pairs_leave_it_to_the_model():
    """Where fewer than three twins are there, a linear model of all networks answers, and is named."""
    rows = [record for record in grid(0.001) if (record.number % 2 == 0) == (record.choices["attn@stage1"] == "se")]
    (effect,) = choice_effects(rows, factor="attn@stage1")
    assert effect.method == "model"
    assert effect.pairs < 3
    assert effect.ci95[0] < 0.03 < effect.ci95[1]


def test_a_dearer_choice_is_charged_for_its_cost():
    """A choice whose whole gain is what its cost would buy anyway has no effect at equal cost."""
    rows = []
    for number, (wide, order, depth) in enumerate(itertools.product((1, 2), ("a", "b"), (1, 2, 4, 8))):
        decades = math.log10(depth * wide)  # widening does what as much depth would
        accuracy = 0.5 + 0.1 * decades + 0.02 * (order == "b")
        rows.append(trial(number, accuracy, 10 ** (6 + decades), wide=str(wide), order=order))
    assert choice_effects(rows, factor="wide")[0].effect == pytest.approx(0.0, abs=1e-9)
    assert choice_effects(rows, factor="order")[0].effect == pytest.approx(0.02)


def test_intervals_hold_what_they_promise():
    """Over 200 repeats with noise, the 95% interval holds the true effect about 95 times in a hundred."""
    held = 0
    for seed in range(200):
        (effect,) = choice_effects(grid(0.02, seed), factor="attn")
        held += effect.ci95[0] <= 0.03 <= effect.ci95[1]
    assert 180 <= held <= 199


def test_choices_that_one_level_alone_asks_do_not_forbid_a_pair():
    """A ratio that only SE asks for does not keep a network with SE from its twin without."""
    rows = []
    for number, depth in enumerate("1234"):
        rows.append(trial(2 * number, 0.5, 1e6, attn="none", depth=depth))
        rows.append(trial(2 * number + 1, 0.6, 1e6, attn="se", depth=depth, ratio="4" if number % 2 else "8"))
    effect = next(effect for effect in choice_effects(rows) if effect.factor == "attn")
    assert (effect.method, effect.pairs) == ("pairs", 4)
    assert abs(effect.effect) == pytest.approx(0.1)


def test_what_the_trials_cannot_tell_is_not_told():
    """Two choices that always go together have no effects of their own, and no figure is made up."""
    rows = [trial(n, 0.5 + n / 100, 1e6 + n, a=str(n % 2), b=str(n % 2)) for n in range(8)]
    assert {(effect.factor, effect.method, effect.effect) for effect in choice_effects(rows)} == {
        ("a", "none", None),
        ("b", "none", None),
    }


def test_only_complete_trials_count():
    """Failed, running and cached trials change nothing."""
    other = [TrialRecord(100, "failed", choices={"depth": "9"}), TrialRecord(101, "cached", choices={"depth": "7"})]
    assert choice_effects([*grid(), *other]) == choice_effects(grid())


def test_questions_without_an_answer():
    """A factor there is not, one that never differs, and too few trials each end in a sentence."""
    with pytest.raises(StudyError, match=r"unknown factor 'attm'.*did you mean 'attn'"):
        choice_effects(grid(), factor="attm")
    with pytest.raises(StudyError, match="act is the same in all"):
        choice_effects([record for record in grid() if record.choices["act"] == "relu"], factor="act")
    with pytest.raises(StudyError, match="1 complete trials have accuracy and a macs above 0"):
        choice_effects(grid()[:1])


def test_a_choice_that_only_some_are_asked_is_compared_among_them():
    """A ratio that only one order asks for has an effect of its own, and leaves the order its own."""
    rows = []
    for number, (order, ratio, depth) in enumerate(itertools.product(("basic", "narrow"), ("1/4", "1/2"), "1234")):
        choices = {"order": order, "depth": depth} | ({"ratio": ratio} if order == "narrow" else {})
        accuracy = 0.5 + 0.1 * (order == "narrow") + 0.05 * (ratio == "1/2" and order == "narrow")
        rows.append(trial(number, accuracy, 1e6 + number, **choices))
    found = {effect.factor: effect for effect in choice_effects(rows)}
    assert found["ratio"].effect == pytest.approx(-0.05 if found["ratio"].level == "1/4" else 0.05, abs=1e-3)
    assert found["order"].method == "pairs"


def test_more_combinations_than_a_number_holds(monkeypatch):
    """Twins are found however many ways there are to answer all choices."""
    expected = choice_effects(grid(0.01))
    monkeypatch.setattr("explorer.analysis.effects.MAX_COMBINATIONS", 4)
    assert choice_effects(grid(0.01)) == expected
