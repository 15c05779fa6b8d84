"""Arguments by the names of other libraries, and other brackets."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "5:16",
        "conv3x3 has no argument 'stride'; it has: out, s, d, g, bias, pad; did you mean 's'?",
        "block: conv3x3 bn +",
        {"block": "conv3x3(stride=2) bn +"},
    ),
    Mistake(
        "5:16",
        "conv3x3 has no argument 'out_channels'; it has: out, s, d, g, bias, pad; did you mean 'out'?",
        "block: conv3x3 bn +",
        {"block": "conv3x3(out_channels=8) bn +"},
    ),
    Mistake(
        "5:16",
        "conv3x3 has no argument 'filters'; it has: out, s, d, g, bias, pad; did you mean 'out'?",
        "block: conv3x3(bias=0) bn +",
        {"block": "conv3x3(filters=8, bias=False) bn +"},
        errors=2,
    ),
    Mistake(
        "5:19",
        "conv3x3 has no argument 'padding'; it has: out, s, d, g, bias, pad; did you mean 'pad'?",
        "block: conv3x3(pad=1) bn +",
        {"block": "conv3x3(8, padding=1) bn +"},
    ),
    Mistake(
        "5:19",
        "conv3x3 has no argument 'kernel_size'; it has: out, s, d, g, bias, pad; the kernel size is",
        "block: conv5x5 bn +",
        {"block": "conv3x3(8, kernel_size=5) bn +"},
    ),
    Mistake(
        "5:19",
        "write the argument's name; conv3x3 takes out, s, d, g, bias, pad; the input channels are",
        "block: conv3x3 bn +",
        {"block": "conv3x3(8, 8) bn +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'in_channels'; did you mean 'in'?",
        "block: conv3x3(w) bn +",
        {"block": "conv3x3(in_channels, out_channels) bn +"},
        errors=2,
    ),
    Mistake(
        "5:19",
        "conv3x3 has no argument 'groups'; it has: out, s, d, g, bias, pad; did you mean 'g'?",
        "block: conv3x3(w, g=4) bn +",
        {"block": "conv3x3(w, groups=4) bn +"},
    ),
    Mistake(
        "5:16",
        "a blank before the arguments; they follow the name directly",
        "block: conv3x3 bn +",
        {"block": "conv3x3 (8) bn +"},
    ),
    Mistake(
        "5:15",
        "'[' after 'conv3x3'; arguments are written in round brackets",
        "block: conv3x3 bn +",
        {"block": "conv3x3[8] bn +"},
    ),
    Mistake(
        "5:16",
        "the number '8' is among layers; the width of a conv is its argument, conv3x3(8)",
        "block: conv3x3 bn +",
        {"block": "conv3x3 8 bn +"},
    ),
    Mistake(
        "5:15",
        "the number '8' is among layers; the width of a conv is its argument, conv3x3(8)",
        "block: conv3x3 bn +",
        {"block": "conv3x3:8 bn +"},
    ),
    Mistake(
        "5:19",
        "not YAML: ':' after an argument; write name=value",
        "block: conv3x3 bn +",
        {"block": "conv3x3(out: 8) bn +"},
    ),
    Mistake("5:15", "'(' is not closed", "block: conv3x3 bn +", {"block": "conv3x3(8 bn +"}),
    Mistake("5:18", "')' closes nothing", "block: conv3x3 bn +", {"block": "conv3x3(8)) bn +"}),
    Mistake(
        "5:16",
        "conv3x3 has no argument 'dilation'; it has: out, s, d, g, bias, pad; did you mean 'd'?",
        "block: conv3x3(d=2) bn +",
        {"block": "conv3x3(dilation=2) bn +"},
    ),
    Mistake(
        "5:22",
        "se has no argument 'reduction'; it has: r, round, least, width, act, gate, bias, norm; did you mean",
        "block: conv3x3 bn se(r=4) +",
        {"block": "conv3x3 bn se(reduction=4) +"},
    ),
    Mistake(
        "5:22",
        "se has no argument 'ratio'; it has: r, round, least, width, act, gate, bias, norm; did you mean 'r'?",
        "block: conv3x3 bn se(r=4) +",
        {"block": "conv3x3 bn se(ratio=4) +"},
    ),
    Mistake(
        "5:19",
        "gn has no argument 'num_groups'; it has: g, eps; did you mean 'g'?",
        "block: conv3x3 gn(g=4) +",
        {"block": "conv3x3 gn(num_groups=4) +"},
    ),
    Mistake(
        "5:21",
        "drop has no argument 'rate'; it has: p; did you mean 'p'?",
        "block: conv3x3 drop(p=0.2) +",
        {"block": "conv3x3 drop(rate=0.2) +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'channels'; did you mean 'w'?",
        "block: conv3x3(w) bn +",
        {"block": "conv3x3(channels) bn +"},
    ),
    Mistake(
        "5:16", "unknown name 'width'; did you mean 'w'?", "block: conv3x3(w) bn +", {"block": "conv3x3(width) bn +"}
    ),
    Mistake(
        "5:19",
        "conv3x3 has no argument 'activation'; it has: out, s, d, g, bias, pad; an activation or a",
        "block: conv3x3 relu +",
        {"block": "conv3x3(8, activation=relu) +"},
    ),
    Mistake(
        "5:19",
        "conv3x3 has no argument 'norm'; it has: out, s, d, g, bias, pad; an activation or a norm is",
        "block: conv3x3 relu bn +",
        {"block": "conv3x3(8, norm=bn, act=relu) +"},
    ),
    Mistake("5:21", "relu takes no arguments", "block: conv3x3 relu +", {"block": "conv3x3 relu(inplace=True) +"}),
    Mistake(
        "5:19",
        "bn takes only eps, written by name; the channels are inferred",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 bn(8) relu +"},
    ),
    Mistake("5:16", "drop needs p, as in drop(p=...)", "block: conv3x3 drop(p=0.1) +", {"block": "conv3x3 drop +"}),
    Mistake(
        "5:20",
        "write the argument's name; conv3x3 takes out, s, d, g, bias, pad; the input channels are",
        "block: conv3x3 bn +",
        {"block": "conv3x3(16, s2) bn +"},
    ),
    Mistake(
        "5:15",
        "the number '8' is among layers; the width of a conv is its argument, conv3x3(8)",
        "block: conv3x3 bn +",
        {"block": "conv3x3@8 bn +"},
    ),
    Mistake("5:15", "'conv3x3/2': a stride is an argument, s=2", "block: conv3x3 bn +", {"block": "conv3x3/2 bn +"}),
    Mistake(
        "5:13",
        "mhsa has no argument 'num_heads'; it has: heads, position, window, grid, bias, proj; did you mean 'heads'?",
        "block: mhsa(heads=4) conv3x3 +",
        {"block": "mhsa(num_heads=4) conv3x3 +"},
    ),
    Mistake(
        "5:19",
        "the rule 'act' takes no arguments",
        "block: conv3x3 act +",
        {"block": "conv3x3 act(0.1) +", "grammar": {"act": "relu | silu"}},
    ),
    Mistake(
        "5:16",
        "conv3x3 has no argument 'w'; it has: out, s, d, g, bias, pad; did you mean 'out'?",
        "block: conv3x3(out=16) bn +",
        {"block": "conv3x3(w=16) bn +", "stages": "{blocks: 2, width: 16}"},
    ),
]
