"""Curves of the objective over cost, and effects of one choice under the levels of another."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from explorer.analysis.effects import EffectModel
from explorer.analysis.effects.contrast import Contrasts
from explorer.records import TrialRecord


@pytest.fixture(scope="module")
def records() -> list[TrialRecord]:
    """All of two orders, three depths, two attentions, two activations; order and attention interact."""
    out = []
    answers = itertools.product(("post", "pre"), (1, 2, 3), ("none", "se"), ("relu", "silu"))
    for n, (order, depth, attn, act) in enumerate(answers):
        macs = 1e6 * depth * (1.3 if attn == "se" else 1.0) * (1.1 if act == "silu" else 1.0)
        value = 0.5 + 0.2 * math.log10(macs / 1e6) + 0.03 * (order == "pre") * (1 + (attn == "se"))
        value += 0.003 * math.sin(11.0 * n)
        choices = {"order": order, "depth": str(depth), "attn": attn, "act": act}
        out.append(TrialRecord(n, "complete", choices=choices, costs={"macs": macs}, objectives={"accuracy": value}))
    return out


@pytest.fixture(scope="module")
def model(records) -> EffectModel:
    return EffectModel(records)


def test_the_effect_at_equal_cost_is_the_distance_of_the_curves(model):
    """The mean difference of two curves over the range that was compared is the effect at equal cost."""
    (effect,) = model.effects("order")
    post, pre = (dict(curve.curve) for curve in model.curves("order"))
    decades = np.log10([effect.equal_cost.low, effect.equal_cost.high])
    at = np.linspace(*decades, 200)
    before, after = (np.interp(at, np.log10(list(curve)), list(curve.values())) for curve in (post, pre))
    assert float(np.mean(after - before)) == pytest.approx(effect.equal_cost.effect, abs=5e-4)


def test_a_curve_has_a_gap_where_no_networks_are():
    """Between two groups of costs that are far apart a curve is interrupted."""
    far = []
    for n in range(16):
        choices = {"order": "ab"[n % 2], "act": str(n // 2 % 4), "depth": str(n // 8)}
        costs = {"macs": (1e6 if n < 8 else 1e8) * (1 + n / 100)}
        far.append(TrialRecord(n, "complete", choices=choices, objectives={"accuracy": 0.5 + n / 100}, costs=costs))
    curve = EffectModel(far).curves("order")[0]
    told = [mean is not None for _, mean in curve.curve]
    assert told[0] and told[-1] and not all(told)


def test_the_frontier_of_a_level_is_its_best_under_each_budget(records):
    """The steps of a level are its networks that are better than all cheaper ones; the other way round if less is
    better."""
    for maximised, better in ((True, max), (False, min)):
        for curve in EffectModel(records, maximised=maximised).curves("order"):
            best = itertools.accumulate(curve.values, better)
            expected = {
                (cost, value) for cost, value, so_far in zip(curve.costs, curve.values, best) if value == so_far
            }
            assert set(curve.frontier) == expected


def test_effects_under_two_levels_differ_by_their_interaction(model):
    """The effect under one level minus that under another is the interaction of the two choices."""
    under = {each.other_level: each.effect for each in model.conditional_effects("order", "attn")}
    (found,) = [each for each in model.interactions() if {each.factor, each.other} == {"order", "attn"}]
    assert under["se"] - under["none"] == pytest.approx(found.effect, abs=2e-3)
    assert under["none"] == pytest.approx(0.03, abs=0.01)
    assert under["se"] == pytest.approx(0.06, abs=0.01)


def test_a_level_without_networks_has_no_effect_under_another():
    """Where a pair of levels was not trained at least twice, there is no number."""
    rows = [
        TrialRecord(n, "complete", choices={"order": order, "attn": attn, "act": act}, costs={"macs": 1e6 + n},
                    objectives={"accuracy": 0.5 + n / 100})
        for n, (order, attn, act) in enumerate(itertools.product("ab", "xy", "pqr"))
        if not (order == "b" and attn == "y")
    ]  # fmt: skip
    found = EffectModel(rows).conditional_effects("order", "attn")
    assert {(each.other_level, each.effect is None) for each in found} == {("x", False), ("y", True)}


def test_one_fit_answers_all_questions(records, monkeypatch):
    """The model is fitted once for effects, curves, interactions and effects under each level of another choice."""
    fits = []

    def counted(*given):
        fits.append(given)
        return Contrasts(*given)

    monkeypatch.setattr("explorer.analysis.effects.effect_model.Contrasts", counted)
    model = EffectModel(records)
    assert not fits
    assert model.effects() and model.curves("order") and model.interactions()
    assert model.conditional_effects("order", "attn")
    assert len(fits) == 1
