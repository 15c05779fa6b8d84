"""Warnings of a space: each has its place, its meaning and a spelling that means something else without a warning."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.space.choices import point_names
from explorer.space.lint.lint import Lint
from explorer.space.lint.names import LINTS
from explorer.space.search_space import SearchSpace, load_space, parse_space
from explorer.space.shipped import find_space, shipped_spaces
from tests.space.spaces import space

SAME = "{blocks: 2, width: 8}"
CONV = "conv3x3 bn +"
# Name, sections with the warning, its line and column, words of it, sections that mean something else and have none.
WARNED = [
    (
        "condition-without-effect",
        {"grammar": {"wide": "8 | 16"}, "block": "conv1x1(wide) conv3x3 bn +", "where": "wide <= 16"},
        (7, 8),
        "the condition 'wide <= 16' excludes no network; remove it, or correct it",
        {
            "grammar": {"wide": "8 | 16", "act": "bn | relu"},
            "block": "conv1x1(wide) act conv3x3 +",
            "where": "wide <= 8 or act == bn",
        },
    ),
    (
        "unused-alternative",
        {
            "grammar": {"act": "relu | silu", "n1": "bn | none"},
            "block": "n1 act conv3x3 +",
            "head": "bn gap fc",
            "where": "act != silu",
        },
        (10, 8),
        "the conditions allow no network that takes silu of 'act'; remove the alternative, or correct the conditions",
        {
            "grammar": {"act": "relu | silu", "n1": "bn | none"},
            "block": "n1 act conv3x3 +",
            "head": "bn gap fc",
            "where": "not (act == silu and n1 == bn)",
        },
    ),
    (
        "nothing-before-merge",
        {"grammar": {"op": f"skip | {CONV}", "skip": "none +"}, "block": "op", "stages": SAME},
        (10, 14),
        "no layer stands before '+' in the rule 'skip': there the block computes x + x, twice its input; write 'zero",
        {"grammar": {"op": f"skip | {CONV}", "skip": "zero +"}, "block": "op", "stages": SAME},
    ),
    (
        "nothing-before-merge",
        {"block": "+ conv3x3 bn", "stages": SAME},
        (5, 8),
        "write the layers before '+' if they are the residual branch, else 'zero +' for a block that is its shortcut",
        {"block": "conv3x3 bn +", "stages": SAME},
    ),
    (
        "nothing-before-merge",
        {"block": "conv3x3? avgpool scale(1) drop(0) +", "stages": SAME},
        (5, 42),
        "x + x",
        {"block": "conv3x3{1,2} avgpool +", "stages": SAME},
    ),
    (
        "nothing-before-merge",
        {"block": "identity cat", "shortcut": "{same: scale(0.5)}", "stages": SAME},
        (5, 17),
        "its input concatenated with itself",
        {"block": "conv3x3 cat", "shortcut": "{same: scale(0.5)}", "stages": SAME},
    ),
    (
        "nothing-before-merge",
        {"block": "gate(b=-6)", "stages": SAME},
        (5, 8),
        "its input, whatever the gate is; write 'zero gate'",
        {"block": "zero gate(b=-6)", "stages": SAME},
    ),
    (
        "nothing-before-merge",
        {"block": "+ relu", "shortcut": "{same: scale(0.5)}", "stages": SAME},
        (5, 8),
        "the sum of its input and its shortcut",
        {"block": "+ relu", "shortcut": "{same: none}", "stages": SAME},  # a plain block
    ),
    (
        "default-identity",
        {"block": "conv3x3 bn relu +"},
        (5, 24),
        "a plain row of layers ends at '+': blocks that keep their shape add the identity, the default; write same",
        {"block": "conv3x3 bn relu +", "shortcut": "{same: none, changed: none}"},
    ),
    (
        "default-identity",
        {"block": "dwconv3x3 bn relu conv1x1 bn relu +", "shortcut": "{changed: none}"},
        (5, 42),
        "or same: identity if it is residual",
        {"block": "dwconv3x3 bn relu conv1x1 bn relu +", "shortcut": "{same: identity, changed: none}"},
    ),
    (
        "default-identity",
        {"block": "dwconv3x3 bn relu conv1x1 bn +", "shortcut": "{changed: none}"},
        (4, 9),
        "stage 1 opens with a block that keeps its shape: it adds the identity, the default, although 'changed'",
        {"block": "dwconv3x3 bn relu conv1x1 bn +", "shortcut": "{changed: none}", "stem": "conv3x3(4) bn relu"},
    ),
    (
        "layers-after-merge",
        {"block": "conv3x3 bn + conv1x1 bn"},
        (5, 19),
        "a convolution follows '+': it is applied to the sum; write 'sum(conv3x3 bn, conv1x1 bn) +' for parallel",
        {"block": "sum(conv3x3 bn, conv1x1 bn) + relu conv1x1 bn"},
    ),
    (
        "doubled-identity",
        {"block": '"sum(conv3x3 bn, conv1x1 bn, identity) + relu"', "stages": SAME},
        (5, 9),
        "the path without layers in 'sum(...)' and the shortcut both are the input of the block: the block has it",
        {
            "block": '"sum(conv3x3 bn, conv1x1 bn, identity) + relu"',
            "stages": SAME,
            "shortcut": "{same: none, changed: none}",
        },
    ),
    (
        "doubled-identity",
        {"block": "dense cat", "grammar": {"dense": "cat(skip, conv3x3)", "skip": "identity"}, "stages": SAME},
        (9, 10),
        "the path without layers in 'cat(...)' and the shortcut both",
        {
            "block": "dense cat",
            "grammar": {"dense": "conv1x1 bn cat(skip, conv3x3)", "skip": "identity"},
            "stages": SAME,
        },
    ),
    (
        "gated-twice",
        {"block": '"conv3x3 bn product(identity, se(4)) +"'},
        (5, 38),
        "se multiplies its input by its gate already: the product is x * x * gate; write se without product",
        {"block": '"conv3x3 bn product(identity, gap conv1x1(c/4) relu conv1x1(c) sigmoid) +"'},
    ),
    (
        "dropped-block",
        {"block": "conv3x3 bn + droppath(0.2) relu"},
        (5, 21),
        "droppath is after the merge: it drops the input of the block, not only the branch; write it last before",
        {"block": "conv3x3 bn droppath(0.2) + relu"},
    ),
    (
        "dropped-block",
        {"shortcut": "{same: droppath(0.2)}"},
        (7, 18),
        "droppath is in a shortcut",
        {"shortcut": "{same: drop(0.2)}"},
    ),
    (
        "narrow-shortcut",
        {"block": "bn relu conv3x3 cat", "head": "bn relu gap fc"},
        (4, 9),
        "the block that opens stage 2 concatenates its branch to 16 channels, the width of its shortcut: its input has",
        {"block": "bn relu conv3x3 cat", "head": "bn relu gap fc", "shortcut": "{changed: avgpool}"},
    ),
    (
        "stride-without-transition",
        {"stages": "{blocks: 2, width: [8, 16], stride: 2}", "transition": "conv3x3(w, s=s) bn relu"},
        (4, 9),
        "stage 1 has a stride, but no transition: there the first block has the stride, in later stages the transition",
        {"stages": "{blocks: 2, width: [8, 16], stride: [1, 2]}", "transition": "conv3x3(w, s=s) bn relu"},
    ),
    (
        "shrinks-by-one",
        {"stages": "{blocks: 2, width: [8, 16, 32], stride: [1, 2, 1]}", "transition": "bn conv2x2(w, s=s)"},
        (7, 16),
        "conv2x2(out=32) before stage 3, a stage without a stride, shrinks 8x8 to 7x7; write an odd kernel, or by",
        {
            "stages": "{blocks: 2, width: [8, 16, 32], stride: [1, 2, 1]}",
            "transition": '"by_stage(none, bn conv2x2(w, s=s), none)"',
        },
    ),
    (
        "row-alternatives",
        {"block": "conv1x1 op conv1x1 +", "grammar": {"op": "bn conv3x3(8, s=1) relu | silu | gelu"}},
        (9, 7),
        "'|' separates whole rows: 'bn conv3x3(8, s=1) relu' is one alternative; write 'bn conv3x3(8, s=1) (relu | silu"
        " | gelu)' for a choice of one layer, else '(bn conv3x3(8, s=1) relu) | silu | gelu'",
        {"block": "conv1x1 op conv1x1 +", "grammar": {"op": "(bn conv3x3(8, s=1) relu) | silu | gelu"}},
    ),
    (
        "row-alternatives",
        {"block": "conv1x1 (bn | norm relu) conv3x3 +", "grammar": {"norm": "ln"}},
        (5, 22),
        "write '(bn | norm) relu' for a choice of one layer, else 'bn | (norm relu)'",
        {"block": "conv1x1 (bn relu | norm relu | frn tlu | evonorm_b0) conv3x3 +", "grammar": {"norm": "ln"}},
    ),
    (
        "row-alternatives",
        {"block": "op conv1x1 +", "grammar": {"op": "conv3x3 | conv5x5 bn relu"}},
        (9, 17),
        "write '(conv3x3 | conv5x5) bn relu'",
        {"block": "op bn +", "grammar": {"op": "conv3x3 | dwconv3x3 conv1x1"}},
    ),
    (
        "repeated-layer",
        {"block": "conv3x3 bn act{2} conv3x3 +", "grammar": {"act": "relu"}},
        (5, 19),
        "{2} repeats only the activation before it; write the layers to repeat in brackets, as in (conv3x3 bn relu){2}",
        {"block": "(conv3x3 bn act){2} conv3x3{2} +", "grammar": {"act": "relu"}},
    ),
    (
        "repeated-layer",
        {"block": "conv3x3 (bn relu conv3x3){0} +"},
        (5, 17),
        "a repetition of 0 times: the layers are in no network",
        {"block": "conv3x3 (bn relu conv3x3){0,1} +"},
    ),
    (
        "pool-without-stride",
        {"stem": "conv3x3(8) bn relu maxpool3x3"},
        (3, 26),
        "maxpool3x3 has stride 1, the default, so it does not halve the map; write maxpool3x3(s=2), or maxpool3x3(s=1)",
        {"stem": "conv3x3(8) bn relu maxpool3x3 blurpool3x3(s=2)"},
    ),
    (
        "pool-without-stride",
        {"head": "avgpool fc"},
        (6, 7),
        "avgpool has stride 1 in the head, so it is left out; write 'gap' for the average of the whole map, or a",
        {"head": "avgpool8x8(s=8) fc"},
    ),
    (
        "pool-without-stride",
        {"transition": "avgpool2x2 conv1x1"},
        (7, 13),
        "avgpool2x2 has stride 1, the default",
        {"transition": "avgpool conv1x1"},
    ),
    (
        "pool-without-stride",
        {"shortcut": "{changed: avgpool2x2 conv1x1 bn}"},
        (7, 21),
        "avgpool2x2 has stride 1, the default, so it does not halve the map; write avgpool2x2(s=s), or avgpool2x2(s=1)",
        {"shortcut": "{changed: avgpool conv1x1 bn}"},
    ),
    (
        "unused-dilation",
        {"stages": "{blocks: 2, width: [8, 16], stride: [1, 2], dilation: [1, 2]}"},
        (4, 9),
        "the stage has a dilation, but no layer of its blocks reads it; write d=d in the convolutions that have it",
        {
            "stages": "{blocks: 2, width: [8, 16], stride: [1, 2], dilation: [1, 2]}",
            "block": "conv3x3 bn relu conv3x3(d=d) bn + relu",
        },
    ),
    (
        "shared-width",
        {"stages": "{blocks: 2, width: 8 | 16 | 32, stride: [1, 2, 2]}"},
        (4, 9),
        "the 3 stages have one width, a choice of as many numbers; write 'width: [8, 16, 32]' for one number a stage",
        {"stages": "{blocks: 2, width: 8 | 16, stride: [1, 2, 2]}"},
    ),
    (
        "default-stride",
        {"stages": "{blocks: 2, width: [8, 16]}"},
        (4, 1),
        "the 2 stages have no stride, so the map keeps its size; write 'stride: [1, 2]' if each halves it, or 'stride",
        {"stages": "{blocks: 2, width: [8, 16], stride: 1}"},
    ),
    (
        "mostly-dropped",
        {"block": "conv3x3 bn drop_later +", "grammar": {"drop_later": "droppath(p)", "p": "0.1 | 0.8"}},
        (9, 15),
        "droppath(0.8) drops 80% of the blocks: p is the probability of dropping, not of keeping; write droppath(0.2)",
        {"block": "conv3x3 bn drop_later +", "grammar": {"drop_later": "droppath(p)", "p": "0.1 | 0.5"}},
    ),
    (
        "difference",
        {"stages": "{blocks: depth, width: 8}", "grammar": {"depth": "3-1"}},
        (9, 10),
        "3-1 is the difference 2, not a range; write 2, or range(1, 3, 1) for a choice",
        {"stages": "{blocks: depth, width: 8*2 - 8}", "grammar": {"depth": "range(1, 3, 1)"}},
    ),
    (
        "vary-without-choice",
        {
            "block": "op",
            "grammar": {"op": "conv3x3 bn + | conv5x5 bn +"},
            "vary": {"block": "block"},
        },
        (11, 3),
        "'block' has no choice of its own, so its scope under 'vary' has no effect; write the scope of 'op'",
        {"block": "op", "grammar": {"op": "conv3x3 bn + | conv5x5 bn +"}, "vary": {"op": "block"}},
    ),
    (
        "few-channels",
        {"block": "conv3x3(2) bn relu conv3x3 bn +"},
        (5, 8),
        "conv3x3 has 2 output channels, its first argument, in stages of at least 8; write s=2 for a stride, w*2 or",
        {"block": "conv3x3(w/4) bn relu conv3x3 bn +"},
    ),
    (
        "flattened-map",
        {"head": "fc"},
        (6, 1),
        "fc reads all 8x8 positions of 16 channels; write 'gap fc' for the average of the map",
        {"head": "maxpool2x2(s=2) fc"},
    ),
    (
        "unused-shortcut",
        {"head": "pooled fc", "grammar": {"pooled": "gap"}, "shortcut": "{pooled: {changed: conv1x1}}"},
        (7, 12),
        "no block is derived through the rule 'pooled', so its shortcut has no effect",
        {"block": "f +", "grammar": {"f": "conv3x3 bn"}, "shortcut": "{f: {changed: conv1x1}}"},
    ),
    (
        "share-ratio",
        {"block": "conv3x3 se(1/4) +"},
        (5, 16),
        "the ratio 1/4 of se is below 1, so it is the share: 1/4*C channels; write se(4)",
        {"block": "conv3x3 se(4) +"},
    ),
    (
        "share-ratio",
        {"block": "conv3x3 cbam(r=q) +", "grammar": {"q": "4 | 1/half", "half": "2"}},
        (5, 16),
        "the ratio 1/2 of cbam",
        {"block": "conv3x3 cbam(r=q) +", "grammar": {"q": "4 | half", "half": "w/(2*in)"}},
    ),
    (
        "unused-rule",
        {"grammar": {"norm": "bn", "lost": "relu | silu", "also": "lost"}, "block": "conv3x3 norm + relu"},
        (10, 9),
        "no stem, stage, shortcut, transition or head uses the rule 'lost', so it has no effect",
        {"grammar": {"norm": "bn", "lost": "relu | silu"}, "block": "conv3x3 norm + lost"},
    ),
    (
        "input-order",
        {"input": "32x32x3"},
        (1, 1),
        "the input 32x32x3 is 32 channels of 32x3 pixels; write 3x32x32",
        {"input": "3x32x32"},
    ),
    (
        "copied-from-zero",
        {"stem": "conv3x3(8) post", "block": "conv3x3 bn + relu | zero +"},
        (3, 18),
        "'post' copies norms and activations of the first block, which may be zero",
        {"stem": "conv3x3(8) bn relu", "block": "conv3x3 bn + relu | zero +"},
    ),
    (
        "no-final-norm",
        {"stem": "conv3x3(8)", "block": "bn relu conv3x3 bn relu conv3x3 +", "head": "gap fc"},
        (6, 1),
        "the blocks normalise their input, but no norm follows the last block: the sum of all blocks reaches the",
        {"stem": "conv3x3(8)", "block": "bn relu conv3x3 bn relu conv3x3 +", "head": "pre gap fc"},
    ),
    (
        "no-final-norm",
        {
            "stem": "conv3x3(8) post",
            "block": "order",
            "grammar": {"order": "old | new", "old": "conv3x3 bn + relu", "new": "bn relu conv3x3 +"},
        },
        (6, 1),
        "the blocks with order=new normalise their input",
        {
            "stem": "conv3x3(8) post",
            "block": "order",
            "grammar": {"order": "old | new", "old": "conv3x3 bn + relu", "new": "bn relu conv3x3 +"},
            "head": "gap ln fc",  # as in ConvNeXt
        },
    ),
    (
        "linear-stem",
        {"stem": "conv3x3(8) maxpool2x2(s=2)"},
        (3, 1),
        "the stem ends with a convolution, and the first block starts with one: without norm and activation between",
        {"stem": "conv3x3(8) post maxpool2x2(s=2)"},
    ),
    (
        "squeeze-to-one",
        {"block": "conv3x3 bn attn + relu", "grammar": {"attn": "none | se(r=4) | se(r=64)"}},
        (9, 26),
        "se squeezes 8 channels to one with attn=se(r=64): one number decides about all of them; write a smaller ratio",
        {"block": "conv3x3 bn attn + relu", "grammar": {"attn": "none | se(r=4) | se(r=2)"}},
    ),
    (
        "dilation-beyond-map",
        {"block": "conv3x3(d=dil) bn + relu", "grammar": {"dil": "1 | 16"}},
        (5, 8),
        "the dilation 16 of conv on a map of 16x16 pixels with dil=16: all weights but the central ones read only",
        {"block": "conv3x3(d=dil) bn + relu", "grammar": {"dil": "1 | 7"}},
    ),
    (
        "dilation-beyond-map",
        {"block": "dwconv3x3(d=8) conv1x1 bn + relu"},
        (5, 8),
        "write a dilation below 8, or give the network a larger input or smaller strides",
        {"block": "dwconv3x3(d=7) conv1x1 bn + relu"},
    ),
    (
        "kernel-beyond-map",
        {"input": "3x4x4", "stages": "{blocks: 1, width: [8, 8, 8], stride: [2, 2, 1]}"},
        (5, 8),
        "conv3x3(out=8) on a map of 1x1 pixels: most of its weights read only padding; give the network a larger input",
        {"input": "3x8x8", "stages": "{blocks: 1, width: [8, 8, 8], stride: [2, 2, 1]}"},
    ),
    (
        "kernel-beyond-map",
        {"input": "12x1x256", "stem": "conv1x7(8) bn relu"},
        (5, 8),
        "on a map of 1x256 pixels: most of its weights read only padding; write conv1x3 for a signal",
        {"input": "12x1x256", "stem": "conv1x7(8) bn relu", "block": "conv1x3 bn relu conv1x3 bn + relu"},
    ),
    (
        "after-classifier",
        {"head": "gap fc relu fc"},
        (6, 1),
        "layers follow the classifier: fc without a width has one output for each class; write fc last, and hidden",
        {"head": "gap fc(128) relu fc"},
    ),
    (
        "equal-alternatives",
        {"block": "conv3x3 bn attn + relu", "grammar": {"attn": "none | se(r=4) | se(1/4)"}, "allow": "share-ratio"},
        (9, 9),
        "the alternatives se(r=4) | se(1/4) of 'attn' give the same networks; keep se(r=4) only, or correct the others",
        {"block": "conv3x3 bn attn + relu", "grammar": {"attn": "none | se(r=4) | se(r=2)"}},
    ),
    (
        "equal-alternatives",
        {"block": "conv1x1(d=dil) conv3x3(d=other) bn + relu", "grammar": {"dil": "1 | 2", "other": "1 | 2"}},
        (9, 8),
        "the choice 'dil' (1 | 2) changes no network",
        {"block": "conv5x5(d=dil) conv3x3(d=other) bn + relu", "grammar": {"dil": "1 | 2", "other": "1 | 2"}},
    ),
    (
        "one-network",
        {"block": "conv3x3 bn + relu"},
        (1, 1),
        "the space has one network, so a search has nothing to choose; write alternatives with '|', or 'allow: one-",
        {"block": "conv3x3 bn + relu | relu conv3x3 bn +"},
    ),
]


def allowing(sections, *names: str) -> SearchSpace:
    """Return the space of these sections, which also allows the warnings of these names."""
    return space(**{**sections, "allow": f"[{', '.join([*names, sections.get('allow', names[0])])}]"})


@pytest.mark.parametrize(("name", "bad", "place", "words", "good"), WARNED)
def test_each_warning_stands_beside_its_fix(name, bad, place, words, good):
    """A spelling has exactly its warning, at its place; what the warning proposes has none, nor has an allowed one."""
    quiet = "one-network" if name != "one-network" else "unused-rule"  # most spaces here have one network
    warnings = allowing(bad, quiet).warnings
    assert [(lint.line, lint.column) for lint in warnings if lint.name == name][:1] == [place]
    assert words in str(next(lint for lint in warnings if lint.name == name))
    assert {lint.name for lint in warnings} == {name}
    assert allowing(good, quiet).warnings == ()
    assert allowing(bad, quiet, name).warnings == ()


def test_every_warning_is_tested():
    """The table above has all warnings."""
    assert {row[0] for row in WARNED} == set(LINTS)


def test_warnings_of_one_name_are_allowed_alone():
    """``allow`` takes a list of names and leaves the other warnings; it does not change the digest of the space."""
    sections = {"block": "conv3x3 se(1/4) bn relu +", "input": "32x32x3"}
    several = ["input-order", "one-network", "share-ratio", "default-identity"]
    assert [lint.name for lint in space(**sections).warnings] == several
    allowed = space(**sections, allow="[share-ratio, input-order, one-network]")
    assert [lint.name for lint in allowed.warnings] == ["default-identity"]
    assert allowed.digest == space(**sections).digest


def test_an_unknown_name_in_allow_is_an_error():
    """A name that is no warning is an error with the nearest name, or all names."""
    with pytest.raises(SpaceError, match="unknown warning 'unused-rules' in allow; did you mean 'unused-rule'"):
        space(allow="[unused-rules]")
    with pytest.raises(SpaceError, match="unknown warning 'all' in allow; the names are input-order, unused-rule"):
        space(allow="all")


def test_shipped_spaces_have_no_warnings():
    """No shipped space has a warning."""
    assert [str(lint) for path in shipped_spaces() for lint in load_space(path).warnings] == []


def test_an_effect_in_few_networks_is_an_effect():
    """A choice that changes one network in six is not said to change none; the seldom ones are all compared."""
    made = space(
        {"k": "conv1x1(d=dil) | conv1x1(d=dil) relu | conv1x1(d=dil) silu | conv3x3(d=dil)", "dil": "1 | 2"},
        {"k": "block", "dil": "block"},
        block="k bn + relu",
        stages="{blocks: 4, width: [8, 16], stride: [1, 2]}",
    )
    assert made.warnings == ()


def test_the_tutorial_without_a_final_norm_is_warned_of():
    """preact_variants with the head 'gap fc' has the warning, also with the input of another data set."""
    made = parse_space(find_space("preact_variants").read_text().replace("head: pre gap fc", "head: gap fc"))
    for each in (made, made.with_input((1, 16, 16), 10)):
        (warning,) = each.warnings
        assert warning.name == "no-final-norm" and "in some networks" in warning.message


def test_a_warning_as_a_line_and_as_a_mapping():
    """A warning prints on one line, with file, line, column and name, and has the same fields as a mapping."""
    lint = Lint("input-order", "a.yaml", 1, 2, "it is so", "write that")
    assert str(lint) == "a.yaml:1:2: it is so; write that [input-order]"
    assert lint.to_dict() == {
        "name": "input-order",
        "file": "a.yaml",
        "line": 1,
        "column": 2,
        "message": "it is so",
        "fix": "write that",
    }


def test_the_input_that_counts_is_the_one_in_use():
    """Another input replaces the warning of the file's input."""
    made = space(input="32x32x3", allow="one-network")
    assert made.with_input((3, 32, 32), 10).warnings == ()
    assert [lint.name for lint in space(allow="one-network").with_input((32, 32, 3), 10).warnings] == ["input-order"]


