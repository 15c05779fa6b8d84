"""What choices do: all else equal, at equal cost, and on the frontier."""

from __future__ import annotations

import itertools
import json
import math
import random

import numpy as np
import pytest

from explorer.analysis.effects import choice_effects, interactions
from explorer.analysis.effects.equal_cost import common_range, local_linear
from explorer.analysis.effects.significance import significant
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
        accuracy = 0.5 + 0.1 * math.log10(depth) + 0.03 * (attn == "se") + draw.gauss(0, noise)
        out.append(trial(number, accuracy, macs, act=act, attn_stage1=attn, depth=str(depth)))
    return out


ORDERS, BASES = ("a", "b", "c"), (4, 6, 8, 12, 16)


def true_accuracy(order: str, base: int, depth: int, se: str) -> float:
    """Planted: order b gains 4 points, more width gains less and less, depth alone gains nothing, SE nothing."""
    return 0.5 + 0.04 * (order == "b") + 0.1 * math.log2(base / 4) - 0.01 * math.log2(base / 4) ** 2


def macs_of(order: str, base: int, depth: int, se: str) -> float:
    return 1e4 * base**2 * (depth + 0.5) * (1.01 if se == "yes" else 1.0)


def space() -> list[tuple[str, int, int, str]]:
    return list(itertools.product(ORDERS, BASES, (1, 2, 3), ("no", "yes")))


def network(number: int, name: tuple[str, int, int, str], noise: float, draw: random.Random) -> TrialRecord:
    order, base, depth, se = name
    accuracy = true_accuracy(*name) + draw.gauss(0, noise)
    return trial(number, accuracy, macs_of(*name), order=order, base=str(base), depth=str(depth), se=se)


def study(noise: float = 0.0, seed: int = 0) -> list[TrialRecord]:
    """All 90 networks of the planted space."""
    draw = random.Random(seed)
    return [network(number, name, noise, draw) for number, name in enumerate(space())]


def effect_of(records, factor: str, level: str, **options):
    return next(e for e in choice_effects(records, factor=factor, **options) if e.level == level)


def test_all_else_equal_is_the_mean_difference_of_pairs():
    """In a complete grid the paired effect is the mean difference of twins, and the cost ratio their geometric mean."""
    records = grid(0.02)
    effect = effect_of(records, "attn", "se")
    sides = {"none": [], "se": []}
    for record in records:
        sides[record.choices["attn@stage1"]].append(record.objectives["accuracy"])
    assert (effect.factor, effect.reference, effect.trials) == ("attn@stage1", "none", 6)
    assert effect.paired.effect == pytest.approx(np.mean(sides["se"]) - np.mean(sides["none"]), abs=1e-5)
    assert (effect.paired.pairs, effect.paired.cost_ratio) == (6, pytest.approx(1.0))
    deeper = effect_of(records, "depth", "4")
    assert deeper.paired.cost_ratio == pytest.approx(4.0)


def test_a_dearer_choice_gains_all_else_equal_but_not_at_equal_cost():
    """Depth multiplies the cost and gains nothing: at equal cost the shallow networks are wider, and better."""
    effect = effect_of(study(0.002), "depth", "3")
    assert effect.paired.effect == pytest.approx(0.0, abs=0.005)
    assert effect.paired.cost_ratio == pytest.approx(3.5 / 1.5, rel=0.01)
    assert effect.effect < -0.02 and effect.significant
    assert effect.frontier.effect < -0.02 and effect.frontier.significant


def test_a_choice_that_costs_nothing_has_one_effect():
    """The three answers agree on a choice that moves neither the cost nor the other choices."""
    effect = effect_of(study(0.002), "order", "b")
    answers = (effect.paired, effect.equal_cost, effect.frontier)
    assert all(answer.effect == pytest.approx(0.04, abs=0.005) and answer.significant for answer in answers)


def test_without_a_common_range_there_is_no_number_but_a_note():
    """Widths 16 and 4 share no cost, so nothing is extrapolated, and the note names both ranges."""
    effect = effect_of(study(0.01), "base", "16")
    assert (effect.effect, effect.ci95, effect.equal_cost, effect.frontier) == (None, None, None, None)
    assert not effect.significant
    assert "no common range of macs: 4 has 240-566k macs, 16 3.84-9.05M macs" in effect.note
    assert effect.paired.effect == pytest.approx(0.16, abs=0.02)


