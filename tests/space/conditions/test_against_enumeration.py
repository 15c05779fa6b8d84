"""Counts, ranks and samples of spaces with conditions agree with an enumeration that is filtered in plain Python."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.errors import SpaceError
from explorer.space.count import constrained, decisions
from explorer.space.search_space import parse_space
from tests.space.spaces import text

OPTIONS = {
    "wide": ["8", "16"],
    "depth": ["1", "2"],
    "act": ["relu", "silu"],
    "attn": ["none", "se(r=q)", "eca"],
    "q": ["2", "4"],
    "dil": ["1", "2"],
}
NUMBERS = ("wide", "depth", "q", "dil")
OF_STAGES = ("wide", "depth")
BLOCKS = (
    "conv3x3(d=dil) bn act conv3x3 bn attn + relu",
    "sum(conv3x3(d=dil) act, conv1x1) product(identity, gap attn conv1x1(c) sigmoid) conv3x3 + relu",
    "conv3x3(d=dil) act conv3x3 + ; conv1x1 attn conv1x1 +",
    "conv3x3 by_block(act, attn) conv3x3(d=dil) by_block(attn, act) + relu",
    "conv3x3 cat(conv3x3(d=dil) by_block(act, silu), identity) conv3x3 +"
    " ; (tap(a) conv1x1 attn sum(identity, from(a)) + ;){1,2}",
)
UNITS = re.compile(r"@(stage\d\.block\d)$")
LARGEST = 1_500


class Case:
    """A random space, and one random condition as a text and as a tree."""

    def __init__(self, seed: int):
        self.draw = draw = random.Random(seed)
        scopes = ("network", "stage", "block")
        self.scopes = {name: draw.choice(scopes[:2] if name in OF_STAGES else scopes) for name in OPTIONS}
        self.in_stem, self.in_head, self.between = (draw.random() < 0.3 for _ in range(3))
        self.text = text(
            {name: " | ".join(options) for name, options in OPTIONS.items()},
            {name: scope for name, scope in self.scopes.items() if scope != "network"} or None,
            stem="conv3x3(8) act" if self.in_stem else "conv3x3(8)",
            stages="{blocks: depth, width: wide, stride: [1, 2]}",
            block=json.dumps(draw.choice(BLOCKS)),
            head="attn gap fc" if self.in_head else "gap fc",
            transition="conv1x1 act" if self.between else None,
            shortcut="{same: none | scale(0.5)}" if draw.random() < 0.3 else None,  # then states contain shapes
        )
        self.within = draw.choice(["stage1", "stage2"])  # where a name stands for any block
        self.condition, self.tree = self.truth(2)

    def name(self, among=tuple(OPTIONS)) -> tuple[str, str]:
        name, at = self.draw.choice(among), ""
        if self.scopes[name] != "network" and self.draw.random() < 0.4:
            at = self.draw.choice(["stage1", "stage2"])
            if self.scopes[name] == "block":
                at = self.draw.choice([self.within, f"{at}.block{self.draw.choice('12')}"])
        return name, at

    def truth(self, depth: int):
        draw, pick = self.draw, self.draw.random()
        if depth and pick < 0.6:
            word = draw.choice(["and", "or", "implies", "not"])
            left, a = self.truth(depth - 1)
            if word == "not":
                return f"not ({left})", ("not", a)
            right, b = self.truth(depth - 1)
            return f"({left}) {word} ({right})", (word, a, b)
        if pick < 0.75:
            names = [self.name(NUMBERS) for _ in range(draw.randint(1, 3))]
            operator, relation = draw.choice("+*-"), draw.choice(["==", "!=", "<", "<=", ">", ">=", "divides"])
            bound = draw.choice([1, 2, 3, 4, 8, 16, 24, 32])
            written = f" {operator} ".join(map(_spelled, names))
            return f"{written} {relation} {bound}", ("number", names, operator, relation, bound)
        if pick < 0.85:
            name = draw.choice(["act", "attn"])
            left, right = self.name((name,)), self.name((name,))
            if right[1] or self.scopes[name] != "network":
                return f"{_spelled(left)} == {_spelled(right)}", ("same", left, right)
        name = self.name(("act", "attn"))
        option = draw.choice([*OPTIONS[name[0]], *(["se"] if name[0] == "attn" else [])])
        return f"{_spelled(name)} != {option}", ("is not", name, option)

    # The meaning of the condition, from the page of the language

    def holds(self, choices: Mapping[str, str]) -> bool:
        return all(
            self.true(tree, wanted, unit, choices)
            for tree, wanted in _joined_by_and(self.tree, True)
            for unit in self.units(tree, choices)
        )

    def units(self, tree, choices: Mapping[str, str]) -> Iterator[str]:
        names = list(_names(tree))
        bare = [name for name, at in names if not at or self.any_block(name, at)]
        within = {at for name, at in names if self.any_block(name, at)}
        levels = {self.scopes[name] for name in bare}
        if levels <= {"network"}:
            return iter([""])
        every = [] if "block" not in levels else list(dict.fromkeys(u[1] for c in choices if (u := UNITS.search(c))))
        every = [u for u in every if any(f"{name}@{u}" in choices for name in bare if self.scopes[name] == "block")]
        if "block" not in levels:
            every = ["stage1", "stage2"]
        elif self.between and set(bare) <= {"act", *OF_STAGES}.union(n for n in bare if self.scopes[n] != "block"):
            every.append("stage2.transition")
        every += ["stem"] * (self.in_stem and set(bare) <= {"act"})
        every += ["head"] * (self.in_head and set(bare) <= {"attn", "q"})
        return (unit for unit in every if within <= {unit.split(".")[0]})

    def any_block(self, name: str, at: str) -> bool:
        return self.scopes[name] == "block" and at in ("stage1", "stage2")

    def read(self, named: tuple[str, str], unit: str, choices: Mapping[str, str]) -> str | None:
        name, at = named
        place = unit if not at or self.any_block(name, at) else at
        if self.scopes[name] == "network":
            return choices.get(name)
        return choices.get(f"{name}@{place if self.scopes[name] == 'block' else place.split('.')[0]}")

    def true(self, tree, wanted: bool, unit: str, choices: Mapping[str, str]) -> bool:
        """Whether a tree is as ``wanted``; a comparison about an absent choice is."""
        if tree[0] == "not":
            return self.true(tree[1], not wanted, unit, choices)
        if tree[0] in ("and", "or", "implies"):
            left = self.true(tree[1], wanted != (tree[0] == "implies"), unit, choices)
            right = self.true(tree[2], wanted, unit, choices)
            return left and right if (tree[0] == "and") == wanted else left or right
        found = [self.read(named, unit, choices) for named in _names(tree)]
        if None in found:
            return True
        if tree[0] == "same":
            return (found[0] == found[1]) == wanted
        if tree[0] == "is not":
            return (found[0] != tree[2] and found[0].split("(")[0] != tree[2]) == wanted
        _, _, operator, relation, bound = tree
        value = eval(operator.join(found))
        if relation == "divides":
            return (value != 0 and bound % value == 0) == wanted
        return eval(f"{value} {relation} {bound}") == wanted


def _spelled(named: tuple[str, str]) -> str:
    return f"{named[0]}@{named[1]}" if named[1] else named[0]


def _names(tree) -> Iterator[tuple[str, str]]:
    if tree[0] == "number":
        yield from tree[1]
    elif tree[0] in ("same", "is not"):
        yield from tree[1 : 3 if tree[0] == "same" else 2]
    else:
        for part in tree[1:]:
            yield from _names(part)


def _joined_by_and(tree, wanted: bool):
    """Yield the parts of a condition that each must be as wanted."""
    if tree[0] == "not":
        yield from _joined_by_and(tree[1], not wanted)
    elif tree[0] in ("and", "or", "implies") and (tree[0] == "and") == wanted:
        yield from _joined_by_and(tree[1], wanted != (tree[0] == "implies"))
        yield from _joined_by_and(tree[2], wanted)
    else:
        yield tree, wanted


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9))
def test_a_space_with_a_condition_has_exactly_the_networks_that_satisfy_it(seed):
    """Count, order, ranks, membership and samples are those of the filtered enumeration, for random conditions."""
    case = Case(seed)
    free = parse_space(case.text)
    if free.count() > LARGEST:
        return
    expected = [derivation for derivation in free if case.holds(derivation.choices)]
    where = f'where: ["{case.condition}"]\n'
    if not expected:
        with pytest.raises(Exception, match="no network satisfies the condition"):
            parse_space(case.text + where)
        return
    made = parse_space(case.text + where)
    assert list(made) == expected
    assert [made.rank(derivation) for derivation in expected] == list(range(len(expected)))
    kept = set(expected)
    assert all((derivation in made) == (derivation in kept) for derivation in free)
    assert set(made.sample(20, seed=seed)) <= kept
    with pytest.MonkeyPatch.context() as patch:  # as if counting took long
        patch.setattr(decisions, "QUICK_WORK", -1)
        patch.setattr(constrained, "QUICK_WORK", -1)
        estimated = parse_space(case.text + where)
        assert set(estimated.sample(20, seed=seed)) <= kept
        assert not estimated.size.is_exact or estimated.size.derivations == len(expected)


def test_samples_are_uniform():
    """Each network that satisfies the conditions is drawn equally often: chi-squared is below its 0.999 quantile."""
    made = parse_space(
        text(
            {"wide": "8 | 16 | 24", "act": "relu | silu", "attn": "none | se(r=q)", "q": "2 | 4"},
            {"wide": "stage", "attn": "stage"},
            stages="{blocks: 1, width: wide, stride: [1, 2]}",
            block="conv3x3 bn act attn + relu",
        )
        + "where: [wide@stage2 >= wide@stage1, not (attn == se and act == silu)]\n"
    )
    assert made.count() == 6 * (1 + 7)  # pairs of widths; silu without SE, relu with 1 + 3*2 attentions
    drawn = Counter(made.rank(derivation) for derivation in made.sample(100 * made.count(), seed=1))
    assert sum((drawn[index] - 100) ** 2 / 100 for index in range(made.count())) < 82.7  # 47 degrees of freedom


def test_conditions_know_places_units_and_paths():
    """Numbers by stage and the number of blocks of a stage are known to conditions, and choices in paths, later units
    and entries of by_block are conditions' choices as any other."""
    lines = text(
        {
            "depth": "1 | 2",
            "exp": "by_stage(1, wide)",
            "wide": "1 | 2",
            "grp": "1 | 2",
            "k": "conv1x1 | conv5x5",
            "act": "relu | silu",
        },
        {"act": "block", "k": "stage"},
        stages="{blocks: [2, depth], width: [8, 16]}",
        block='"conv3x3(w*exp) act sum(conv3x3(g=grp), conv1x1 by_block(identity, k)) + ; conv1x1 act +"',
    )
    conditions = "exp@stage2 >= grp, k@stage2 == conv1x1 implies act@stage2 == relu, m@stage2 == 2 or wide == 1"

    def holds(choices: Mapping[str, str]) -> bool:
        acts = [choices.get(f"act@stage2.block{number}", "relu") for number in (1, 2)]
        return (
            choices.get("wide", "0") >= choices["grp"]
            and (choices.get("k@stage2") != "conv1x1" or acts == ["relu", "relu"])
            and (choices["depth"] == "2" or choices["wide"] == "1")
        )

    made = parse_space(f"{lines}where: [{conditions}]\n")
    assert list(made) == [derivation for derivation in parse_space(lines) if holds(derivation.choices)]


@pytest.mark.parametrize(
    ("stages", "condition", "message"),
    [
        ("{blocks: 2, width: 8, stride: [1, 2x1]}", "s@stage2 == 2", "'s' depends on '2x1', which a condition does"),
        ('{blocks: 1, width: [8, "by_stage(8, (16 | 24))"]}', "stages.width.1 == 16", None),
        ('{blocks: 2, width: [8, "by_block(8, (16 | 24))"]}', "w@stage2.block2 == 16 and w@stage1 == 8", None),
        ('{blocks: 2, width: [8, "by_block(8, (16 | 24), ...)"]}', "w@stage2 <= 16", None),
    ],
)
def test_numbers_of_stages_and_sizes_in_conditions(stages, condition, message):
    """A condition can name a number that differs between stages or blocks; a size is an error that says so."""
    lines = f"{text(stages=stages)}where: [{condition}]\n"
    if message is None:
        assert parse_space(lines).count() == 1
    else:
        with pytest.raises(SpaceError, match=message):
            parse_space(lines)
