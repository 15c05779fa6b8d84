"""A table of the errors of space files: each message, a file that causes it, and the most similar valid file.

The tests loop over it, and ``docs/reference/errors.md`` prints it.
"""

from __future__ import annotations

from typing import NamedTuple


class Error(NamedTuple):
    """``says``: line:column: and the start of the message. ``bad`` and ``good``: sections of a file, see ``text``."""

    says: str
    bad: dict
    good: dict


ERRORS: dict[str, list[Error]] = {
    "Names": [
        Error(
            "5:8: unknown name 'cnov3x3'; did you mean 'conv3x3' or 'wsconv3x3'?",
            {"block": "cnov3x3 bn +"},
            {"block": "conv3x3 bn +"},
        ),
        Error(
            "5:18: unknown name 'dill' in conv3x3(d=dill); did you mean 'dil'?",
            {"grammar": {"dil": "1 | 2"}, "block": "conv3x3(d=dill) +"},
            {"grammar": {"dil": "1 | 2"}, "block": "conv3x3(d=dil) +"},
        ),
        Error("5:8: 'conv' needs a kernel size, as in 'conv3x3'", {"block": "conv +"}, {"block": "conv3x3 +"}),
        Error(
            "8:3: 'bn' cannot name a rule: the language uses it already",
            {"grammar": {"bn": "in_"}},
            {"grammar": {"norm": "in_"}},
        ),
        Error("8:3: 'conv3x3' cannot name a rule", {"grammar": {"conv3x3": "bn"}}, {"grammar": {"conv_3": "bn"}}),
        Error(
            "8:3: 'w' cannot name a rule: it is a variable, the stage's width",
            {"grammar": {"w": "1"}},
            {"grammar": {"wide": "1"}},
        ),
        Error("8:3: 'post' cannot name a rule", {"grammar": {"post": "bn"}}, {"grammar": {"after": "bn"}}),
        Error("8:3: 'identity' cannot name a rule", {"grammar": {"identity": "bn"}}, {"grammar": {"same-as": "bn"}}),
        Error("8:3: 'gate' cannot name a rule", {"grammar": {"gate": "bn"}}, {"grammar": {"gated": "bn"}}),
        Error(
            "8:3: '3rd' cannot name a rule: write a letter, then at most 63",
            {"grammar": {"3rd": "bn"}},
            {"grammar": {"third": "bn"}},
        ),
        Error("8:3: 'a.b' cannot name a rule", {"grammar": {"a.b": "bn"}}, {"grammar": {"a_b": "bn", "a-c": "bn"}}),
    ],
    "Keys": [
        Error("7:1: unknown key 'blok' in a space; known keys: name,", {"blok": "conv3x3 +"}, {"about": "conv3x3 +"}),
        Error(
            "4:31: unknown key 'strid' in stages; known keys: blocks,",
            {"stages": "{blocks: 2, width: 8, strid: 2}"},
            {"stages": "{blocks: 2, width: 8, stride: 2}"},
        ),
        Error("1:1: the key 'stem' is missing", {"stem": None}, {}),
        Error(
            "7:31: unknown key 'chnged' in shortcut; it takes same, changed, from and names of rules;"
            " did you mean 'changed'?",
            {"shortcut": "{same: conv1x1(in), chnged: bn}"},
            {"shortcut": "{same: conv1x1(in), changed: conv1x1}"},
        ),
        Error(
            "7:12: unknown key 'orig' in shortcut",
            {"shortcut": "{orig: {changed: conv1x1}}", "grammar": {"original": "conv3x3 +"}},
            {"shortcut": "{original: {changed: conv1x1}}", "grammar": {"original": "conv3x3 +"}},
        ),
        Error(
            "7:15: shortcut of 'a' must be a mapping",
            {"shortcut": "{a: conv1x1}", "grammar": {"a": "relu"}},
            {"shortcut": "{a: {changed: conv1x1}}", "grammar": {"a": "relu"}},
        ),
        Error(
            "7:18: 'from' is input or preact, found 'preactivation'; did you mean 'preact'?",
            {"shortcut": "{from: preactivation}"},
            {"shortcut": "{from: preact}"},
        ),
        Error("7:10: unknown key 'parms' in limits", {"limits": "{parms: <= 2M}"}, {"limits": "{params: <= 2M}"}),
        Error(
            "7:18: '2M' is not a bound; write a comparison and a number",
            {"limits": "{params: 2M}"},
            {"limits": "{params: < 2M}"},
        ),
        Error(
            "10:3: unknown rule 'atn' in vary; did you mean 'attn'?",
            {"vary": {"atn": "stage"}, "grammar": {"attn": "bn"}},
            {"vary": {"attn": "stage"}, "grammar": {"attn": "bn"}},
        ),
        Error(
            "10:8: 'act' must vary by one of network, stage, block, use, found 'blocks'; did you mean 'block'?",
            {"vary": {"act": "blocks"}, "grammar": {"act": "relu | silu"}},
            {"vary": {"act": "block"}, "grammar": {"act": "relu | silu"}},
        ),
        Error(
            "8:3: unknown rule 'shortcut.other' in vary",
            {"vary": {"shortcut.other": "block"}},
            {"vary": {"shortcut.same": "block"}},
        ),
    ],
    "Structure": [
        Error(
            "8:6: the rules form a cycle: a -> b -> a",
            {"grammar": {"a": "b", "b": "a bn"}},
            {"grammar": {"a": "b", "b": "bn"}},
        ),
        Error("8:6: the rules form a cycle: a -> a", {"grammar": {"a": "a + 1"}}, {"grammar": {"a": "w + 1"}}),
        Error(
            "5:8: 'block' gives a block with no merge; a block has exactly one of +, cat, gate(b)",
            {"block": "conv3x3 bn"},
            {"block": "conv3x3 bn +"},
        ),
        Error(
            "5:8: 'block' gives a block with more than one merge",
            {"block": "conv3x3 + conv3x3 +"},
            {"block": "conv3x3 conv3x3 +"},
        ),
        Error("5:8: 'block' gives a block with no merge", {"block": "conv3x3 +?"}, {"block": "conv3x3 (relu +)"}),
        Error(
            "4:38: 'first' gives a block with no merge",
            {"stages": "{blocks: 1, width: 8, first: conv3x3 bn}"},
            {"stages": "{blocks: 1, width: 8, first: conv3x3 bn +}"},
        ),
        Error(
            "8:6: the rule 'b' gives a block with no merge",
            {"grammar": {"b": "conv3x3 | conv3x3 +"}, "block": "b"},
            {
                "grammar": {"b": "conv3x3 cat | conv3x3 +"},
                "block": "b",
                "shortcut": "{changed: avgpool}",
                "stages": "{blocks: 1, width: 8}",
            },
        ),
        Error("5:16: 'post' is allowed only in the stem", {"block": "conv3x3 post +"}, {"stem": "conv3x3(8) post"}),
        Error("6:7: 'post' is allowed only in the stem", {"head": "post gap fc"}, {"head": "pre gap fc"}),
        Error("3:21: 'pre' is allowed only in the head", {"stem": "conv3x3(8) bn pre"}, {"stem": "conv3x3(8) bn post"}),
        Error("8:9: 'post' is allowed only in the stem", {"grammar": {"rest": "post"}}, {"grammar": {"rest": "none"}}),
        Error(
            "3:21: '+' in the stem; a merge is allowed only in a block",
            {"stem": "conv3x3(8) bn +"},
            {"stem": "conv3x3(8) bn"},
        ),
        Error(
            "7:21: '+' in stage 1, shortcut; a merge is allowed only in a block",
            {"shortcut": "{same: bn +}"},
            {"shortcut": "{same: bn}"},
        ),
        Error(
            "6:7: the head has the output 16x1x1, 10 classes need 10x1x1; end it with 'fc'",
            {"head": "gap"},
            {"head": "gap fc"},
        ),
        Error("6:7: the head has the output 16x1x1", {"head": "gap fc?"}, {"head": "gap drop(0.1)? fc"}),
        Error(
            "6:20: the head: ln needs a map, 'fc' puts out a vector; write conv1x1 in place of 'fc'",
            {"head": "gap fc(8) ln fc"},
            {"head": "gap conv1x1(8) ln fc"},
        ),
        Error(
            "5:16: stage 1: the merge 'cat' needs a shortcut, here it is 'none'",
            {"block": "conv3x3 cat", "shortcut": "{same: none}"},
            {"block": "conv3x3 cat", "shortcut": "{same: identity, changed: avgpool}"},
        ),
    ],
    "Numbers and layers mixed up": [
        Error("5:8: the number '3' is among layers", {"block": "3 conv3x3 +"}, {"block": "conv3x3 +"}),
        Error(
            "5:8: the number 'wide' is among layers",
            {"block": "wide conv3x3 +", "grammar": {"wide": "1 | 2"}},
            {"block": "conv3x3(8*wide) conv3x3 +", "grammar": {"wide": "1 | 2"}},
        ),
        Error(
            "5:16: 'act' is a layer, expected a number in conv3x3(act)",
            {"block": "conv3x3(act) +", "grammar": {"act": "relu"}},
            {"block": "conv3x3 act +", "grammar": {"act": "relu"}},
        ),
        Error(
            "4:18: 'relu' is a layer, expected a number",
            {"stages": "{blocks: relu, width: 8}"},
            {"stages": "{blocks: 2, width: 8}"},
        ),
        Error("8:15: the number '2' is among layers", {"grammar": {"mix": "relu | 2"}}, {"grammar": {"mix": "1 | 2"}}),
    ],
    "Arguments": [
        Error(
            "5:16: conv3x3 has no argument 'dilation'; it has: out, s, d, g, bias, pad",
            {"block": "conv3x3(dilation=2) +"},
            {"block": "conv3x3(d=2) +"},
        ),
        Error(
            "5:18: found '|', expected ',' or ')'; write alternatives of numbers in brackets, as in (8 | 16)",
            {"block": "conv3x3(8 | 16) conv3x3 +"},
            {"block": "conv3x3((8 | 16)) conv3x3 +"},
        ),
        Error(
            "5:20: write the argument's name; conv3x3 takes out, s, d, g, bias, pad",
            {"block": "'conv3x3(w, 1) +'"},
            {"block": "'conv3x3(w, d=1) +'"},
        ),
        Error("5:8: drop needs p, as in drop(p=...)", {"block": "drop conv3x3 +"}, {"block": "drop(p=0.1) conv3x3 +"}),
        Error(
            "5:16: p of drop must be in 0..0.999, found 1",
            {"block": "conv3x3 drop(1) +"},
            {"block": "conv3x3 drop(0.9) +"},
        ),
        Error(
            "5:16: r of se must be in 0.001..65536, found 0",
            {"block": "conv3x3 se(r=q) +", "grammar": {"q": "4 | 0"}},
            {"block": "conv3x3 se(r=q) +", "grammar": {"q": "4 | 2"}},
        ),
        Error(
            "5:8: out of conv3x3 must be in 1..65536, found 65537",
            {"block": "conv3x3(65537) conv3x3 +"},
            {"block": "conv1x1(2048) conv3x3 +"},
        ),
        Error(
            "5:16: act of se must be one activation",
            {"block": "conv3x3 se(act=bn) +"},
            {"block": "conv3x3 se(act=silu) +"},
        ),
    ],
    "Widths, groups and shapes": [
        Error(
            "5:8: with ratio=1/3: out = w*ratio = 8/3 of conv is not a whole number",
            {"block": "conv3x3(w*ratio) conv3x3 +", "grammar": {"ratio": "1/4 | 1/3"}},
            {"block": "conv3x3(w*ratio) conv3x3 +", "grammar": {"ratio": "1/4 | 1/2"}},
        ),
        Error(
            "4:28: with base=3/2: the width 5*base = 15/2 of stage 1 is not a whole number",
            {"stages": "{blocks: 1, width: 5*base}", "grammar": {"base": "1 | 3/2"}},
            {"stages": "{blocks: 1, width: 5*base}", "grammar": {"base": "1 | 2"}},
        ),
        Error(
            "4:18: the number of blocks 0 of stage 1 is outside 1..2000",
            {"stages": "{blocks: 0, width: 8}"},
            {"stages": "{blocks: 1, width: 8}"},
        ),
        Error(
            "4:28: the width 65537 of stage 1 is outside 1..65536",
            {"stages": "{blocks: 1, width: 65537}", "block": "conv1x1 +"},
            {"stages": "{blocks: 1, width: 65536}", "block": "conv1x1(8) bn conv1x1(8) conv1x1 +"},
        ),
        Error(
            "4:28: the variable 'w' is not defined here",
            {"stages": "{blocks: 1, width: w}"},
            {"stages": "{blocks: 1, width: 8}"},
        ),
        Error(
            "5:20: stage 1: 5 groups do not divide the 12 input channels of conv3x3(out=8, g=5);"
            " nearest that fit: 4, 6",
            {"block": "conv3x3(12) conv3x3(g=5) +"},
            {"block": "conv3x3(12) conv3x3(g=4) +"},
        ),
        Error(
            "5:20: with groups=5: stage 1: 5 groups do not divide",
            {"block": "conv3x3(12) conv3x3(g=groups) +", "grammar": {"groups": "2 | 5"}},
            {"block": "conv3x3(12) conv3x3(g=groups) +", "grammar": {"groups": "2 | 4"}},
        ),
        Error(
            "5:24: with wide=2: stage 1: the merge '+' needs equal shapes: the branch has 16x16x16,"
            " the shortcut 8x16x16",
            {"block": "conv3x3(w*wide) +", "grammar": {"wide": "1 | 2"}, "shortcut": "{changed: conv1x1}"},
            {"block": "conv3x3(w*wide) +", "grammar": {"wide": "1 | 2"}, "shortcut": "{changed: conv1x1(w*wide)}"},
        ),
        Error(
            "5:8: stage 2: the layers shrink by 1, the stride is 2; give it to one of them, as in conv3x3(s=s)",
            {"block": "conv3x3(s=1) +"},
            {"block": "conv3x3(s=s) +"},
        ),
        Error(
            "5:35: stage 2, shortcut: the layers shrink by 1, the stride is 2",
            {"shortcut": "{changed: bn}"},
            {"shortcut": "{changed: subsample}"},
        ),
        Error(
            "3:23: the stem: conv4x4(out=8) does not fit an input of 8x2x2: the window is larger than the map",
            {"stem": "conv3x3(8, s=8) conv4x4(8)", "input": "3x16x16"},
            {"stem": "conv3x3(8, s=4) conv4x4(8)", "stages": "{blocks: 1, width: 8}"},
        ),
        Error(
            "5:16: with z=0: 8*w/z: division by zero",
            {"block": "conv3x3(8*w/z) conv3x3 +", "grammar": {"z": "1 | 0"}},
            {"block": "conv3x3(8*w/z) conv3x3 +", "grammar": {"z": "1 | 2"}},
        ),
    ],
    "Stages, input and classes": [
        Error(
            "4:49: stage 3 has no stride: 'stride' has 2 entries, 'width' has 3",
            {"stages": "{blocks: 2, width: [8, 16, 32], stride: [1, 2]}"},
            {"stages": "{blocks: 2, width: [8, 16, 32], stride: [1, 2, 2]}"},
        ),
        Error("4:9: stage 1 has no width", {"stages": "{blocks: 2}"}, {"stages": "{blocks: 2, width: 8}"}),
        Error(
            "4:33: stage 2 has no width",
            {"stages": "[{blocks: 2, width: 8}, {blocks: 2}]"},
            {"stages": "[{blocks: 2, width: 8}, {blocks: 2, width: 8}]"},
        ),
        Error(
            "4:28: 'width' is an empty list",
            {"stages": "{blocks: 2, width: []}"},
            {"stages": "{blocks: 2, width: [8]}"},
        ),
        Error("4:9: stages is empty", {"stages": "[]"}, {"stages": "[{blocks: 1, width: 8}]"}),
        Error(
            "1:8: an input is channels x height x width, as in 3x32x32; found '3x32'",
            {"input": "3x32"},
            {"input": "3x32x32"},
        ),
        Error(
            "1:8: an input has 1 to 65,536 channels and sides of 1 to 4,096",
            {"input": "3x4097x32"},
            {"input": "3x4096x2", "block": "conv1x1 +"},
        ),
        Error(
            "2:10: classes must be a whole number from 1 to 65,536, found '65537'",
            {"classes": "65537"},
            {"classes": "65536"},
        ),
        Error("2:10: classes must be a whole number", {"classes": "ten"}, {"classes": "10"}),
    ],
    "Expressions and YAML": [
        Error(
            "8:8: an empty alternative; write 'none' for no layer at all",
            {"grammar": {"act": "relu | "}},
            {"grammar": {"act": "relu | none"}},
        ),
        Error("5:8: block must be one expression", {"block": "[conv3x3, +]"}, {"block": "conv3x3 +"}),
        Error(
            "7:21: shortcut.changed is empty; write 'none' for no layer at all",
            {"shortcut": "{changed: ''}"},
            {"shortcut": "{changed: none}"},
        ),
        Error(
            "7:21: 'conv1x1(w' ends at a comma: YAML splits at commas in {...} and [...]; quote the expression",
            {"shortcut": "{changed: conv1x1(w, bias=1)}"},
            {"shortcut": "{changed: 'conv1x1(w, bias=1)'}"},
        ),
        Error("2:10: '010' means different things to different YAML readers", {"classes": "010"}, {"classes": "10"}),
        Error(
            "7:1: the key 'head' occurs twice, first in line 6", {"head": "gap fc\nhead: gap fc"}, {"head": "gap fc"}
        ),
    ],
    "Parallel paths": [
        Error(
            "5:8: sum joins at least two paths, as in sum(conv3x3 bn, identity); found one",
            {"block": "sum(conv3x3 bn) +"},
            {"block": "sum(conv3x3 bn, conv1x1 bn) +"},
        ),
        Error(
            "5:29: path 2 of cat is empty; write 'identity' for a path without layers",
            {"block": "conv3x3 cat(conv3x3, ) conv1x1 +"},
            {"block": "conv3x3 cat(conv3x3, identity) conv1x1 +"},
        ),
        Error(
            "5:28: the merge '+' is in a path of a fork, where no shortcut is",
            {"block": "conv3x3 sum(conv3x3 +, bn) +"},
            {"block": "conv3x3 sum(sum(conv3x3, identity), bn) +"},
        ),
        Error(
            "5:8: stage 1: the paths of sum need equal shapes, or 1x1 pixels or one channel in some; their outputs are",
            {"block": "sum(conv3x3, conv1x1(4)) +"},
            {"block": "sum(conv3x3, conv1x1) +"},
        ),
        Error(
            "5:8: stage 2, path 2 of sum: the layers shrink by 1, the stride is 2; write avgpool in this path, or open",
            {"block": "sum(conv3x3 bn, identity) +", "stages": "{blocks: 2, width: 8, stride: [1, 2]}"},
            {"block": "sum(conv3x3 bn, avgpool) +", "stages": "{blocks: 2, width: 8, stride: [1, 2]}"},
        ),
        Error(
            "5:20: stage 1, path 1 of sum: from(a) reads no tensor: no tap is before it; write tap(a) after the layer",
            {"block": "conv3x3 sum(from(a), bn) +"},
            {"block": "conv3x3 tap(a) bn sum(from(a), bn) +"},
        ),
    ],
}
