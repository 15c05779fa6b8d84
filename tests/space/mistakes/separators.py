"""Separators between layers: commas, arrows, dashes and words."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "5:15",
        "',' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "conv3x3, bn, relu, conv3x3, bn + relu"},
    ),
    Mistake(
        "5:16",
        "'->' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "conv3x3 -> bn -> relu -> conv3x3 -> bn -> + -> relu"},
    ),
    Mistake(
        "5:16",
        "'=>' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 => bn => relu +"},
    ),
    Mistake(
        "5:16",
        "'-' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 - bn - relu +"},
    ),
    Mistake(
        "5:15",
        "'-' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu conv3x3 bn+relu",
        {"block": "conv3x3-bn-relu-conv3x3-bn+relu"},
    ),
    Mistake(
        "5:16",
        "'/' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 / bn / relu +"},
    ),
    Mistake(
        "5:15",
        "';' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3; bn; relu +"},
    ),
    Mistake(
        "5:16",
        "'>' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 > bn > relu +"},
    ),
    Mistake(
        "5:16",
        "'>>' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 >> bn >> relu +"},
    ),
    Mistake(
        "5:16",
        "'→' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 → bn → relu +"},
    ),
    Mistake(
        "5:16",
        "'then' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 then bn then relu +"},
    ),
    Mistake(
        "5:16",
        "'&' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 & bn & relu +"},
    ),
    Mistake(
        "5:16",
        "'–' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 – bn – relu +"},
    ),
    Mistake(
        "5:16",
        "'·' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 · bn · relu +"},
    ),
    Mistake(
        "3:17",
        "',' between layers; layers are separated by blanks",
        "stem: conv3x3(8) bn relu",
        {"stem": "conv3x3(8), bn, relu"},
    ),
    Mistake("6:11", "'->' between layers; layers are separated by blanks", "head: gap fc", {"head": "gap -> fc"}),
    Mistake(
        "7:29",
        "',' between layers; layers are separated by blanks",
        "shortcut: {changed: 'conv1x1 bn'}",
        {"shortcut": "{changed: 'conv1x1, bn'}"},
    ),
    Mistake(
        "5:8",
        "'block' gives a block with more than one merge; a block has exactly one of +, cat,",
        "block: conv3x3 bn + relu",
        {"block": "conv3x3 + bn + relu"},
    ),
    Mistake(
        "5:16",
        "'and' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 and bn and relu +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'conv3x3_bn_relu'; did you mean 'conv3x3 bn relu'?",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3_bn_relu +"},
    ),
    Mistake(
        "5:23",
        "',' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "conv3x3 bn relu, conv3x3 bn + relu"},
    ),
    Mistake(
        "5:16",
        "not YAML: ':' in an expression; layers are separated by blanks, and arguments follow in",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 : bn : relu +"},
    ),
    Mistake(
        "5:25",
        "',' between layers; layers are separated by blanks",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 bn relu +,"},
    ),
    Mistake(
        "3:18",
        "'-' between layers; layers are separated by blanks",
        "stem: conv3x3(16) bn relu",
        {"stem": "conv3x3(16)-bn-relu"},
    ),
    Mistake(
        "5:16",
        "'-' between layers; layers are separated by blanks",
        "block: conv3x3 norm act +",
        {"block": "conv3x3 - norm - act +", "grammar": {"norm": "bn", "act": "relu | silu"}},
    ),
    Mistake(
        "8:14",
        "'-' between layers; layers are separated by blanks",
        "  op: conv3x3 norm relu +",
        {"block": "op", "grammar": {"op": "conv3x3-norm-relu +", "norm": "bn"}},
    ),
]
