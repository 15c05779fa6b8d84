"""Inputs from hypothesis, read one after the other. Run as a program (``python -m tests.space.fuzz INPUTS``), it prints
the outcomes as JSON, or hypothesis's report of the smallest input that fails the check.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from explorer.errors import SpaceError
from explorer.networks.ops import registry
from explorer.space.search_space import parse_space
from explorer.space.shipped import shipped_spaces
from tests.space.hostile import peak_mb
from tests.space.spaces import RandomSpaces, text

VALID = [path.read_text() for name, path in sorted(shipped_spaces().items()) if "published" not in name] + [
    text(),
    text(
        {"attn": "none | se(r=q)", "q": "2 | 4", "depth": "range(1, 3, 1)", "wide": "1/2 | 1"},
        {"attn": "stage", "depth": "stage"},
        block="(bn relu)? conv1x1(w*wide) conv3x3{1,2} attn gate(b=-6)",
        stages="[{blocks: depth, width: 8}, {blocks: 1, width: 16, stride: 2, first: conv5x5 +}]",
        shortcut="{same: none | scale(0.5), changed: avgpool conv1x1 bn, from: preact}",
        transition="conv1x1(in) bn",
        stem="conv3x3(8) post",
        head="pre gap fc",
        limits="{params: <= 2M}",
    ),
    text(
        {"dil": "by_stage(1, by_block(1, 2))", "act": "relu | silu"},
        {"act": "block"},
        block="conv3x3(d=dil) act + ; conv1x1(max(8, w//2)) act conv1x1 +",
        transition="none | conv2x2",
    ),
    text(block="bn relu conv3x3 cat", shortcut="{changed: avgpool}"),
    text(
        {"k": "conv3x3 | conv5x5"},
        block='"sum(k bn, conv1x1? bn) tap(a) relu cat(from(a), split(identity, bn)) conv1x1(c/2) +"',
    ),
]
SEEDS = st.integers(0, 10**9)
WORDS = """
conv3x3 dwconv5x5 conv1x1 maxpool3x3 avgpool avgpool2x2 none identity post pre cat gate round range
by_block by_stage max floor log2
w in s d i n j m act attn block r0 0 1 2 1/2 0.5 16 1e-3 99999 -1
( ) { } | ? + - * / ** // ; = , : [ ] ' " # & * ! % @ ` ~ << --- ... \\ é
conv3x3(16) conv3x3(w*2,s=s) se(r=4) se(act=silu) {1,2} {0} {3,1} droppath(0.2*i/n) range(1,3,1)
by_block(1,2) by_stage(relu,silu)
input: classes: stem: stages: block: shortcut: head: grammar: vary: limits: transition: same: changed: from:
sum( product( split( cat( part(2,4) tap(a) from(a) c sum(conv3x3,identity)
blocks: width: stride: dilation: first: network stage use true no 0x1f 010 null 3x32x32
"""
PIECES = [*sorted(registry.by_spelling), *WORDS.split(), "\n", "\n  ", "\t", "\x85", "\u2028"]


class Outcomes:
    """The outcomes of the inputs so far; ``slowest`` is in CPU seconds."""

    def __init__(self) -> None:
        self.inputs = self.spaces = 0
        self.slowest, self.slowest_input = 0.0, ""

    def check_input(self, data: str | bytes) -> None:
        """Check that the text gives a consistent space, or a SpaceError in which every line has a position."""
        start = time.process_time()
        self.inputs += 1
        try:
            space = parse_space(data, "h.yaml")
        except SpaceError as error:
            assert error.problems
            assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in error.problems)
        else:
            self.spaces += 1
            assert space.text == (data if isinstance(data, str) else data.decode("utf-8-sig"))
            self.check_consistency(space)
        seconds = time.process_time() - start
        if seconds > self.slowest:
            self.slowest, self.slowest_input = seconds, repr(data)[:2_000]

    def check_consistency(self, space) -> None:
        if self.spaces % 4 == 0:  # the same text gives the same space; a quarter, to save time
            again = parse_space(space.text, "h.yaml")
            assert (again.digest, again.size) == (space.digest, space.size)
        last = [space.unrank(space.indices - 1)] if space.is_counted and space.indices else []
        for derivation in (*last, *space.sample(3)):
            assert space.unrank(space.rank(derivation)) == derivation
            try:
                space.architecture(derivation)
            except SpaceError:
                assert space.validated == "sampled"  # only then may a derivation still fail


def mutated(valid: str, mutations: list[tuple[int, int, str, int]]) -> str:
    """Return a file with parts inserted, removed, duplicated, replaced or swapped."""
    for where, length, piece, kind in mutations:
        at = where % (len(valid) + 1)
        end = min(len(valid), at + length % 12)
        words = re.findall(r"\s+|\w+|.", valid) if kind > 2 else []
        if kind == 0:
            valid = valid[:at] + piece + valid[at:]
        elif kind == 1:
            valid = valid[:at] + valid[end:]
        elif kind == 2:
            valid = valid[:at] + valid[at:end] * 2 + valid[end:]
        elif kind == 3 and words:
            words[where % len(words)] = piece
            valid = "".join(words)
        elif words:
            a, b = where % len(words), length % len(words)
            words[a], words[b] = words[b], words[a]
            valid = "".join(words)
    return valid


def random_words(pieces: list[str], section: str) -> str:
    """Return the language's words in random order, as one section, as a rule, or as the whole file."""
    words = " ".join(pieces)
    if section == "file":
        return words
    if section == "grammar":
        return text({"act": words, "r0": "act"}, block="conv3x3 r0 +") + "vary: " + words
    return text({"act": "relu | silu", "r0": "1 | 2"}, **{section: words})


SECTIONS = ["block", "stem", "head", "transition", "stages", "shortcut", "input", "grammar", "file"]
WORD_LISTS = st.lists(st.sampled_from(PIECES), max_size=40)
MUTATIONS = st.lists(st.tuples(SEEDS, SEEDS, st.sampled_from(PIECES), st.integers(0, 4)), min_size=1, max_size=5)
# The generators of inputs, and the share of each.
KINDS: list[tuple[str, float, st.SearchStrategy]] = [
    ("a valid space with one to five mutations", 0.22, st.builds(mutated, st.sampled_from(VALID), MUTATIONS)),
    ("the language's own words", 0.4, st.builds(random_words, WORD_LISTS, st.sampled_from(SECTIONS))),
    ("any bytes", 0.15, st.binary(max_size=400)),
    (
        "any text where a name, a number or an expression stands",
        0.2,
        st.builds(
            lambda value, section, quoted: text(**{section: json.dumps(value) if quoted else value}),
            st.text(max_size=60),
            st.sampled_from(["name", "about", "block", "classes"]),
            st.booleans(),
        ),
    ),
    ("a space file made at random", 0.03, SEEDS.map(lambda seed: RandomSpaces(seed).text())),
]


def fuzz(inputs: int, derandomize: bool) -> dict[str, object]:
    """Read this many inputs from all generators. Raise the error of the smallest input that fails the check."""
    outcomes = Outcomes()
    for _, share, strategy in KINDS:
        run: Callable[[], None] = given(strategy)(outcomes.check_input)
        settings(
            max_examples=round(inputs * share),
            deadline=None,
            database=None,
            derandomize=derandomize,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(run)()
    return {**vars(outcomes), "peak_mb": peak_mb()}


if __name__ == "__main__":
    print(json.dumps(fuzz(int(sys.argv[1]), derandomize="--derandomize" in sys.argv)))
