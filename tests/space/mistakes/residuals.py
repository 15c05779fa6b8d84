"""Residual blocks as formulas and functions, and repetitions."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "5:8",
        "'x' before '+': the branch is written before '+', the shortcut is not written",
        "block: conv3x3 bn relu conv3x3 bn +",
        {"block": "x + conv3x3 bn relu conv3x3 bn"},
    ),
    Mistake(
        "5:21",
        "'x' after '+': '+' adds the shortcut, which is not written",
        "block: conv3x3 bn +",
        {"block": "conv3x3 bn + x"},
    ),
    Mistake(
        "5:21",
        "'shortcut' after '+': '+' adds the shortcut, which is not written",
        "block: conv3x3 bn +",
        {"block": "conv3x3 bn + shortcut"},
    ),
    Mistake(
        "5:8",
        "'x' before '+': the branch is written before '+', the shortcut is not written",
        "block: f +",
        {"block": "x + f", "grammar": {"f": "conv3x3 bn"}},
    ),
    Mistake(
        "5:8",
        "'residual(conv3x3 bn relu)': the language writes conv3x3 bn relu +",
        "block: conv3x3 bn relu +",
        {"block": "residual(conv3x3 bn relu)"},
    ),
    Mistake(
        "5:8",
        "'Residual(conv3x3, bn, relu)': the language writes conv3x3 bn relu +",
        "block: conv3x3 bn relu +",
        {"block": "Residual(conv3x3, bn, relu)"},
    ),
    Mistake(
        "5:8",
        "a function of layers; the language writes layers in the order of computation",
        "block: conv3x3 bn + relu",
        {"block": "relu(bn(conv3x3(x)) + x)"},
    ),
    Mistake(
        "5:8",
        "a function of layers; the language writes layers in the order of computation",
        "block: conv3x3 bn + relu",
        {"block": "relu(x + bn(conv3x3(x)))"},
    ),
    Mistake(
        "5:8",
        "'out =': a block is an expression without a name",
        "block: conv3x3 bn +",
        {"block": "out = conv3x3 bn + x"},
    ),
    Mistake(
        "5:19", "unknown name 'add'; did you mean '+'?", "block: conv3x3 bn + relu", {"block": "conv3x3 bn add relu"}
    ),
    Mistake(
        "5:19", "unknown name 'Add'; did you mean '+'?", "block: conv3x3 bn + relu", {"block": "conv3x3 bn Add() relu"}
    ),
    Mistake(
        "5:19",
        "unknown name 'concat'; did you mean 'cat'?",
        "block: conv3x3 bn cat",
        {"block": "conv3x3 bn concat", "shortcut": "{changed: avgpool}"},
    ),
    Mistake(
        "5:19", "the sign '⊕'; the language writes '+'", "block: conv3x3 bn + relu", {"block": "conv3x3 bn ⊕ relu"}
    ),
    Mistake(
        "5:8",
        "'block' gives a block with no merge; a block has exactly one of +, cat, gate(b)",
        "block: conv3x3 bn relu conv3x3 bn +",
        {"block": "conv3x3 bn relu conv3x3 bn"},
    ),
    Mistake(
        "5:8",
        "'block' gives a block with no merge; a block has exactly one of +, cat, gate(b)",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "conv3x3 bn relu conv3x3 bn relu"},
    ),
    Mistake(
        "5:8",
        "'skip' before '+': the branch is written before '+', the shortcut is not written",
        "block: conv3x3 bn +",
        {"block": "skip + conv3x3 bn"},
    ),
    Mistake(
        "5:22",
        "'x' after '+': '+' adds the shortcut, which is not written",
        "block: conv3x3 bn +",
        {"block": "conv3x3 bn += x"},
    ),
    Mistake(
        "5:8",
        "'Sequential(conv3x3, bn, relu)': the language writes conv3x3 bn relu",
        "block: conv3x3 bn relu +",
        {"block": "Sequential(conv3x3, bn, relu) + x"},
        errors=2,
    ),
    Mistake(
        "5:8",
        "'nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))': the language writes",
        "block: conv3x3 bn + identity",
        {"block": "nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)) + identity"},
    ),
    Mistake(
        "5:8",
        "'H(x) =': a block is an expression without a name",
        "block: conv3x3 bn +",
        {"block": "H(x) = conv3x3 bn + x"},
    ),
    Mistake(
        "5:8",
        "a function of layers; the language writes layers in the order of computation",
        "block: conv3x3 bn + relu",
        {"block": "relu(bn(conv3x3(x)))"},
    ),
    Mistake(
        "5:25",
        "'*' for a repetition; it is written (...){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "(conv3x3 bn relu)*2 +"},
    ),
    Mistake(
        "5:9",
        "'*' for a repetition; it is written (...){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "2*(conv3x3 bn relu) +"},
    ),
    Mistake(
        "5:25",
        "'x2' for a repetition; it is written (...){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "(conv3x3 bn relu)x2 +"},
    ),
    Mistake(
        "5:26",
        "'x' for a repetition; it is written (...){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "(conv3x3 bn relu) x 2 +"},
    ),
    Mistake(
        "5:25",
        "'^' for a repetition; it is written (...){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "(conv3x3 bn relu)^2 +"},
    ),
    Mistake(
        "5:25",
        "{1-3}: repetitions from n to m are written {n,m}",
        "block: (conv3x3 bn relu){1,3} +",
        {"block": "(conv3x3 bn relu){1-3} +"},
    ),
    Mistake(
        "5:25",
        "{1..3}: repetitions from n to m are written {n,m}",
        "block: (conv3x3 bn relu){1,3} +",
        {"block": "(conv3x3 bn relu){1..3} +"},
    ),
    Mistake(
        "5:25",
        "{1,}: repetitions from n to m are written {n,m}",
        "block: (conv3x3 bn relu){1,3} +",
        {"block": "(conv3x3 bn relu){1,} +"},
    ),
    Mistake(
        "5:8",
        "not YAML: '[' starts a list of YAML; a group of layers is written (...)",
        "block: (conv3x3 bn relu){2} +",
        {"block": "[conv3x3 bn relu]*2 +"},
    ),
    Mistake(
        "5:8",
        "'repeat(conv3x3 bn relu, 2)': the language writes (conv3x3 bn relu){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "repeat(conv3x3 bn relu, 2) +"},
    ),
    Mistake(
        "5:15", "'*' for a repetition; it is written (...){2}", "block: conv3x3{2} bn +", {"block": "conv3x3*2 bn +"}
    ),
    Mistake(
        "5:16", "'x2' for a repetition; it is written (...){2}", "block: conv3x3{2} bn +", {"block": "conv3x3 x2 bn +"}
    ),
    Mistake(
        "5:25",
        "the sign '×'; the language writes '*'",
        "block: (conv3x3 bn relu){2} +",
        {"block": "(conv3x3 bn relu)×2 +"},
    ),
    Mistake(
        "5:9", "'x' for a repetition; it is written (...){2}", "block: (conv3x3 bn){2} +", {"block": "2x(conv3x3 bn) +"}
    ),
    Mistake(
        "5:25",
        "'**' for a repetition; it is written (...){2}",
        "block: (conv3x3 bn relu){2} +",
        {"block": "(conv3x3 bn relu)**2 +"},
    ),
    Mistake(
        "5:8",
        "'block' gives a block with more than one merge; a block has exactly one of +, cat, gate(b),",
        "block: conv3x3 bn + relu ; conv3x3 bn + relu",
        {"block": "conv3x3 bn + relu conv3x3 bn + relu"},
    ),
    Mistake(
        "5:8",
        "'block' gives a block with more than one merge; a block has exactly one of +, cat, gate(b),",
        "block: (conv3x3 bn) relu conv1x1 + relu ; conv3x3 bn +",
        {"block": "(conv3x3 bn) relu conv1x1 + relu conv3x3 bn +"},
    ),
    Mistake(
        "5:8",
        "'nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNo...': the language writes",
        "block: conv3x3 bn relu +",
        {"block": "nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)) +"},
    ),
]
