"""Spaces of published families whose blocks have parallel paths, at small scale."""

from __future__ import annotations

from tests.space.spaces import text

RES2NET = "cat(part(1, 4) l tap(a), sum(part(2, 4), from(a)) l tap(b), sum(part(3, 4), from(b)) l, part(4, 4))"


def family(block: str, grammar: dict[str, str] | None = None, **sections: str) -> str:
    """Return a space file of plain blocks for images of 3x32x32, with sections replaced."""
    given = {"input": "3x32x32", "stem": "conv3x3(16) bn relu", "shortcut": "{same: none, changed: none}", **sections}
    return text(grammar, block=block, **given)


FAMILIES = {
    "repvgg": family("sum(conv3x3 bn, conv1x1 bn) + relu", shortcut="{same: bn, changed: none}"),
    "inception": family(
        "cat(a bn relu, b bn relu conv3x3(w/4) bn relu, b bn relu conv5x5(w/4) bn relu, maxpool3x3 a bn relu) +",
        {"a": "conv1x1(w/4)", "b": "conv1x1(w/8)"},
        stages="{blocks: 2, width: [16, 32]}",
    ),
    "inception_resnet": family(
        "mixed conv1x1(in, bias=1) scale(0.17) + relu",
        {
            "mixed": "a | b | c",
            "a": "cat(l1, l1 l3, l1 conv3x3(12) bn relu l3)",
            "b": "cat(l1, l1 conv7x7(12) bn relu)",
            "c": "cat(l1, l1 l3)",
            "l1": "conv1x1(8) bn relu",
            "l3": "conv3x3(16) bn relu",
        },
        stem="conv3x3(64) bn relu",
        stages="{blocks: 2, width: 64}",
        shortcut="{same: identity}",
    ),
    "reduction": family(
        "conv3x3 bn relu +",
        {"reduced": "cat(conv3x3(s=s) bn relu, conv1x1(8) bn relu conv3x3(24, s=s) bn relu, maxpool3x3(s=s))"},
        stages="{blocks: 2, width: [16, 32], stride: [1, 2], first: [conv3x3 +, reduced +]}",
    ),
    "ghostnet": family(
        "conv1x1 bn relu cat(identity, cheap relu) dwconv3x3(s=s) bn se(r=4)? conv1x1(w/2) bn cat(identity, cheap) +",
        {"cheap": "dwconv3x3 bn"},
        shortcut="{changed: dwconv3x3 bn conv1x1 bn}",
    ),
    "vovnet": family(
        "cat(identity, l cat(identity, l cat(identity, l))) conv1x1 bn relu +",
        {"l": "conv3x3(w/2) bn relu"},
        stages="{blocks: 2, width: [16, 32]}",
        shortcut="{same: identity, changed: none}",
    ),
    "res2net": family(
        "conv1x1(w/2) bn relu scales conv1x1 bn + relu",
        {
            "scales": "first | later",
            "first": "cat(part(1, 4) l, part(2, 4) l, part(3, 4) l, part(4, 4))",
            "later": RES2NET,
            "l": "conv3x3(w/8) bn relu",
        },
        stages="{blocks: 2, width: [32, 64]}",
        shortcut="{same: identity, changed: conv1x1 bn}",
    ),
    "shufflenet": family(
        "split(identity, l dwconv3x3 bn l) shuffle(2) +",
        {"l": "conv1x1(c) bn relu", "opening": "cat(dwconv3x3 bn l, l dwconv3x3 bn l) shuffle(2)"},
        stages="{blocks: 3, width: [32, 64], stride: 2, first: opening +}",
    ),
    "mixconv": family(
        "conv1x1(4*w) bn relu split(dwconv3x3, dwconv5x5, dwconv7x7) bn relu conv1x1 bn +",
        shortcut="{changed: none}",
    ),
    "starnet": family(
        "dwconv7x7 bn product(conv1x1(4*w, bias=1) relu6, conv1x1(4*w, bias=1)) conv1x1 bn dwconv7x7 +",
        shortcut="{same: identity, changed: none}",
    ),
    "csp": family(
        "cat(l, l unit{1,2}) conv1x1 bn silu +",
        {"l": "conv1x1(w/2) bn silu", "unit": "sum(identity, conv1x1(c) bn silu conv3x3(c) bn silu)"},
        stages="{blocks: 1, width: [16, 32]}",
    ),
    "hardnet": family(
        "tap(x) k tap(a) cat(from(x), identity) conv3x3(12) bn relu k tap(b) cat(from(a), from(b)) conv1x1 bn relu +",
        {"k": "conv3x3(8) bn relu"},
        stages="{blocks: 1, width: [16, 32]}",
    ),
    "gate": family(
        "conv3x3 bn product(identity, gap conv1x1(c/4, bias=1) relu conv1x1(c, bias=1) sigmoid) + relu",
        shortcut="{changed: conv1x1 bn}",
    ),
    "choices": family(
        "sum(conv3x3 | conv5x5 | dwconv3x3 conv1x1, conv1x1?, k{1,2}) bn + relu",
        {"k": "relu bn"},
        stages="{blocks: 2, width: 16}",
        shortcut="{changed: conv1x1 bn}",
    ),
}
# The same blocks at published scale: parameters and MACs are those of timm 1.0.31.
PUBLISHED = {
    "repvgg_a0": family(
        "sum(conv3x3 bn, conv1x1 bn) + relu",
        input="3x224x224",
        classes="1000",
        stem="sum(conv3x3(48, s=2) bn, conv1x1(48, s=2) bn) relu",
        stages="{blocks: [2, 4, 14, 1], width: [48, 96, 192, 1280], stride: 2}",
        shortcut="{same: bn, changed: none}",
    ),
    "res2net50_26w_4s": family(
        "conv1x1(w*26/64) bn relu later conv1x1 bn + relu",
        {
            "later": RES2NET,
            "opening": "cat(part(1, 4) k, part(2, 4) k, part(3, 4) k, part(4, 4) avgpool3x3(s=s))",
            "l": "conv3x3(w*26/256) bn relu",
            "k": "conv3x3(w*26/256, s=s) bn relu",
            "entry": "conv1x1(w*26/64) bn relu opening conv1x1 bn + relu",
        },
        input="3x224x224",
        classes="1000",
        stem="conv7x7(64, s=2) bn relu maxpool3x3(s=2)",
        stages="{blocks: [3, 4, 6, 3], width: [256, 512, 1024, 2048], stride: [1, 2, 2, 2], first: entry}",
        shortcut="{same: identity, changed: conv1x1 bn}",
    ),
    "starnet_s1": family(
        "dwconv7x7(bias=1) bn product(up relu6, up) conv1x1(bias=1) bn dwconv7x7(bias=1) +",
        {"up": "conv1x1(4*w, bias=1)"},
        input="3x224x224",
        classes="1000",
        stem="conv3x3(32, s=2, bias=1) bn relu6 conv3x3(24, s=2, bias=1) bn",
        transition="conv3x3(bias=1) bn",
        stages="{blocks: [2, 2, 8, 3], width: [24, 48, 96, 192], stride: [1, 2, 2, 2]}",
        shortcut="{same: identity}",
        head="bn gap fc",
    ),
    "vovnet39a": family(
        "cat(identity, l cat(identity, l cat(identity, l cat(identity, l cat(identity, l))))) conv1x1 bn relu +",
        {"l": "conv3x3(w/8 + 96) bn relu"},
        input="3x224x224",
        classes="1000",
        stem="conv3x3(64, s=2) bn relu conv3x3(64) bn relu conv3x3(128, s=2) bn relu",
        transition="maxpool2x2(s=2)",
        stages="{blocks: [1, 1, 2, 2], width: [256, 512, 768, 1024], stride: [1, 2, 2, 2]}",
    ),
}
