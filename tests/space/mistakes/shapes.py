"""Shapes that do not match."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "5:24",
        "stage 1: the merge '+' needs equal shapes: the branch has 16x16x16, the shortcut",
        ("block: conv3x3 bn +", "shortcut: {changed: conv1x1(2*w) bn}"),
        {"block": "conv3x3(2*w) bn +"},
    ),
    Mistake(
        "5:45",
        "stage 1: the merge '+' needs equal shapes: the branch has 2x16x16, the shortcut",
        ("block: conv1x1(w/4) bn relu conv3x3 bn +", "shortcut: {changed: conv1x1(w/4) bn}"),
        {"block": "conv1x1(w/4) bn relu conv3x3(w/4) bn +"},
    ),
    Mistake(
        "5:19",
        "stage 1: the merge '+' needs equal shapes: the branch has 8x15x15, the shortcut",
        "block: conv3x3 bn +",
        {"block": "conv2x2 bn +"},
    ),
    Mistake(
        "5:27",
        "stage 1: the merge '+' needs equal shapes: the branch has 8x15x15, the shortcut",
        "block: conv3x3 maxpool3x3 +",
        {"block": "conv3x3 maxpool2x2 +"},
    ),
    Mistake(
        "5:35",
        "stage 1: the merge '+' needs equal shapes: the branch has 8x16x16, the shortcut",
        "shortcut: {same: conv1x1}",
        {"shortcut": "{same: conv1x1(4)}"},
    ),
    Mistake(
        "5:35",
        "stage 2: the merge '+' needs equal shapes: the branch has 16x8x8, the shortcut 32x8x8;",
        ("block: conv3x3 bn relu conv3x3(32) bn + relu", "shortcut: {changed: conv1x1 bn}"),
        {"shortcut": "{changed: conv1x1(32) bn}"},
    ),
    Mistake(
        "5:21",
        "stage 2: the merge '+' needs equal shapes: the branch has 8x8x8, the shortcut 32x8x8;",
        "",
        {"block": "dwconv3x3 bn +", "shortcut": "{changed: conv1x1(2*w)}"},
    ),
    Mistake(
        "4:9",
        "stage 3: the stride is 2, but the map has only 1x1 pixels and keeps its shape; give the",
        "stages: {blocks: 1, width: [8, 8, 8], stride: [1, 2, 1]}",
        {"input": "3x2x2", "stages": "{blocks: 1, width: [8, 8, 8], stride: [1, 2, 2]}"},
    ),
    Mistake(
        "5:8",
        "stage 2: the layers shrink by 1, the stride is 2; give it to one of them, as in",
        "block: conv3x3(s=s) bn +",
        {"block": "conv3x3(s=1) bn +"},
    ),
    Mistake(
        "5:35",
        "stage 2, shortcut: the layers shrink by 1, the stride is 2; give it to one of them, as",
        "shortcut: {changed: conv1x1 bn}",
        {"shortcut": "{changed: bn}"},
    ),
    Mistake(
        "6:7",
        "the head has the output 16x1x1, 10 classes need 10x1x1; end it with 'fc'",
        "head: gap fc",
        {"head": "gap"},
    ),
    Mistake(
        "5:28",
        "with block=none +: stage 2: the layers shrink by 1, the stride is 2; for the shortcut alone,",
        "block: conv3x3 bn + | zero +",
        {"block": "conv3x3 bn + | none +", "stages": "{blocks: 2, width: [16, 32], stride: [1, 2]}"},
    ),
    Mistake(
        "5:32",
        "with block=scale(0) +: stage 2: the layers shrink by 1, the stride is 2; for the shortcut",
        "block: conv3x3 bn + | zero +",
        {"block": "conv3x3 bn + | scale(0) +", "stages": "{blocks: 2, width: [16, 32], stride: [1, 2]}"},
    ),
    Mistake(
        "5:20",
        "stage 1: the merge '+' needs equal shapes: the branch has 8x1x1, the shortcut 8x16x16; the layer at 5:16",
        "",
        {"block": "conv3x3 gap +"},
    ),
]
