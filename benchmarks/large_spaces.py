"""Large spaces of several kinds, as people write them, for ``space_speed.py``."""

from __future__ import annotations

from typing import NamedTuple

BASIC = "conv3x3 bn relu conv3x3 bn + relu"
BOTTLENECK = "conv1x1(w*b) bn relu conv3x3(w*b, g=g) bn relu conv1x1 bn + relu"
PROJECTION = "{changed: conv1x1 bn | (avgpool conv1x1 bn)}"  # a choice in a shortcut
IMAGENET = {"input": "3x224x224", "stem": "conv3x3(32, s=2) bn relu", "stride": "[2, 2, 2, 2]"}
CIFAR = {"input": "3x32x32", "stem": "conv3x3(32) bn relu", "stride": "[1, 2, 2, 2]"}


class LargeSpace(NamedTuple):
    """A space.

    Attributes:
        sections: The input, stem, stride, width and block, and further sections of the file.
        rules: The rules.
        by_stage: The rules that vary by stage.
        by_block: The rules that vary by block.
    """

    sections: dict[str, str]
    rules: dict[str, str]
    by_stage: str = ""
    by_block: str = ""

    @property
    def text(self) -> str:
        """The text of its file."""
        of_stages = {name: text for name, text in self.sections.items() if name in ("width", "stride", "first")}
        stages = ", ".join(f"{name}: {text}" for name, text in {"blocks": "depth", **of_stages}.items())
        others = {name: text for name, text in self.sections.items() if name not in of_stages}
        sections = {"classes": "10", "head": "gap fc", **others, "stages": f"{{{stages}}}"}
        vary = dict.fromkeys(self.by_stage.split(), "stage") | dict.fromkeys(self.by_block.split(), "block")
        lines = [f"{name}: {text}" for name, text in sections.items()]
        for section, entries in (("grammar", self.rules), ("vary", vary)):
            lines += [f"{section}:", *(f"  {name}: {text}" for name, text in entries.items())] if entries else []
        return "\n".join(lines) + "\n"


ANY_NET = {"gw": "range(8, 64, 8)", "g": "range(1, 16, 1)", "depth": "range(1, 16, 1)", "b": "1 | 1/2 | 1/4"}
SUMS = {
    "w1": "range(32, 512, 32)", **{f"d{k}": "range(0, 512, 32)" for k in (2, 3, 4)},
    "b": "1 | 1/2 | 1/4", "g": "1 | 2 | 4 | 8", "depth": "range(1, 16, 1)",
}  # fmt: skip
RUNNING = {"width": "[w1, w1+d2, w1+d2+d3, w1+d2+d3+d4]", "block": BOTTLENECK}
GROWING = "width@stage1 <= width@stage2 <= width@stage3 <= width@stage4"
DEEPER = "depth@stage1 <= depth@stage2 <= depth@stage3 <= depth@stage4"
WIDE_DEEP = {"width": "range(8, 512, 8)", "depth": "range(1, 16, 1)"}

