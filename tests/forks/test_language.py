"""Forks, shares, taps and the variable ``c`` in a space file: their meaning, their choices and their errors."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.space.search_space import parse_space
from tests.space.spaces import agrees_with_trying, branch, line, only, space, text

ONE = {"stages": "{blocks: 1, width: 16}", "stem": "conv3x3(16)", "shortcut": "{same: none, changed: none}"}
STRIDED = {"stages": "{blocks: 1, width: 16, stride: 2}", "stem": "conv3x3(16)", "shortcut": "{changed: none}"}


def block(expression: str, grammar: dict[str, str] | None = None, **sections: str) -> str:
    """Return the block of a network of one block, as literal text."""
    return line(only(grammar=grammar, **{**ONE, "block": f'"{expression}"', **sections}).stages[0].blocks[0])


@pytest.mark.parametrize(
    ("expression", "resolved"),
    [
        ("sum(conv3x3 bn, none, (relu | silu)?) +", None),
        ("sum(conv3x3 bn, identity) +", "sum(conv3x3(out=16) bn, identity) +"),
        ("split(conv3x3(c), conv1x1(2*c) bn) conv1x1 +", "split(conv3x3(out=8), conv1x1(out=16) bn) conv1x1(out=16) +"),
        (
            "conv1x1(c/4) sum(conv1x1(c), conv1x1(in/4)) conv1x1 +",
            "conv1x1(out=4) sum(conv1x1(out=4), conv1x1(out=4)) conv1x1(out=16) +",
        ),
        (
            "conv1x1(8) cat(conv1x1(c/2) product(conv1x1(c), conv1x1(c)), bn) conv1x1 +",
            "conv1x1(out=8) cat(conv1x1(out=4) product(conv1x1(out=4), conv1x1(out=4)), bn) conv1x1(out=16) +",
        ),
        ("conv3x3 + conv1x1(c*2) conv1x1(c)", "conv3x3(out=16) + conv1x1(out=32) conv1x1(out=16)"),
        ("conv3x3(round(c/3, 4), g=c/8) conv1x1 +", "conv3x3(out=4, g=2) conv1x1(out=16) +"),
        ("conv3x3 se(width=c/8) +", "conv3x3(out=16) se(width=2) +"),
        (
            "cat(tap(a) conv3x3 tap(b), sum(from(a), from(b))) conv1x1 +",
            "cat(tap(t1) conv3x3(out=16) tap(t2), sum(from(t1), from(t2))) conv1x1(out=16) +",
        ),
        (
            "(tap(a) conv3x3 sum(identity, from(a))){2} +",
            "tap(t1) conv3x3(out=16) sum(identity, from(t1)) tap(t1) conv3x3(out=16) sum(identity, from(t1)) +",
        ),
        ("tap(a) conv3x3 tap(b) bn +", "conv3x3(out=16) bn +"),
    ],
)
def test_forks_resolve_to_literal_numbers(expression, resolved):
    """``c`` is the channels that arrive at the row of layers; taps that nothing reads vanish; names become numbers."""
    if resolved is not None:
        assert block(expression) == resolved
    else:
        assert agrees_with_trying(space(**{**ONE, "block": f'"{expression}"'})) == 3


@pytest.mark.parametrize(
    ("expression", "resolved"),
    [
        ("sum(conv3x3, conv1x1) +", "sum(conv3x3(out=16, s=2), conv1x1(out=16, s=2)) +"),
        (
            "conv1x1 cat(conv3x3, maxpool3x3(s=s)) conv1x1 +",
            "conv1x1(out=16) cat(conv3x3(out=16, s=2), maxpool3x3(s=2)) conv1x1(out=16) +",
        ),
        ("sum(conv1x1, bn) conv3x3 +", "sum(conv1x1(out=16), bn) conv3x3(out=16, s=2) +"),
        ("conv3x3 sum(conv5x5, bn) +", "conv3x3(out=16, s=2) sum(conv5x5(out=16), bn) +"),
        (
            "product(identity, gap conv1x1(c) sigmoid) conv1x1 +",
            "product(identity, gap conv1x1(out=16) sigmoid) conv1x1(out=16, s=2) +",
        ),
        ("product(conv3x3, gap conv1x1 sigmoid) +", "product(conv3x3(out=16, s=2), gap conv1x1(out=16) sigmoid) +"),
        ("cat(avgpool conv1x1(4), conv3x3(12)) +", "cat(avgpool2x2(s=2) conv1x1(out=4), conv3x3(out=12, s=2)) +"),
        (
            "sum(avgpool, cat(conv3x3(8), conv1x1(8))) +",
            "sum(avgpool2x2(s=2), cat(conv3x3(out=8, s=2), conv1x1(out=8, s=2))) +",
        ),
        (
            "tap(a) conv3x3 sum(conv3x3, from(a) conv1x1(s=s)) +",
            "tap(t1) conv3x3(out=16, s=2) sum(conv3x3(out=16), from(t1) conv1x1(out=16, s=2)) +",
        ),
    ],
)
def test_each_path_has_the_stride(expression, resolved):
    """A fork has the block's stride by the rule for convolutions, and so has each of its paths, except after gap."""
    assert block(expression, **STRIDED) == resolved