def test_a_note_names_the_networks_that_would_make_a_common_range():
    """Where the space has networks of like cost, the note says which ones to train."""
    near = [r for r in study(0.01) if r.choices["base"] in ("4", "6")]
    kept = [r for r in near if r.choices["depth"] != {"4": "3", "6": "1"}[r.choices["base"]]]
    effect = effect_of(kept, "base", "6", space=[(dict(r.choices), r.costs["macs"]) for r in near])
    assert effect.equal_cost is None
    assert effect.note == (
        "no common range of macs: 4 has 240-404k macs, 6 0.9-1.27M macs; train 4 and 6 networks of 540-566k macs"
    )


def test_one_network_at_the_edge_makes_no_common_range():
    """A range is common where both levels have three networks within a factor of 1.5."""
    level = np.log10([1.0, 1.1, 1.2, 1.3, 5.0])
    reference = np.log10([4.9, 5.0, 5.1, 5.2])
    assert common_range(reference, level) is None
    low, high = common_range(reference, np.log10([1.0, 4.0, 4.5, 5.0]))
    assert (10**low, 10**high) == (pytest.approx(4.9), pytest.approx(5.0))
    assert common_range(np.zeros(3), np.zeros(3)) == (0.0, 0.0)


def test_a_common_range_has_networks_of_both_levels():
    """Where networks of one level lie close to both ends of a range, but none within it, the range is not common."""
    level, ends, middle = np.log10([1.0] * 3 + [1.8] * 3), np.log10([0.9] * 3 + [2.0] * 3), np.log10([1.4])
    assert common_range(ends, level) is None and common_range(level, ends) is None
    low, high = common_range(np.concatenate([ends, middle]), level)
    assert (10**low, 10**high) == (pytest.approx(1.0), pytest.approx(1.8))


def test_a_curve_through_a_line_is_the_line():
    """The weights of the local-linear curve sum to 1, and those of networks of one cost are equal."""
    cost = np.linspace(5.0, 7.0, 80)
    weights = local_linear(cost, np.array([5.5, 6.5]))
    assert weights.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert weights @ (2 * cost) == pytest.approx([11.0, 13.0], abs=0.02)
    assert local_linear(np.full(4, 6.0), np.array([6.0])) == pytest.approx(np.full((1, 4), 0.25))


def test_no_answer_lies_outside_the_observed_values():
    """However noisy a small study is, no answer and no interval exceeds the largest observed difference."""
    for seed in range(20):
        records = random.Random(seed).sample(study(0.1, seed), 9)
        values = [record.objectives["accuracy"] for record in records]
        most = max(values) - min(values) + 1e-12
        for effect in choice_effects(records):
            for answer in filter(None, (effect.paired, effect.equal_cost, effect.frontier)):
                assert max(map(abs, (answer.effect, *answer.ci95))) <= most
                assert answer.ci95[0] <= answer.effect <= answer.ci95[1]


def crowded(seed: int) -> list[TrialRecord]:
    """A search that takes 45 networks: 10 at random, then those most like the best ones so far."""
    draw = random.Random(seed)
    left = space()
    draw.shuffle(left)
    taken = [left.pop() for _ in range(10)]
    records = [network(number, name, 0.03, draw) for number, name in enumerate(taken)]
    while len(records) < 45:
        ranked = sorted(zip(records, taken), key=lambda pair: -pair[0].objectives["accuracy"])
        best = [name for _, name in ranked[:5]]
        name = min(left, key=lambda each: (min(sum(a != b for a, b in zip(each, top)) for top in best), draw.random()))
        left.remove(name)
        taken.append(name)
        records.append(network(len(records), name, 0.03, draw))
    return records


