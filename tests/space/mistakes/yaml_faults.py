"""Faults of the YAML of a file."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "4:5",
        "not YAML: no blank after ':'; write 'key: expression'",
        "stem: conv3x3(16) bn relu",
        ("stem", "stem:conv3x3(16) bn relu"),
    ),
    Mistake(
        "4:6",
        "not YAML: '=' after a key; write 'key: expression'",
        "stem: conv3x3(16) bn relu",
        ("stem", "stem = conv3x3(16) bn relu"),
    ),
    Mistake(
        "4:5",
        "not YAML: no ':' after the key; write 'key: expression'",
        "stem: conv3x3(16) bn relu",
        ("stem", "stem conv3x3(16) bn relu"),
    ),
    Mistake(
        "4:2",
        "not YAML: indented by 1 blanks, keys beside it by 0; keys of one mapping have one",
        "stem: conv3x3(16) bn relu",
        ("stem", " stem: conv3x3(16) bn relu"),
    ),
    Mistake("8:11", "not YAML: '[' is not closed", "  stride: [1, 2, 2]", ("[1, 2, 2]", "[1, 2, 2")),
    Mistake("8:19", "not YAML: found ')', expected ']'", "  stride: [1, 2, 2]", ("[1, 2, 2]", "[1, 2, 2)")),
    Mistake("8:13", "',' between numbers; a list is written [a, b]", "  stride: [1, 2, 2]", ("[1, 2, 2]", "(1, 2, 2)")),
    Mistake("12:7", 'not YAML: the quote " is not closed', 'head: "gap fc"', ("head", 'head: "gap fc')),
    Mistake(
        "12:7",
        "not YAML: '|' at the start of an expression; YAML uses this sign itself",
        "head: gap fc",
        ("head", "head: | gap fc"),
    ),
    Mistake(
        "12:7",
        "not YAML: '>' at the start of an expression; YAML uses this sign itself",
        "head: gap fc",
        ("head", "head: > gap fc"),
    ),
    Mistake(
        "12:7",
        "not YAML: '@' at the start of an expression; YAML uses this sign itself",
        "head: gap fc",
        ("head", "head: @gap fc"),
    ),
    Mistake("12:7", "alias '*gap'; write the text out", "head: gap fc", ("head", "head: *gap fc")),
    Mistake(
        "14:9",
        "anchor '&n'; write the text out",
        "  norm: bn",
        ("norm: bn", "norm: &n bn\n  norm_2: *n"),
        errors=2,
    ),
    Mistake("12:7", "anchor '&gap'; write the text out", "head: gap fc", ("head", "head: &gap gap fc")),
    Mistake(
        "12:7",
        "not YAML: quotes around a part of an expression; write words without quotes, or quote",
        "head: gap fc",
        ("head", 'head: "gap" fc'),
    ),
    Mistake("12:1", "unknown key 'head:' in a space", "head: gap fc", ("head", "head:: gap fc")),
    Mistake(
        "3:10",
        "'010' means different things to different YAML readers; quote it or write it differently",
        "classes: 10",
        ("classes", "classes: 010"),
    ),
    Mistake(
        "3:10",
        "'1e1' means different things to different YAML readers; quote it or write it differently",
        "classes: 10",
        ("classes", "classes: 1e1"),
    ),
    Mistake(
        "12:1", "not YAML: '-' before a key; it makes an entry of a list", "head: gap fc", ("head", "- head: gap fc")
    ),
    Mistake(
        "4:14",
        "not YAML: ':' in an expression; layers are separated by blanks, and arguments follow in",
        "stem: conv3x3(16) bn relu",
        ("stem", "stem: conv3x3: 16, bn relu"),
    ),
    Mistake("12:6", "not YAML: '->' after a key; write 'key: expression'", "head: gap fc", ("head", "head -> gap fc")),
    Mistake(
        "5:62",
        "not YAML: found '}', expected ']'",
        "stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]}",
        ("stages", "stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2}"),
    ),
    Mistake(
        "5:23",
        "not YAML: no comma between two keys; write {key: expression, key: expression}",
        "stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]}",
        ("stages", "stages: {blocks: depth width: [16, 32, 64], stride: [1, 2, 2]}"),
    ),
    Mistake(
        "5:15",
        "not YAML: a second ':' in one line; write several keys as {key: expression, key:",
        "stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]}",
        ("stages", "stages: blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]"),
    ),
    Mistake(
        "5:9",
        "not YAML: '{' is not closed",
        "stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]}",
        ("stages", "stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]"),
    ),
    Mistake(
        "4:16",
        "not YAML: no blank after ':'",
        "stages: {blocks: 2, width: [8, 16], stride: [1, 2]}",
        {"stages": "{blocks:2, width:[8, 16], stride:[1, 2]}"},
    ),
    Mistake(
        "4:9",
        "not YAML: the sign '\uff5b'; YAML uses '{'",
        "stages: {blocks: 2, width: [8, 16], stride: [1, 2]}",
        {"stages": "\uff5bblocks: 2\uff0c width: [8, 16], stride: [1, 2]\uff5d"},
    ),
    Mistake(
        "9:6",
        "not YAML: '\uff1a' after a key; write 'key: expression'",
        "block: conv1x1(w*ratio) norm act conv3x3(w*ratio) norm act conv1x1 norm attn + act",
        ("block: conv1x1", "block\uff1aconv1x1"),
    ),
    Mistake("7:18", "not YAML: '>' at the start of a value", "limits: {params: '> 1k'}", {"limits": "{params: > 1k}"}),
    Mistake(
        "7:23", "'000' means different things", "limits: {params: <= 2000000}", {"limits": "{params: <= 2,000,000}"}
    ),
    Mistake(
        "7:14",
        "not YAML: a second ':' in one line; quote the text",
        "about: 'my net: the best'",
        {"about": "my net: the best"},
    ),
    Mistake("14:8", "not YAML: '=' after a key", "  norm: bn", ("  norm: bn\n", "  norm = bn\n")),
]
