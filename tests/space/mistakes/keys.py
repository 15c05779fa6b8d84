"""Keys of other tools, and sections of other types."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "4:10", "unknown key 'depths' in stages", "stages: {blocks: 2, width: 8}", {"stages": "{depths: 2, width: 8}"}
    ),
    Mistake(
        "4:21",
        "unknown key 'channels' in stages",
        "stages: {blocks: 2, width: [8, 16]}",
        {"stages": "{blocks: 2, channels: [8, 16]}"},
    ),
    Mistake(
        "4:10",
        "unknown key 'layers' in stages",
        "stages: {blocks: 2, width: 8}",
        {"stages": "{layers: 2, filters: 8}"},
        errors=2,
    ),
    Mistake(
        "4:31",
        "unknown key 'strides' in stages",
        "stages: {blocks: 2, width: 8, stride: 1}",
        {"stages": "{blocks: 2, width: 8, strides: 1}"},
    ),
    Mistake(
        "4:10",
        "unknown key 'num_blocks' in stages",
        "stages: {blocks: 2, width: 8}",
        {"stages": "{num_blocks: 2, out_channels: 8}"},
        errors=2,
    ),
    Mistake(
        "4:21",
        "unknown key 'widths' in stages",
        "stages: {blocks: 2, width: 8, dilation: 1}",
        {"stages": "{blocks: 2, widths: 8, dilations: 1}"},
        errors=2,
    ),
    Mistake(
        "4:9",
        "stages must be a mapping with the keys blocks, width, stride, dilation, block, first,",
        "stages: {blocks: [2, 2, 2], width: [16, 32, 64], stride: [1, 2, 2]}",
        {"stages": "[2, 2, 2]"},
    ),
    Mistake(
        "4:9",
        "stages must be a mapping with the keys blocks, width, stride, dilation, block, first,",
        "stages: {blocks: [2, 2, 2], width: [16, 32, 64], stride: [1, 2, 2]}",
        {"stages": "3"},
    ),
    Mistake(
        "4:9",
        "stages must be a mapping with the keys blocks, width, stride, dilation, block, first,",
        "stages: {blocks: [2, 2], width: [8, 16], stride: [1, 2]}",
        {"stages": "[[2, 8, 1], [2, 16, 2]]"},
    ),
    Mistake(
        "4:9",
        "stages must be a mapping with the keys blocks, width, stride, dilation, block, first,",
        "stages: [{blocks: 1, width: 8}, {blocks: 1, width: 16, stride: 2}]",
        {"stages": "{stage1: {blocks: 1, width: 8}, stage2: {blocks: 1, width: 16, stride: 2}}"},
    ),
    Mistake(
        "4:10",
        "'blocks=2' in stages: a key and its value are written blocks: 2",
        "stages: {blocks: 2, width: 8}",
        {"stages": "{blocks=2, width=8}"},
        errors=2,
    ),
    Mistake(
        "4:10",
        "'blocks:2' in stages: a key and its value are written blocks: 2",
        "stages: {blocks: 2, width: 8}",
        {"stages": "{blocks:2, width:8}"},
        errors=2,
    ),
    Mistake(
        "7:1", "unknown key 'downsample' in a space", "shortcut: {changed: conv1x1 bn}", {"downsample": "conv1x1 bn"}
    ),
    Mistake(
        "7:11",
        "shortcut must be a mapping with the keys same, changed, from, or names of rules; found",
        "shortcut: {changed: conv1x1 bn}",
        {"shortcut": "conv1x1 bn"},
    ),
    Mistake(
        "7:11",
        "shortcut must be a mapping with the keys same, changed, from, or names of rules; found",
        "shortcut: {same: none, changed: none}",
        {"shortcut": "none"},
    ),
    Mistake(
        "7:11",
        "shortcut must be a mapping with the keys same, changed, from, or names of rules; found",
        "shortcut: {same: identity}",
        {"shortcut": "identity"},
    ),
    Mistake(
        "7:12",
        "unknown key 'projection' in shortcut",
        "shortcut: {changed: conv1x1}",
        {"shortcut": "{projection: conv1x1}"},
    ),
    Mistake(
        "7:12",
        "unknown key 'identity' in shortcut",
        "shortcut: {same: scale(0.5)}",
        {"shortcut": "{identity: scale(0.5)}"},
    ),
    Mistake(
        "7:12",
        "unknown key 'downsample' in shortcut",
        "shortcut: {changed: avgpool conv1x1}",
        {"shortcut": "{downsample: avgpool conv1x1}"},
    ),
    Mistake("7:1", "unknown key 'skip' in a space", "shortcut: {changed: conv1x1}", {"skip": "{changed: conv1x1}"}),
    Mistake("6:1", "unknown key 'num_classes' in a space", "classes: 10", {"classes": None, "num_classes": "10"}),
    Mistake("6:1", "unknown key 'input_shape' in a space", "input: 3x32x32", {"input": None, "input_shape": "3x32x32"}),
    Mistake("6:1", "unknown key 'cell' in a space", "block: conv3x3 bn +", {"block": None, "cell": "conv3x3 bn +"}),
    Mistake("6:1", "unknown key 'classifier' in a space", "head: gap fc", {"head": None, "classifier": "gap fc"}),
    Mistake("7:1", "unknown key 'grammer' in a space", "grammar: {act: relu}", {"grammer": "{act: relu}"}),
    Mistake(
        "7:1", "unknown key 'lr' in a space; known keys: name, about, input, classes, stem, stages,", "", {"lr": "0.1"}
    ),
    Mistake(
        "7:1",
        "unknown key 'optimizer' in a space; known keys: name, about, input, classes, stem,",
        "",
        {"optimizer": "{name: sgd}"},
    ),
    Mistake(
        "7:1",
        "unknown key 'epochs' in a space; known keys: name, about, input, classes, stem, stages,",
        "",
        {"epochs": "10"},
    ),
    Mistake(
        "7:1",
        "unknown key 'in_channels' in a space; 'input' has channels, height and width, as in 3x32x32",
        "",
        {"in_channels": "1"},
    ),
    Mistake(
        "4:32",
        "width: 16, 32: a list is written width: [16, 32]",
        "stages: {blocks: 2, width: [16, 32], stride: [1, 2]}",
        {"stages": "{blocks: 2, width: 16, 32, stride: [1, 2]}"},
    ),
    Mistake(
        "4:20",
        "width: 8, 16, 32: a list is written width: [8, 16, 32]",
        "stages: {width: [8, 16, 32], blocks: 2}",
        {"stages": "{width: 8, 16, 32, blocks: 2}"},
    ),
    Mistake(
        "7:1",
        "unknown key 'constraints' in a space",
        "where: [width@stage2 >= width@stage1]",
        {"constraints": "[width@stage2 >= width@stage1]"},
    ),
]
