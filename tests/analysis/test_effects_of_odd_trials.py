"""Effects of trials that are few, constant, extreme, nested, or of a very large space."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence

import pytest

from explorer.analysis.effects import Effect, EffectModel
from explorer.records import TrialRecord

LEVELS = {"order": ("pre", "post", "narrow"), "act": ("relu", "silu"), "base": ("4", "8", "16"), "depth": ("1", "2")}


def record(number: int, choices: Mapping[str, str], cost: float, value: float, state: str = "complete") -> TrialRecord:
    return TrialRecord(number, state, choices=choices, costs={"macs": cost}, objectives={"accuracy": value})


def trials(
    value: Callable[[Mapping[str, str], random.Random], float],
    cost: Callable[[Mapping[str, str], random.Random], float] = lambda choices, draw: cost_of(choices),
    levels: Mapping[str, Sequence[str]] = LEVELS,
    count: int = 60,
) -> list[TrialRecord]:
    draw, out = random.Random(0), []
    for number in range(count):
        choices = {name: draw.choice(texts) for name, texts in levels.items()}
        out.append(record(number, choices, cost(choices, draw), value(choices, draw)))
    return out


def cost_of(choices: Mapping[str, str]) -> float:
    return 1e5 * int(choices["base"]) ** 2 * int(choices["depth"])


def accuracy(choices: Mapping[str, str], draw: random.Random) -> float:
    return 0.5 + 0.05 * math.log2(int(choices["base"])) + draw.gauss(0, 0.03)


def nested() -> list[TrialRecord]:
    """A gate in each of up to three stages, and a ratio where there is a gate."""
    draw, out = random.Random(1), []
    for number in range(60):
        choices = {"depth": draw.choice("123"), "base": draw.choice(("4", "8"))}
        for stage in range(1, int(choices["depth"]) + 1):
            choices[f"attn@stage{stage}"] = draw.choice(("none", "se"))
            if choices[f"attn@stage{stage}"] == "se":
                choices[f"ratio@stage{stage}"] = draw.choice(("4", "8"))
        out.append(record(number, choices, cost_of(choices), accuracy(choices, draw)))
    return out


def usual() -> list[TrialRecord]:
    return trials(accuracy)


BROKEN = (math.nan, math.inf, -math.inf, 1e200)
ODD = {
    "two trials": usual()[:2],
    "two trainings of one network": [record(0, {"act": "relu"}, 1e6, 0.5), record(1, {"act": "relu"}, 1e6, 0.6)],
    "a level of one trial": [*usual(), record(60, {**usual()[0].choices, "order": "rare"}, 6.4e6, 0.6)],
    "values that are not finite": [*usual(), *(record(60 + n, {"act": "x"}, 1e6, v) for n, v in enumerate(BROKEN))],
    "costs that are not finite": [
        *usual(),
        *(record(60 + n, {"act": "x"}, v, 0.5) for n, v in enumerate((0, *BROKEN))),
    ],
    "equal costs": trials(accuracy, lambda choices, draw: 1e6),
    "costs without a pattern": trials(accuracy, lambda choices, draw: draw.uniform(1, 100)),
    "tiny costs": trials(accuracy, lambda choices, draw: 1e-20 * cost_of(choices)),
    "huge values": trials(lambda choices, draw: 1e90 * accuracy(choices, draw)),
    "tiny values": trials(lambda choices, draw: 1e-200 * accuracy(choices, draw)),
    "a large constant": trials(lambda choices, draw: 1e9 + accuracy(choices, draw)),
    "an outlier": [*usual(), record(60, usual()[0].choices, usual()[0].costs["macs"], 1e6)],
    "a level that diverges": trials(lambda c, draw: 0.1 if c["order"] == "narrow" else accuracy(c, draw)),
    "heavy tails": trials(lambda choices, draw: 0.5 + 0.03 * draw.paretovariate(1.1)),
    "a level of its own for each trial": trials(
        accuracy, levels={"id": [str(n) for n in range(10**6)], **LEVELS}, count=25
    ),
    "choices that always change together": [
        record(r.number, {**r.choices, "twin": r.choices["order"]}, r.costs["macs"], r.objectives["accuracy"])
        for r in usual()
    ],
    "nested choices": nested(),
    "few nested choices": nested()[:12],
    "trials that are not complete": [
        *usual(),
        *(record(60 + n, {"act": "x"}, 1e6, 0.1, state) for n, state in enumerate(("failed", "running", "stopped"))),
    ],
}


def answers(effects: list[Effect]):
    for effect in effects:
        yield from filter(None, (effect.paired, effect.equal_cost, effect.frontier))


@pytest.mark.parametrize("name", ODD)
def test_odd_trials_give_answers_within_what_was_observed(name):
    """No trials end in a crash or a warning; each answer is finite, within its interval, and within the observed
    differences; a missing answer has a note."""
    model = EffectModel(ODD[name])
    effects = model.effects()
    found = [*answers(effects), *model.interactions()]
    complete = [r.objectives["accuracy"] for r in ODD[name] if r.state == "complete" and r.costs["macs"] > 0]
    values = [value for value in complete if abs(value) < 1e99]
    most = (max(values) - min(values)) * (1 + 1e-9)
    for answer in found:
        low, high = answer.ci95
        assert -most <= low <= answer.effect <= high <= most
    for effect in effects:
        assert effect.note or (effect.paired and effect.equal_cost and effect.frontier)
    for effect in effects:
        model.curves(effect.factor)


@pytest.mark.parametrize("value", [0.0, 0.7, 1e9])
def test_a_constant_objective_has_no_significant_effect(value):
    """If all networks have the same value, every effect is 0 and none is significant."""
    model = EffectModel(trials(lambda choices, draw: value))
    found = [*answers(model.effects()), *model.interactions()]
    assert found and all(answer.effect == 0 and not answer.significant for answer in found)


def test_a_space_too_large_to_list_has_paired_effects():
    """Of 2^20 networks a sample has hardly any pairs; the effect all else equal is estimated nevertheless."""
    draw = random.Random(3)
    names = [f"c{place}" for place in range(20)]
    records = []
    for number, se in itertools.product(range(40), "01"):
        if se == "0":
            rest = {name: draw.choice("01") for name in names[1:]}
        value = 0.5 + 0.05 * int(se) + 0.02 * int(rest["c1"]) + draw.gauss(0, 0.005)
        records.append(
            record(2 * number + int(se), {"c0": se, **rest}, 1e6 + 1e4 * sum(map(int, rest.values())), value)
        )
    (effect,) = EffectModel(records).effects("c0")
    assert effect.paired is not None and effect.paired.pairs == 40
    assert effect.paired.effect == pytest.approx(0.05, abs=0.01)


def test_notes_count_in_the_singular_too():
    """One pair differs, two pairs differ; one network has a level, two have it."""
    two = [record(0, {"act": "relu"}, 1e6, 0.5), record(1, {"act": "silu"}, 1e6, 0.6)]
    (effect,) = EffectModel(two).effects()
    assert "1 trained pair differs only in act, 3 are needed" in effect.note
    assert "only 1 trained network has silu" in effect.note