LARGE_SPACES = {
    "AnyNetX-A": LargeSpace({**IMAGENET, "width": "gw*g", "block": BOTTLENECK}, ANY_NET, "gw g depth b"),
    "AnyNetX-A, a choice in the shortcut": LargeSpace(
        {**IMAGENET, "width": "gw*g", "block": BOTTLENECK, "shortcut": PROJECTION}, ANY_NET, "gw g depth b"
    ),
    "AnyNetX-B, shared bottleneck and groups": LargeSpace(
        {**IMAGENET, "width": "width", "block": BOTTLENECK},
        {"width": "range(128, 1024, 128)", "depth": "range(1, 16, 1)", "b": "1 | 1/2 | 1/4", "g": "1 | 2 | 4 | 8 | 32"},
        "width depth",
    ),
    "widths as running sums, CIFAR": LargeSpace(
        {**CIFAR, "stride": "[1, 2, 2]", "width": "[w1, w1+d2, w1+d2+d3]", "block": BASIC},
        {"w1": "range(8, 128, 8)", "d2": "range(0, 128, 8)", "d3": "range(0, 128, 8)", "depth": "range(1, 8, 1)"},
        "depth",
    ),
    "widths as running sums, ImageNet": LargeSpace({**IMAGENET, **RUNNING}, SUMS, "depth"),
    "running sums, a choice in each shortcut": LargeSpace(
        {**IMAGENET, **RUNNING, "shortcut": "{changed: proj, same: skip}"},
        {**SUMS, "proj": "conv1x1 bn | avgpool conv1x1 bn | conv3x3 bn", "skip": "identity | scale(0.5)"},
        "depth proj", "skip",
    ),
    "running sums with conditions": LargeSpace(
        {**IMAGENET, **RUNNING,
         "where": '[d2 <= w1, d3 <= 2*d2, "max(w@stage4, w@stage3) <= 1024", "depth@stage1 <= depth@stage3"]'},
        SUMS, "depth",
    ),
    "four stages of width and depth": LargeSpace({**CIFAR, "width": "width", "block": BASIC}, WIDE_DEEP, "width depth"),
    "four stages of width and depth, a choice in the shortcut": LargeSpace(
        {**CIFAR, "width": "width", "block": BASIC, "shortcut": PROJECTION}, WIDE_DEEP, "width depth"
    ),
    "growing widths by a condition, a choice in the shortcut": LargeSpace(
        {**CIFAR, "width": "width", "block": BASIC, "shortcut": "{changed: proj}",
         "where": "[width@stage1 <= width@stage2 <= width@stage3 <= width@stage4, n <= 40]"},
        {**WIDE_DEEP, "proj": "conv1x1 bn | avgpool conv1x1 bn"}, "width depth proj",
    ),
    "AnyNetX-E, growing widths and depths": LargeSpace(
        {**IMAGENET, "width": "width", "block": BOTTLENECK, "where": f"[{GROWING}, {DEEPER}]"},
        {"width": "range(64, 1024, 64)", "depth": "range(1, 16, 1)", "b": "1 | 1/2 | 1/4", "g": "1 | 2 | 4 | 8 | 16"},
        "width depth",
    ),
    "six stages of growing widths, a choice in the shortcut": LargeSpace(
        {"input": "3x64x64", "stem": "conv3x3(32) bn relu", "stride": "[1, 2, 1, 2, 1, 2]", "width": "width",
         "block": BASIC, "shortcut": "{changed: proj}", "where": f"[{GROWING} <= width@stage5 <= width@stage6]"},
        {"width": "range(16, 512, 16)", "depth": "range(1, 8, 1)", "proj": "conv1x1 bn | avgpool conv1x1 bn"},
        "width depth proj",
    ),
    "growing widths and depths, few blocks": LargeSpace(
        {**CIFAR, "width": "width", "block": BASIC, "shortcut": PROJECTION,
         "where": f"[{GROWING}, {DEEPER}, n <= 30]"},
        WIDE_DEEP, "width depth",
    ),
    "running sums of six stages, groups divide": LargeSpace(
        {"input": "3x64x64", "stem": "conv3x3(32) bn relu", "stride": "[1, 2, 1, 2, 1, 2]", "block": BOTTLENECK,
         "width": "[w1, w1+d2, w1+d2+d3, w1+d2+d3+d4, w1+d2+d3+d4+d5, w1+d2+d3+d4+d5+d6]",
         "shortcut": PROJECTION, "where": "[g divides w*b, n <= 40]"},
        {"w1": "range(16, 256, 16)", **{f"d{k}": "range(0, 256, 16)" for k in range(2, 7)},
         "b": "1 | 1/2 | 1/4", "g": "1 | 2 | 4 | 8 | 16 | 32", "depth": "range(1, 12, 1)"},
        "b g depth",
    ),
    "four choices in each block": LargeSpace(
        {**CIFAR, "width": "[16, 32, 64, 128]",
         "block": "conv1x1(w*b) norm act conv3x3(w*b, d=dil) norm act conv1x1 norm +"},
        {"b": "1/4 | 1/2 | 1 | 2", "norm": "bn | in_", "act": "relu | silu | gelu", "dil": "1 | 2",
         "depth": "range(1, 8, 1)"},
        "depth", "b norm act dil",
    ),
    "mobile blocks, resolution and width multiplier": LargeSpace(
        {"input": "3 x res x res", "stem": "conv3x3(round(16*mult, 8), s=2) bn act", "stride": "[1, 2, 2, 2, 1, 2, 1]",
         "width": "[" + ", ".join(f'"round({w}*mult, 8)"' for w in (16, 24, 40, 80, 112, 192, 320)) + "]",
         "block": "conv1x1(in*e) bn act (dwconv3x3 | dwconv5x5 | dwconv7x7) bn act attn conv1x1 bn +",
         "shortcut": "{changed: none}"},
        {"res": "range(128, 288, 8)", "mult": "range(0.5, 1.5, 0.05)", "e": "range(1, 8, 1)",
         "act": "relu6 | hardswish", "attn": "none | se(r=4)", "depth": "range(1, 6, 1)"},
        "depth", "e attn",
    ),
    "ten stages, a choice in the shortcut": LargeSpace(
        {"input": "3x64x64", "stem": "conv3x3(16) bn relu", "stride": "[1, 1, 2, 1, 2, 1, 2, 1, 2, 1]",
         "width": "width", "block": "conv3x3 bn act conv3x3 bn attn + act", "shortcut": "{changed: proj}"},
        {"width": "range(8, 256, 8)", "depth": "range(1, 12, 1)", "act": "relu | silu", "attn": "none | se(r=4) | eca",
         "proj": "conv1x1 bn | avgpool conv1x1 bn"},
        "width depth act proj", "attn",
    ),
    "groups in each stage, limited by a condition": LargeSpace(
        {**IMAGENET, "width": "width", "block": BOTTLENECK, "shortcut": PROJECTION,
         "where": "[g divides w*b, width@stage1 <= width@stage2 <= width@stage3 <= width@stage4]"},
        {"width": "range(16, 1024, 16)", "g": "1 | 2 | 4 | 8 | 16 | 32 | 64", "b": "1/4 | 1/2 | 1 | 2",
         "depth": "range(1, 24, 1)"},
        "width g b depth",
    ),
    "taps between the shares of a block": LargeSpace(
        {**IMAGENET, "width": "4*base*growth", "first": "conv1x1 bn relu conv3x3(s=s) bn + relu",
         "block": "conv1x1(4*base) bn relu cat(part(1, 4) one tap(y), sum(part(2, 4), from(y)) one tap(y),"
         " sum(part(3, 4), from(y)) one, part(4, 4)) conv1x1 bn attn + relu",
         "shortcut": PROJECTION},
        {"base": "range(8, 128, 4)", "growth": "1 | 2 | 4", "one": "(conv3x3(base) | conv5x5(base)) bn relu",
         "attn": "none | se(r=8) | eca", "depth": "range(1, 20, 1)"},
        "base growth depth one", "attn",
    ),
    "dense layers in a block of several depths": LargeSpace(
        {**CIFAR, "width": "width", "first": "conv3x3 bn relu conv3x3 bn + relu",
         "block": "tap(a) conv3x3(k) norm relu tap(b) cat(identity, from(a)) conv3x3(k) norm relu"
         " cat(identity, from(b), from(a)) (conv1x1(k) bn relu){0,3} conv1x1 norm +"},
        {"width": "range(16, 256, 16)", "k": "range(8, 64, 8)", "norm": "bn | in_", "depth": "range(1, 12, 1)"},
        "width depth k", "norm",
    ),
    "parallel paths of any width": LargeSpace(
        {**IMAGENET, "width": "width",
         "block": "cat(conv1x1(w/4*p) bn act, conv1x1(q) bn act conv3x3(q) bn act, (avgpool3x3(s=s) | maxpool3x3(s=s))"
         " conv1x1(w/4) bn act) conv1x1(s=1) bn + act", "shortcut": PROJECTION},
        {"width": "range(32, 512, 32)", "p": "range(1, 4, 1)", "q": "range(8, 128, 8)", "act": "relu | silu | mish",
         "depth": "range(1, 10, 1)"},
        "width p q depth", "act",
    ),
    "two units in a block, transitions with choices": LargeSpace(
        {**IMAGENET, "width": "width", "block": "mix ; mlp", "stride": "[1, 2, 2, 2]",
         "transition": "(ln conv2x2(w, s=s)) | (conv3x3(w, s=s) bn)", "stem": "conv4x4(w, s=4) ln",
         "shortcut": "{same: skip, changed: none}"},
        {"width": "range(32, 768, 32)", "depth": "range(1, 27, 1)",
         "mix": "ln (dwconv3x3 | dwconv5x5 | dwconv7x7) layerscale? +", "mlp": "ln conv1x1(e*w) gelu grn? conv1x1 +",
         "e": "range(1, 6, 0.5)", "skip": "identity | droppath(0.1) | scale(0.5)"},
        "width depth e", "mix mlp skip",
    ),
}  # fmt: skip
