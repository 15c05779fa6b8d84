"""Keys in another place, lists in another form, and sections that are missing or empty."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "6:1",
        "the key 'blocks' belongs to 'stages' above it; indent it",
        "  blocks: depth",
        ("stages", "stages:\nblocks: depth\nwidth: [16, 32, 64]\nstride: [1, 2, 2]"),
        errors=3,
    ),
    Mistake(
        "22:1",
        "the key 'params' belongs to 'limits' above it; indent it",
        "  params: <= 2M",
        ("limits", "limits:\nparams: <= 2M"),
    ),
    Mistake(
        "19:3",
        "'vary' is a section, not a rule of the grammar; write it without indentation",
        "vary: {attn: stage}",
        ("vary:\n  attn: stage\n", "  vary: {attn: stage}\n"),
    ),
    Mistake(
        "19:3",
        "'limits' is a section, not a rule of the grammar; write it without indentation",
        "limits:",
        ("vary:\n  attn: stage\nlimits:\n  params: <= 2M\n", "  limits:\n    params: <= 2M\n"),
    ),
    Mistake(
        "7:1",
        "unknown key 'width' in a space; write width: [8, 16] under 'stages'",
        "",
        {"stages": "{blocks: 2}", "width": "[8, 16]"},
    ),
    Mistake(
        "6:1",
        "unknown key 'layers' in a space; write blocks: [2, 2] under 'stages'",
        "",
        {"stages": None, "layers": "[2, 2]", "planes": "[8, 16]"},
        errors=2,
    ),
    Mistake(
        "4:31",
        "unknown key 'num_stages' in stages; the lists have one entry for each stage",
        "",
        {"stages": "{blocks: 2, width: 8, num_stages: 3}"},
    ),
    Mistake(
        "4:31",
        "unknown key 'kernel' in stages; write it in the block, as a rule of the grammar; by_stage(a, b) is",
        "",
        {"stages": "{blocks: 2, width: 8, kernel: [3, 5]}"},
    ),
    Mistake(
        "4:28",
        "a list in a list; write [8, 16]",
        "stages: {blocks: 2, width: [8, 16], stride: [1, 2]}",
        {"stages": "{blocks: 2, width: [[8, 16]], stride: [1, 2]}"},
    ),
    Mistake(
        "4:28",
        "numbers of stages are a list; write [8, 16]",
        "stages: {blocks: 2, width: [8, 16], stride: [1, 2]}",
        {"stages": "{blocks: 2, width: {stage1: 8, stage2: 16}, stride: [1, 2]}"},
    ),
    Mistake(
        "4:9",
        "stage 1 has no width; write width: 16, or a list with one number for each stage",
        "",
        {"stages": "{blocks: 2}"},
    ),
    Mistake(
        "4:28", "'width' is an empty list; a network has at least one stage", "", {"stages": "{blocks: 2, width: []}"}
    ),
    Mistake("4:32", "the width 25/2 of stage 2 is not a whole number", "", {"stages": "{blocks: 2, width: [8, 12.5]}"}),
    Mistake("4:32", "the width 0 of stage 2 is outside 1..65536", "", {"stages": "{blocks: 2, width: [8, 0]}"}),
    Mistake("1:1", "the key 'stem' is missing; write for instance 'stem: conv3x3(w) post'", "", {"stem": None}),
    Mistake(
        "1:1",
        "the keys 'stem', 'head' are missing; write for instance 'stem: conv3x3(w) post'",
        "",
        {"stem": None, "head": None},
    ),
    Mistake(
        "6:11",
        "the head has the output 100x1x1, 10 classes need 10x1x1; end it with 'fc'",
        ("head: gap fc", "classes: 100"),
        {"head": "gap fc(100)"},
    ),
    Mistake("7:7", "'name' and 'about' are texts, found a list", "", {"name": "[mine]"}),
    Mistake(
        "19:8",
        "'stage' is a scope; write the rule first, as in attn: stage",
        "vary: {attn: stage}",
        ("vary", "vary: {stage: attn}"),
    ),
    Mistake(
        "19:8",
        "'block' is a scope; write the rule first, as in attn: block",
        "vary: {attn: block, act: block}",
        ("vary", "vary: {block: [attn, act]}"),
    ),
    Mistake(
        "19:7",
        "vary must be a mapping: rule name to network, stage, block, use",
        "vary: {act: stage, attn: stage, ratio: stage, depth: stage}",
        ("vary", "vary: stage"),
    ),
]