def test_post_follows_a_fork_of_convolutions():
    """``post`` copies the norms and activations after the last fork or conv; those in paths are not copied."""
    network = only(
        **{**ONE, "block": '"sum(conv3x3 bn, conv1x1 bn) relu sum(bn, relu) silu +"', "stem": "conv3x3(16) post"}
    )
    assert " ".join(map(str, network.stem)) == "conv3x3(out=16) relu silu"


def test_forks_stand_in_every_section():
    """Stem, shortcut, transition, head and the layers after the merge can have forks."""
    made = only(
        stem='"sum(conv3x3(8), conv1x1(8))"',
        block='"conv3x3 bn + sum(relu, silu)"',
        shortcut='{same: "sum(identity, bn)", changed: "cat(conv1x1(c), avgpool)"}',
        transition='"sum(avgpool, conv3x3(in))"',
        head='"cat(gap, gap) fc"',
    )
    assert str(made.stages[1].transition[0]) == "sum(avgpool2x2(s=2), conv3x3(out=8, s=2))"
    assert [str(op) for op in made.head] == ["cat(gap, gap)", "fc(out=10)"]
    assert "cat" in str(made.stages[1].blocks[0].shortcut[0])


def test_names_of_earlier_rules_stay_rules():
    """Rules named like the words of forks, or ``c``, are rules; before a bracket the words keep their meaning."""
    rules = {"sum": "bn", "part": "relu", "from": "silu", "c": "4 | 8"}
    made = space(grammar=rules, **{**ONE, "block": '"conv3x3(c) sum part from sum(bn, conv1x1(c)) conv1x1 +"'})
    assert made.count() == 2
    assert branch(made.architecture(1)) == "conv3x3(out=8) bn relu silu sum(bn, conv1x1(out=8)) conv1x1(out=16)"