@pytest.mark.parametrize("sampler", ["random", "crowded"])
def test_intervals_hold_the_planted_effect(sampler):
    """Over 40 studies, drawn at random or by a search that crowds, 95% intervals hold the planted effects of a choice
    that costs nothing, and one without effect is rarely called significant."""
    held, false = [], []
    for seed in range(40):
        records = crowded(seed) if sampler == "crowded" else random.Random(seed).sample(study(0.03, seed), 45)
        for effect in choice_effects(records):
            sign = {("b", "a"): 1, ("b", "c"): 1, ("a", "b"): -1, ("c", "b"): -1}.get(
                (effect.level, effect.reference), 0
            )
            for answer in filter(None, (effect.paired, effect.equal_cost)):
                if effect.factor == "order":
                    held.append(answer.ci95[0] <= 0.04 * sign <= answer.ci95[1])
                if effect.factor == "order" and sign == 0:
                    false.append(answer.significant)
    assert 0.89 <= np.mean(held) <= 0.995
    assert np.mean(false) <= 0.05


def test_the_best_of_noisy_values_is_corrected():
    """A level with many more networks has luckier best ones; the frontier's answer does not credit it with that."""
    found = []
    for seed in range(40):
        draw = random.Random(seed)
        every = [name for name in space() if name[0] in "ac"]
        kept = [name for name in every if name[0] == "a"] + draw.sample([name for name in every if name[0] == "c"], 10)
        records = [network(number, name, 0.05, draw) for number, name in enumerate(kept)]
        if answer := effect_of(records, "order", "c").frontier:
            found.append(answer.effect)
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found)) + 0.005


def test_repeats_are_one_network_with_less_noise():
    """The same network trained with other seeds adds no pair, and makes the intervals narrower."""
    widths = []
    for seed in range(0, 20, 2):
        once = grid(0.02, seed)
        one, both = (effect_of(each, "attn", "se").paired for each in (once, [*once, *grid(0.02, seed + 1)]))
        assert one.pairs == both.pairs == 6
        widths.append([answer.ci95[1] - answer.ci95[0] for answer in (one, both)])
    once_wide, both_wide = np.mean(widths, axis=0)
    assert both_wide < 0.9 * once_wide


def test_only_complete_trials_count():
    """Failed, running and cached trials, and values that are not finite, change nothing."""
    other = [TrialRecord(100, "failed", choices={"depth": "9"}), TrialRecord(101, "cached", choices={"depth": "7"})]
    broken = [trial(102, math.nan, 1e6, depth="8"), trial(103, 0.5, 0.0, depth="6")]
    assert choice_effects([*grid(0.01), *other, *broken]) == choice_effects(grid(0.01))


def test_what_the_trials_cannot_separate_is_not_told():
    """Two choices that always go together have no effects of their own, and the note says so."""
    rows = [trial(n, 0.5 + n / 100, 1e6 + n, a=str(n % 2), b=str(n % 2)) for n in range(8)]
    for effect in choice_effects(rows):
        assert (effect.effect, effect.paired, effect.frontier) == (None, None, None)
        assert f"the trials do not separate {effect.factor} from the other choices" in effect.note


def test_choices_of_one_level_do_not_prevent_a_pair():
    """A network with SE pairs with one without, although only the first has a ratio."""
    rows = []
    for number, depth in enumerate("1234"):
        rows.append(trial(2 * number, 0.5, 1e6, attn="none", depth=depth))
        rows.append(trial(2 * number + 1, 0.6, 1e6, attn="se", depth=depth, ratio="4" if number % 2 else "8"))
    effect = next(effect for effect in choice_effects(rows) if effect.factor == "attn")
    assert effect.paired.pairs == 4
    assert abs(effect.paired.effect) == pytest.approx(0.1, abs=1e-3)


def test_a_conditional_choice_is_compared_where_it_is_active():
    """A ratio that only one order has gets its own effect and does not change the effect of the order."""
    rows = []
    for number, (order, ratio, depth) in enumerate(itertools.product(("basic", "narrow"), ("1/4", "1/2"), "12345")):
        choices = {"order": order, "depth": depth} | ({"ratio": ratio} if order == "narrow" else {})
        accuracy = 0.5 + 0.1 * (order == "narrow") + 0.05 * (ratio == "1/2" and order == "narrow")
        if order == "narrow" or ratio == "1/4":
            rows.append(trial(number, accuracy, 1e6 + number, **choices))
    found = {effect.factor: effect for effect in choice_effects(rows)}
    assert abs(found["ratio"].paired.effect) == pytest.approx(0.05, abs=2e-3)
    assert found["order"].paired.effect == pytest.approx(-0.125, abs=2e-3)  # narrow is the more frequent level


