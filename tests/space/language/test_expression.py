"""The expression language: how texts are parsed, and the position of each error."""

from __future__ import annotations

import pytest

from explorer.space.grammar import Alternatives, Group, MergeItem, OpItem, Reference, Repeat, walk
from explorer.space.language.expression import Parser
from explorer.space.language.names import Names
from explorer.space.language.tokens import ExpressionError, tokens
from tests.space.spaces import only

RULES = {"block": False, "attn": False, "pre-act": False, "ratio": True, "two-thirds": True}


def names() -> Names:
    """Return new names for each text, because names count their uses."""
    return Names(dict(RULES))


def structure(text: str, copied: str = ""):
    parser = Parser(text, names(), "rule", "network", copied=copied)
    tree = parser.structure_rule()
    for fault in parser.faults:
        raise ExpressionError(fault.place[1] - 1, fault.message)
    return tree


def kinds(tree) -> list[str]:
    return [type(item).__name__ for item in tree.items]


def test_sequences_alternatives_and_postfixes():
    """The grammar is seq { "|" seq }, and an item may be followed by ? or {n} or {n,m}."""
    tree = structure("conv3x3 bn? relu{2} (attn | block){1,3} +")
    assert kinds(tree) == ["OpItem", "Repeat", "Repeat", "Repeat", "MergeItem"]
    conv, optional, twice, several, _ = tree.items
    assert (conv.kernel, optional.counts, twice.counts, twice.point, several.counts) == (
        3,
        (0, 1),
        (2,),
        None,
        (1, 2, 3),
    )
    assert isinstance(several.item, Alternatives)
    assert [option.items[0].name for option in several.item.options] == ["attn", "block"]


def test_a_bracket_after_a_name_is_its_arguments():
    """`conv3x3(16)` has an argument, and `bn (relu)` is a layer and a group."""
    with_argument = structure("conv3x3(16)")
    assert isinstance(with_argument, OpItem) and len(with_argument.arguments) == 1
    assert kinds(structure("conv3x3 (relu) bn")) == ["OpItem", "Group", "OpItem"]


def test_none_is_the_empty_sequence():
    """`none` gives no layer."""
    nothing = structure("none")
    assert isinstance(nothing, Group) and nothing.items == ()
    assert [len(option.items) for option in structure("none | relu").options] == [1, 1]


def test_positional_and_named_arguments():
    """The first positional argument of a conv is its output channels, and the others are named."""
    op = structure("conv3x3(16, s=2, d=1/1, bias=1)")
    assert [argument.field for argument, _ in op.arguments] == ["out", "stride", "dilation", "bias"]
    assert [value.constant() for _, value in op.arguments] == [16, 2, 1, 1]


def test_the_merges():
    """+, cat and gate(b=-6) are merges, and a gate's bias needs no name."""
    spelled = [structure(text) for text in ("+", "cat", "gate(b=-6)", "gate(-6)", "gate")]
    assert all(isinstance(item, MergeItem) for item in spelled)
    assert [item.merge.spelling for item in spelled] == ["+", "cat", "gate", "gate", "gate"]
    assert [value.constant() for item in spelled for _, value in item.arguments] == [-6, -6]