def test_blocks_that_always_shrink_have_no_shortcut_of_the_same_shape():
    """A pool without a size is a branch in blocks that shrink the map, and nothing in the others of the stage."""
    one, two = "{blocks: 1, width: 8, stride: 2}", "{blocks: 2, width: 8, stride: 2}"
    assert allowing({"block": "avgpool +", "stages": one}, "one-network").warnings == ()
    warnings = allowing({"block": "avgpool +", "stages": two}, "one-network").warnings
    assert [lint.name for lint in warnings] == ["nothing-before-merge"]


# Choice points


def test_choices_of_an_unused_rule_are_not_listed():
    """A rule that nothing uses, and a shortcut of such a rule, has no choice points and no factor in the count."""
    made = space(
        {"order": "conv3x3 act +", "act": "relu | silu", "lost": "bn | ln", "other": "lost? conv3x3 +"},
        block="order",
        shortcut="{other: {same: scale(0.5) | scale(0.25)}, changed: conv1x1 (bn | gn(4))}",
    )
    assert [point.name for point in made.points] == ["act", "shortcut.changed.1"]
    assert made.count() == len({str(derivation) for derivation in made}) == 4


def test_choices_of_one_stage_are_listed_with_it():
    """A choice point that belongs to one of several stages is listed with its stage, as in the names of choices."""
    made = space(
        {"attn": "none | eca", "act": "relu | silu"},
        {"attn": "stage", "act": "stage"},
        stages="[{blocks: 1 | 2, width: 8}, {blocks: 1 | 3, width: 16, stride: 2, block: conv3x3 attn act +}]",
        block="conv3x3 act +",
        shortcut="{same: identity}",
    )
    names = list(point_names(made).values())
    assert names == ["stages.blocks@stage1", "stages.blocks@stage2", "attn@stage2", "act"] or set(names) == {
        "stages.blocks@stage1",
        "stages.blocks@stage2",
        "attn@stage2",
        "act",
    }
    assert {name for name in names if "@" in name} <= set(made.unrank(0).choices)
