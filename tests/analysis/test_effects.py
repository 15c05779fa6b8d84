"""The effect of a choice at equal cost."""

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
    """Return all networks of three choices: SE adds 0.03 at no cost, and depth adds 0.1 per decade of MACs."""
    draw = random.Random(seed)
    out = []
    for number, (act, attn, depth) in enumerate(itertools.product(("relu", "silu"), ("none", "se"), (1, 2, 4))):
        macs = 1e6 * depth * (1.0 if act == "relu" else 1.001)
        accuracy = 0.5 + 0.1 * (depth / 4) + 0.03 * (attn == "se") + draw.gauss(0, noise)
        out.append(trial(number, accuracy, macs, act=act, attn_stage1=attn, depth=str(depth)))
    return out


def test_pairs_give_the_exact_effect():
    """Without noise, pairs that differ only in one choice give its exact effect, and the source is "pairs"."""
    (effect,) = choice_effects(grid(), factor="attn")
    assert (effect.factor, effect.level, effect.reference, effect.method) == ("attn@stage1", "se", "none", "pairs")
    assert effect.effect == pytest.approx(0.03)
    assert effect.pairs == 6
    assert effect.ci95 == (pytest.approx(0.03), pytest.approx(0.03))


def test_with_few_pairs_the_model_is_used():
    """With fewer than three pairs, a linear model of all networks gives the effect, and is named."""
    rows = [record for record in grid(0.001) if (record.number % 2 == 0) == (record.choices["attn@stage1"] == "se")]
    (effect,) = choice_effects(rows, factor="attn@stage1")
    assert effect.method == "model"
    assert effect.pairs < 3
    assert effect.ci95[0] < 0.03 < effect.ci95[1]


def test_an_expensive_choice_is_corrected_for_its_cost():
    """A choice whose gain is only that of its cost has no effect at equal cost."""
    rows = []
    for number, (wide, order, depth) in enumerate(itertools.product((1, 2), ("a", "b"), (1, 2, 4, 8))):
        decades = math.log10(depth * wide)  # widening has the effect of the same cost in depth
        accuracy = 0.5 + 0.1 * decades + 0.02 * (order == "b")
        rows.append(trial(number, accuracy, 10 ** (6 + decades), wide=str(wide), order=order))
    assert choice_effects(rows, factor="wide")[0].effect == pytest.approx(0.0, abs=1e-9)
    assert choice_effects(rows, factor="order")[0].effect == pytest.approx(0.02)


def test_confidence_intervals_have_their_coverage():
    """In 200 noisy repetitions, the 95% interval contains the true effect about 95% of the time."""
    held = 0
    for seed in range(200):
        (effect,) = choice_effects(grid(0.02, seed), factor="attn")
        held += effect.ci95[0] <= 0.03 <= effect.ci95[1]
    assert 180 <= held <= 199


def test_choices_of_one_level_do_not_prevent_a_pair():
    """A network with SE pairs with one without, although only the first has a ratio."""
    rows = []
    for number, depth in enumerate("1234"):
        rows.append(trial(2 * number, 0.5, 1e6, attn="none", depth=depth))
        rows.append(trial(2 * number + 1, 0.6, 1e6, attn="se", depth=depth, ratio="4" if number % 2 else "8"))
    effect = next(effect for effect in choice_effects(rows) if effect.factor == "attn")
    assert (effect.method, effect.pairs) == ("pairs", 4)
    assert abs(effect.effect) == pytest.approx(0.1)


def test_confounded_effects_are_not_reported():
    """Two choices that always change together have no separate effects."""
    rows = [trial(n, 0.5 + n / 100, 1e6 + n, a=str(n % 2), b=str(n % 2)) for n in range(8)]
    assert {(effect.factor, effect.method, effect.effect) for effect in choice_effects(rows)} == {
        ("a", "none", None),
        ("b", "none", None),
    }


def test_only_complete_trials_count():
    """Failed, running and cached trials do not change the effects."""
    other = [TrialRecord(100, "failed", choices={"depth": "9"}), TrialRecord(101, "cached", choices={"depth": "7"})]
    assert choice_effects([*grid(), *other]) == choice_effects(grid())


def test_invalid_questions():
    """An unknown factor, a constant factor, and too few trials each give a sentence."""
    with pytest.raises(StudyError, match=r"unknown factor 'attm'.*did you mean 'attn'"):
        choice_effects(grid(), factor="attm")
    with pytest.raises(StudyError, match="act is the same in all"):
        choice_effects([record for record in grid() if record.choices["act"] == "relu"], factor="act")
    with pytest.raises(StudyError, match="1 complete trials have accuracy and a macs above 0"):
        choice_effects(grid()[:1])


def test_a_conditional_choice_is_compared_where_it_is_active():
    """A ratio that only one order has gets its own effect and does not change the effect of the order."""
    rows = []
    for number, (order, ratio, depth) in enumerate(itertools.product(("basic", "narrow"), ("1/4", "1/2"), "1234")):
        choices = {"order": order, "depth": depth} | ({"ratio": ratio} if order == "narrow" else {})
        accuracy = 0.5 + 0.1 * (order == "narrow") + 0.05 * (ratio == "1/2" and order == "narrow")
        rows.append(trial(number, accuracy, 1e6 + number, **choices))
    found = {effect.factor: effect for effect in choice_effects(rows)}
    assert found["ratio"].effect == pytest.approx(-0.05 if found["ratio"].level == "1/4" else 0.05, abs=1e-3)
    assert found["order"].method == "pairs"


def test_more_combinations_than_an_integer_holds(monkeypatch):
    """Pairs are found for any number of possible combinations."""
    expected = choice_effects(grid(0.01))
    monkeypatch.setattr("explorer.analysis.effects.MAX_COMBINATIONS", 4)
    assert choice_effects(grid(0.01)) == expected