def test_a_smaller_loss_is_better_on_the_frontier():
    """The frontier of a minimised objective holds the smallest values, and signs are those of the objective."""
    records = [
        TrialRecord(
            r.number, "complete", choices=r.choices, costs=r.costs, objectives={"loss": 1 - r.value("accuracy")}
        )
        for r in study(0.002)
    ]
    effect = effect_of(records, "order", "b", objective="loss")
    assert effect.frontier.effect == pytest.approx(-0.04, abs=0.005)
    assert effect.effect == pytest.approx(-0.04, abs=0.005)


def test_interactions_are_found_where_they_are():
    """A choice that gains under one level of another alone is the only significant interaction."""
    draw, rows = random.Random(0), []
    for number, (order, depth, act, se) in enumerate(itertools.product("ab", "123", ("relu", "silu"), ("no", "yes"))):
        for repeat in range(2):
            accuracy = 0.5 + 0.1 * (order == "b" and depth == "3") + draw.gauss(0, 0.01)
            rows.append(trial(2 * number + repeat, accuracy, 1e6, order=order, depth=depth, act=act, se=se))
    sure = {(each.factor, each.other, each.other_level) for each in interactions(rows) if each.significant}
    assert sure == {("order", "depth", "3")}
    (found,) = [each for each in interactions(rows, factor="order") if each.significant]
    assert found.effect == pytest.approx(0.1, abs=0.02)


def test_many_comparisons_are_corrected():
    """Holm's correction: the smallest of three values is held against a third of 5%, the next against a half."""
    assert significant([0.02, 0.001, 0.03]) == [True, True, True]
    assert significant([0.03, 0.001, 0.04]) == [False, True, False]
    assert significant([]) == []


def test_the_same_trials_give_the_same_answers():
    """Answers are deterministic, the draws on the frontier included."""
    assert choice_effects(study(0.03)) == choice_effects(study(0.03))


def test_json_names_the_three_answers():
    """The fields of the JSON form, ``from`` and ``to`` included, are those that scripts read."""
    found = json.loads(json.dumps([effect.to_json() for effect in choice_effects(study(0.02))]))
    effect = next(each for each in found if each["factor"] == "se")
    assert list(effect) == [
        *("factor", "level", "reference", "trials", "effect", "ci95"),
        *("equal_cost", "paired", "frontier", "significant", "note"),
    ]
    assert set(effect["equal_cost"]) >= {"effect", "ci95", "from", "to", "trials", "reference_trials"}
    assert set(effect["paired"]) >= {"effect", "ci95", "pairs", "cost_ratio"}
    assert set(effect["frontier"]) >= {"effect", "ci95", "from", "to"}
    assert (effect["effect"], effect["ci95"]) == (effect["equal_cost"]["effect"], effect["equal_cost"]["ci95"])


def test_questions_without_an_answer():
    """A factor there is not, one that never differs, a cost as objective, and too few trials each end in a sentence."""
    with pytest.raises(StudyError, match=r"unknown factor 'attm'.*did you mean 'attn'"):
        choice_effects(grid(), factor="attm")
    with pytest.raises(StudyError, match="act is the same in all"):
        choice_effects([record for record in grid() if record.choices["act"] == "relu"], factor="act")
    with pytest.raises(StudyError, match="objective and cost are both macs"):
        choice_effects(grid(), "macs", "macs")
    with pytest.raises(StudyError, match="1 complete trial with accuracy and a macs above 0"):
        choice_effects(grid()[:1])
    assert choice_effects([trial(0, 0.5, 1e6, a="1"), trial(1, 0.6, 1e6, a="1")]) == []


def test_more_combinations_than_an_integer_holds(monkeypatch):
    """Pairs are found for any number of possible combinations."""
    expected = choice_effects(grid(0.01))
    monkeypatch.setattr("explorer.analysis.effects.answers.MAX_COMBINATIONS", 4)
    assert choice_effects(grid(0.01)) == expected