def test_names_with_a_minus_sign():
    """A rule name may contain a minus sign; without such a rule the text is arithmetic."""
    assert isinstance(structure("pre-act"), Reference)
    assert [token.text for token in tokens("ratio-1", RULES)] == ["ratio", "-", "1", ""]
    assert [token.text for token in tokens("two-thirds - ratio", RULES)] == ["two-thirds", "-", "ratio", ""]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("conv3x3 bn )", 12, "found ')', expected a layer, '|' or the end"),
        ("(conv3x3 bn", 12, "found the end, expected ')' or another layer"),
        ("conv3x3(16", 11, "found the end, expected ',' or ')'"),
        ("conv3x3(", 9, "found the end, expected a number"),
        ("relu |", 1, "an empty alternative; write 'none'"),
        ("| relu", 1, "an empty alternative"),
        ("relu | relu", 1, "the alternative 'relu' occurs twice"),
        ("relu{2", 7, "found the end, expected '}'"),
        ("relu{}", 6, "found '}', expected a whole number of repetitions"),
        ("relu{1.5}", 6, "a repetition is a whole number"),
        ("relu{3,1}", 1, "repeated 3 to 1 times"),
        ("relu{1,300}", 1, "300 counts to choose from; at most 256"),
        ("relu??", 6, "found '?', expected a layer"),
        ("3 relu", 1, "the number '3' is among layers"),
        ("ratio relu", 1, "the number 'ratio' is among layers"),
        ("conv3x3(attn)", 9, "'attn' is a layer, expected a number in conv3x3(attn)"),
        ("conv3x3(bn)", 9, "'bn' is a layer, expected a number"),
        ("conv", 1, "'conv' needs a kernel size, as in 'conv3x3'"),
        ("bn3x3", 1, "'bn' has no kernel size"),
        ("conv3x65", 1, "the kernel of 'conv3x65' must be in 1..63"),
        ("conv64x64", 1, "must be in 1..63"),
        ("conv0x0", 1, "must be in 1..63"),
        ("bn(3)", 4, "write the argument's name; bn takes eps"),
        ("conv3x3(16, 2)", 13, "write the argument's name; conv3x3 takes out, s, d, g, bias, pad"),
        ("conv3x3(k=3)", 9, "conv3x3 has no argument 'k'; it has: out, s, d, g, bias, pad"),
        ("conv3x3(s=1, s=2)", 14, "the argument 's' is given twice"),
        ("attn(3)", 5, "the rule 'attn' takes no arguments"),
        ("relu $ bn", 6, "'$' is neither a name nor a number"),
        ("conv3x3(0x10)", 9, "'0x10' is a size, expected a number"),
        ("scale(1.2.3)", 7, "'1.2.3' is neither a name nor a number"),
        ("scale(1234567890123456789)", 7, "a number of 19 characters; at most 18"),
        ("scale(range(3, 1, 1))", 7, "is empty; it needs lo <= hi and step > 0"),
        ("scale(range(1, 3, 0))", 7, "is empty; it needs lo <= hi and step > 0"),
        ("scale(range(1, w, 1))", 7, "the bounds of a range must be constants"),
        ("scale(range(0, 1, 1e-9))", 7, "a range of 1,000,000,001 values; at most 10,000"),
        ("post", 1, "'post' is allowed only in the stem"),
        ("pre", 1, "'pre' is allowed only in the head"),
        ("w", 1, "the number 'w' is among layers"),
        ("round(3, 2)", 1, "the number 'round' is among layers"),
        ("mhsa(position=absolute)", 15, "position is one of relative, none, bias, found 'absolute'"),
        ("(" * 33 + "relu" + ")" * 33, 33, "brackets nested deeper than 32"),
        ("scale(" + "round(" * 40 + "1" + ", 1)" * 40 + ")", None, "brackets nested deeper than 32"),
        ("se(act=" * 40 + "relu" + ")" * 40, None, "brackets nested deeper than 32"),
        ("scale(" + "-" * 40 + "1)", None, "brackets nested deeper than 32"),
        ("scale(1" + "+1" * 101 + ")", None, "more than 100 operators"),
        (
            " | ".join(f"scale({k})" for k in range(150)) + " | scale(149)",
            1,
            "the alternative 'scale(149)' occurs twice",
        ),
    ],
)
def test_faults_of_one_expression(text, column, message):
    """An error names what was found, what was expected, and the character position."""
    with pytest.raises(ExpressionError) as caught:
        structure(text)
    assert message in str(caught.value)
    if column is not None:
        assert caught.value.offset + 1 == column


def test_all_independent_faults_are_found():
    """Unknown names and arguments, wrong sizes and misplaced words do not end parsing, and each is reported."""
    parser = Parser(
        "cnov3x3(8) bn relo attn3 conv3x0 post attn(3) conv3x3(k=relu, d=wid) drop +", names(), "rule", "network"
    )
    parser.structure_rule()
    assert [(fault.place[1], fault.message) for fault in parser.faults] == [
        (1, "unknown name 'cnov3x3' in cnov3x3(8); did you mean 'conv3x3' or 'wsconv3x3'?"),
        (15, "unknown name 'relo'; did you mean 'relu'?"),
        (20, "unknown name 'attn3'; did you mean 'attn'?"),
        (26, "the kernel of 'conv3x0' must be in 1..63"),
        (34, "'post' is allowed only in the stem"),
        (43, "the rule 'attn' takes no arguments"),
        (55, "conv3x3 has no argument 'k'; it has: out, s, d, g, bias, pad"),
        (65, "unknown name 'wid' in conv3x3(k=relu, d=wid)"),
        (70, "drop needs p, as in drop(p=...)"),
    ]


def test_at_the_limits():
    """32 brackets, 100 operators and 256 counts are allowed."""
    assert structure("(" * 32 + "relu" + ")" * 32)
    assert structure("scale(1" + "+1" * 100 + ")")
    assert len(structure("relu{1,256}").counts) == 256


def test_post_and_pre_are_parsed_as_copies():
    """post in a stem and pre in a head are parsed as copies."""
    for which in ("post", "pre"):
        assert structure(which, copied=which).which == which


def test_walking_visits_every_node():
    """walk() returns a node and all its descendants."""
    found = [type(node).__name__ for node in walk(structure("(conv3x3(2*ratio) | bn)? gate(b=1)"))]
    assert found == [
        "Group",
        "Repeat",
        "Alternatives",
        "Group",
        "OpItem",
        "Arithmetic",
        "Number",
        "Reference",
        "Group",
        "OpItem",
        "MergeItem",
        "Number",
    ]


def test_activations_as_arguments():
    """se accepts an activation for act and gate: an op, or a rule that resolves to one."""
    made = only(
        grammar={"inner": "silu"},
        block="conv3x3 se(r=2, act=inner, gate=leaky_relu(0.2)) +",
        stages="{blocks: 1, width: 8}",
    )
    assert str(made.stages[0].blocks[0].branch[1]) == "se(width=4, act=silu, gate=leaky_relu(slope=0.2))"


def test_repetition_of_a_group_keeps_its_order():
    """(a b){2} is a b a b."""
    made = only(block="(conv3x3 bn){2} +", stages="{blocks: 1, width: 8}")
    assert str(made.stages[0].blocks[0]) == "conv3x3(out=8) bn conv3x3(out=8) bn +"
    assert isinstance(structure("(conv3x3 bn){2}"), Repeat)
