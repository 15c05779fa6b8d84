"""Small space files: a plain residual network in which a test replaces some sections."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from explorer.errors import SpaceError
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block
from explorer.space.choices import Derivation
from explorer.space.grammar import Point
from explorer.space.search_space import SearchSpace, parse_space

PLAIN = {
    "input": "3x16x16",
    "classes": "10",
    "stem": "conv3x3(8) bn relu",
    "stages": "{blocks: 2, width: [8, 16], stride: [1, 2]}",
    "block": "conv3x3 bn relu conv3x3 bn + relu",
    "head": "gap fc",
}


def text(
    grammar: Mapping[str, str] | None = None, vary: Mapping[str, str] | None = None, **sections: str | None
) -> str:
    """Return the plain space's file with sections replaced, added, or (None) left out."""
    lines = [f"{key}: {value}" for key, value in {**PLAIN, **sections}.items() if value is not None]
    for title, entries in (("grammar", grammar), ("vary", vary)):
        if entries is not None:
            lines += [f"{title}:", *(f"  {key}: {value}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def space(
    grammar: Mapping[str, str] | None = None, vary: Mapping[str, str] | None = None, **sections: str | None
) -> SearchSpace:
    return parse_space(text(grammar, vary, **sections))


def only(**sections) -> Architecture:
    """Return the network of a space without choices."""
    made = space(**sections)
    assert made.count() == 1
    return made.architecture(0)


def line(block: Block) -> str:
    return str(block)


def ways(block: Block) -> str:
    """Return the shortcut as a line, ``-`` for none."""
    return "-" if block.shortcut is None else " ".join(map(str, block.shortcut))


def first(arch: Architecture, stage: int = 1) -> Block:
    """Return the block that opens a stage."""
    return arch.stages[stage - 1].blocks[0]


def branch(arch: Architecture, stage: int = 1) -> str:
    return written(first(arch, stage).branch)


def written(ops) -> str:
    return " ".join(map(str, ops))


class Answers(dict):
    """Choices that are made when they are read: the first alternative, unless ``script`` gives another.

    It takes the place of a derivation's choices, so that a network can be derived without the question
    order that counting and ranking rest on. ``options`` remembers what each choice could have been.
    """

    def __init__(self, points: Mapping[str, Point], script: Mapping[str, str]):
        super().__init__()
        self.points = points
        self.script = script
        self.options: dict[str, tuple[str, ...]] = {}

    def __missing__(self, name: str) -> str:
        options = self.options[name] = self.points[name.split("@")[0]].options
        self[name] = self.script.get(name, options[0])
        return self[name]


def by_trying(space: SearchSpace) -> Iterator[dict[str, str]]:
    """Return all derivations of a small space as mappings, found by deriving networks and varying each choice they
    read: an enumeration that does not use counting."""
    points = {point.name: point for point in space.points}
    pending: list[dict[str, str]] = [{}]
    while pending:
        script = pending.pop()
        answers = Answers(points, script)
        space.deriver.derive(answers)
        assert set(script) <= set(answers)
        yield dict(answers)
        # Only choices read after the script's own answers may still vary.
        fresh = [name for name in answers if name not in script]
        for place, name in enumerate(fresh):
            kept = {**script, **{earlier: answers[earlier] for earlier in fresh[:place]}}
            pending.extend({**kept, name: option} for option in answers.options[name][1:])


def agrees_with_trying(space: SearchSpace) -> int:
    """Check counting, ranking and iteration against ``by_trying``, and return the number of derivations."""
    tried = {frozenset(choices.items()) for choices in by_trying(space)}
    ranked = [space.unrank(index) for index in range(space.count())]
    assert {frozenset(derivation.choices.items()) for derivation in ranked} == tried
    assert len(tried) == len(ranked)
    assert [space.rank(derivation) for derivation in ranked] == list(range(len(ranked)))
    return len(ranked)


FORKS = (
    "sum({} conv1x1, {} conv1x1)",
    "cat({}, {}) conv1x1",
    "split({}, {}) conv1x1(2*c)",
    "product({} conv1x1(c), gap conv1x1(c) sigmoid, {} conv1x1(1) sigmoid)",
    "tap(a) {} cat(from(a) conv1x1(w/2) tap(b), {}) sum(identity, from(b) conv1x1(c)) conv1x1",
)


class RandomSpaces:
    """Random space files made from few parts, small enough to be enumerated."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def layers(self, depth: int, rules: list[str]) -> str:
        pick = self.random.random()
        if depth == 0 or pick < 0.3:
            return self.random.choice(["relu", "bn", "none", "se(r=ratio)", "conv1x1(w*wide)", "conv3x3(d=far)"])
        if pick < 0.6 and rules:
            return self.random.choice(rules)
        inner = self.layers(depth - 1, rules)
        if pick < 0.7:
            return f"({inner})?" if inner != "none" else "silu?"
        if pick < 0.78:
            return f"({inner}){{1,2}}"
        if pick < 0.86:
            other = self.layers(depth - 1, rules)
            return f"({inner} | {other})" if other != inner else inner
        if pick < 0.92:
            return self.random.choice(FORKS).format(inner, self.layers(depth - 1, rules))
        return f"{inner} {self.layers(depth - 1, rules)}"

    def placed(self, rules: list[str], blocks: int) -> str:
        """Return layers that differ between blocks or stages, for stages of at most ``blocks`` blocks."""
        by_block = f"by_block({', '.join(self.layers(1, rules) for _ in range(blocks))})"
        other = self.layers(1, rules)
        return self.random.choice([by_block, f"by_stage({by_block}, {other})", f"by_stage({other}, conv3x3(4*j))"])

    def text(self) -> str:
        """Return one file, which may be rejected (two equal alternatives, for instance)."""
        draw = self.random
        rules: dict[str, str] = {"ratio": "2 | 4", "wide": "1 | 1/2", "far": "1 | 2", "depth": "1 | 2"}
        structural: list[str] = []
        for number in range(draw.randint(1, 4)):
            options = [self.layers(2, structural) for _ in range(draw.randint(1, 3))]
            rules[f"r{number}"] = " | ".join(dict.fromkeys(options))
            structural.append(f"r{number}")
        scopes = ["network", "stage", "block", "use"]
        vary = {name: draw.choice(scopes) for name in rules if draw.random() < 0.6}
        if draw.random() < 0.4:
            vary["block"] = draw.choice(scopes)
        blocks, placed = draw.choice(["1", "depth", "depth"]), ""
        if draw.random() < 0.4:
            rules["p0"] = self.placed(structural, 2 if blocks == "depth" else 1)
            if draw.random() < 0.5:
                rules["p0"] += " | silu"
                vary |= {"p0": draw.choice(scopes)}
            placed = "p0"
        inside = [*structural, placed] if placed else structural  # in blocks and in the paths of their forks
        block = f"{self.layers(1, inside)} conv3x3 bn {placed} {self.layers(2, inside)} conv3x3 + relu"
        if draw.random() < 0.3:
            second = f"{self.layers(1, inside)} conv1x1(w*wide) {placed} conv1x1 + {self.layers(0, structural)}"
            block += draw.choice([f"; {second}", f"; ({second} ;)?", f"; ({second} ;){{1,2}}"])
        sections: dict[str, str] = {
            "block": block,
            "stages": f"{{blocks: {blocks}, width: [4, {draw.choice(['4', '8', '4*j', '2*j + 2*m'])}]}}",
            "stem": f"conv3x3({draw.choice(['4', '8'])}) {self.layers(0, structural)}",
            "head": f"{self.layers(1, structural)} gap fc" if draw.random() < 0.3 else "gap fc",
            "input": "3x8x8",
        }
        if draw.random() < 0.3:
            sections["transition"] = draw.choice([f"conv1x1 {self.layers(1, structural)}", "none | conv2x2", "bn?"])
            sections["stages"] = sections["stages"][:-1] + ", stride: [1, 2]}"
        if draw.random() < 0.6:
            same = draw.choice(
                ["none", "none | scale(0.5)", "r0", f"(bn {self.layers(1, structural)})?", "conv1x1(d=far)"]
            )
            changed = draw.choice(["conv1x1 bn", "conv1x1 bn? | conv3x3", "r0 conv1x1"])
            sections["shortcut"] = f"{{same: {same!r}, changed: {changed!r}}}"
            if draw.random() < 0.3:
                sections["shortcut"] = sections["shortcut"][:-1] + ", r0: {same: scale(2)}}"
        return text(grammar=rules, vary=vary, **sections)


def random_space(seed: int, largest: int) -> SearchSpace | None:
    """Return a small random space, or None if the file is rejected or has more than ``largest`` derivations."""
    try:
        made = parse_space(RandomSpaces(seed).text())
    except SpaceError:
        return None
    return made if made.count() <= largest else None


def same(derivation: Derivation, choices: Mapping[str, str]) -> bool:
    return dict(derivation.choices) == dict(choices)