@pytest.mark.parametrize("scope", ["network", "stage", "block", "use"])
def test_counts_of_choices_in_paths(scope):
    """Choices in paths and in rules of paths are counted and ranked exactly in every scope."""
    made = space(
        grammar={"k": "conv3x3 | conv5x5", "m": "sum(k bn, conv1x1? bn, (relu | none)) | cat(k, k) conv1x1"},
        vary={"k": scope},
        block='"m + relu"',
        stages="{blocks: 2, width: 8}",
    )
    assert agrees_with_trying(made) == {"network": 10, "stage": 10, "block": 20, "use": 32}[scope]
    assert {point.name for point in made.points} == {"k", "m", "m.1", "m.2"}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "sum(conv3x3) +",
            r"sum joins at least two paths, as in sum\(conv3x3 bn, identity\); found one: write its layers",
        ),
        ("cat() +", "cat joins at least two paths, .* or 'cat' without brackets for the merge of a block"),
        ("sum(conv3x3, ) +", "path 2 of sum is empty; write 'identity' for a path without layers"),
        ("sum(conv3x3, conv1x1(8)) +", "the paths of sum need equal shapes, .* path 1 16x16x16, path 2 8x16x16"),
        ("cat(conv3x3, gap) +", "the paths of cat need equal height and width; .* path 2 16x1x1"),
        ("sum(conv3x3 +, bn) +", "the merge '\\+' is in a path of a fork, where no shortcut is"),
        ("sum(m, bn) +", "path 1 of sum has a merge"),
        ("sum(conv3x3, bn post) +", "'post' is allowed only in the stem, outside of forks"),
        ("conv3x3 from(a) +", r"from\(a\) reads no tensor: no tap is before it; write tap\(a\)"),
        ("tap(b) conv3x3 sum(from(a), bn) +", r"path 1 of sum: from\(a\) reads no tensor: the taps before it are b"),
        ("conv3x3 tap(a) + sum(from(a), bn)", r"after the merge|from\(a\) reads no tensor"),
        ("tap(3) conv3x3 +", "found '3', expected the name of a tensor"),
        ("tap conv3x3 +", "'tap' needs its brackets directly after it, as in tap"),
        ("part(3, 2) conv3x3 +", r"part\(3, 2\) has no share 3 of 2"),
        ("split(bn, conv3x3(c/3)) +", "path 2 of split: out = c/3 = 8/3 of conv3x3 is not a whole number"),
        ("sum(conv3x3, foo) +", "unknown name 'foo'"),
        ("sum (conv3x3, bn) +", "a blank after 'sum'; its brackets follow it directly"),
        ("sum(conv3x3 zero, zero) bn +", "the branch is zero and the block has no shortcut|is zero"),
        ("conv3x3 + sum(zero, bn)", "'zero' is allowed only before the merge of a block"),
    ],
)
def test_errors_name_the_path(expression, message):
    """What does not fit is an error with its place, the path and what to write."""
    with pytest.raises(SpaceError, match=message) as caught:
        space(grammar={"m": "conv3x3 +"}, **{**ONE, "block": f'"{expression}"'})
    assert caught.value.problems[0].line == 5


def test_a_path_that_cannot_shrink_is_an_error():
    """The error names the path and the two ways out, and both load."""
    with pytest.raises(
        SpaceError, match=r"path 2 of sum: the layers shrink by 1, the stride is 2; write avgpool in this"
    ):
        block("sum(conv3x3, identity) +", **STRIDED)
    assert block("sum(conv3x3, avgpool) +", **STRIDED) == "sum(conv3x3(out=16, s=2), avgpool2x2(s=2)) +"
    stages = "{blocks: 1, width: 16, stride: 2, first: conv3x3 +}"
    assert block("sum(conv3x3, identity) +", **{**STRIDED, "stages": stages}) == "conv3x3(out=16, s=2) +"


def test_a_comma_in_flow_style_is_an_error_that_names_quotes():
    """YAML splits {...} at commas: the error says so and suggests quotes."""
    with pytest.raises(SpaceError, match=r"YAML splits at commas in .* quote the expression"):
        space(stages="{blocks: 1, width: [8, 16], block: sum(conv3x3, conv1x1) +}")


def test_forks_nested_through_rules_have_a_limit():
    """Forks that are nested too deep through rules are one error, and 24 levels load."""
    rules = {f"r{k}": f"sum(r{k + 1}, identity)" for k in range(40)} | {"r40": "bn"}
    with pytest.raises(
        SpaceError, match="forks are nested 40 levels deep, with the rules in them; at most 24"
    ) as caught:
        parse_space(text(rules, block="conv3x3 r0 +"))
    assert len(caught.value.problems) == 1
    kept = {name: rule for name, rule in rules.items() if int(name[1:]) >= 16}
    assert parse_space(text(kept, block="conv3x3 r16 +")).count() == 1


def test_a_warning_sees_forks_as_layers():
    """A block of a fork has layers before its merge, so nothing is warned of."""
    assert space(**{**ONE, "block": '"sum(conv3x3 bn, conv1x1 bn) + relu"', "allow": "one-network"}).warnings == ()
