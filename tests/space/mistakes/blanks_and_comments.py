"""Tabs, other blanks, comments of other languages, and what is empty or not closed."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake("14:8", "not YAML: a tab; YAML separates words by blanks", "  norm: bn", ("norm: bn", "norm:\tbn")),
    Mistake(
        "4:18",
        "not YAML: a tab; YAML separates words by blanks",
        "stem: conv3x3(16) bn relu",
        ("stem", "stem: conv3x3(16)\tbn\trelu"),
    ),
    Mistake("14:1", "not YAML: a tab; YAML indents with blanks", "  norm: bn", ("  norm: bn", "\tnorm: bn")),
    Mistake(
        "14:1",
        "not YAML: the blank U+00A0; YAML indents with plain blanks",
        "  norm: bn",
        ("  norm: bn", "\xa0\xa0norm: bn"),
    ),
    Mistake(
        "12:1",
        "not YAML: '//' at the start of a line; a comment is # text",
        "# the head",
        ("head: gap fc", "// the head\nhead: gap fc"),
    ),
    Mistake(
        "12:13",
        "'#' in an expression; a comment begins with a blank and #",
        "head: gap fc",
        ("head", "head: gap fc# pool"),
    ),
    Mistake(
        "12:14",
        "'//' in an expression; a comment begins with a blank and #",
        "head: gap fc",
        ("head", "head: gap fc // pool"),
    ),
    Mistake("12:13", "';' between layers; layers are separated by blanks", "head: gap fc", ("head", "head: gap fc;")),
    Mistake("12:13", "'.' between layers; layers are separated by blanks", "head: gap fc", ("head", "head: gap fc.")),
    Mistake(
        "10:1",
        "not YAML: a line that continues an expression is indented",
        "  norm act conv1x1 norm attn + act",
        (" norm act conv1x1", " \nnorm act conv1x1"),
    ),
    Mistake(
        "7:10",
        "not YAML: '[16]*3': a list has all its entries, [16, 16, 16]",
        "  width: [16, 16, 16]",
        ("[16, 32, 64]", "[16]*3"),
    ),
    Mistake(
        "7:15", "not YAML: an empty entry of a list; write it, or one comma less", "", ("[16, 32, 64]", "[16, , 64]")
    ),
    Mistake(
        "1:1",
        "not YAML: '```' of Markdown; a space file is the text between such lines",
        "",
        ("name: mine", "```yaml\nname: mine"),
    ),
    Mistake(
        "13:1",
        "the key 'head' occurs twice, first in line 12",
        "",
        ("head: gap fc\n", "head: gap fc\nhead: pre gap fc\n"),
    ),
    Mistake(
        "4:1", "stem is empty; write 'none' for no layer at all", "stem: none", ("stem: conv3x3(16) bn relu", "stem:")
    ),
    Mistake("12:1", "head is empty; write 'gap fc'", "head: gap fc", ("head: gap fc", "head:")),
    Mistake(
        "4:12",
        "the sign '×'; the language writes 'x'",
        "stem: conv3x3(16) bn relu",
        ("stem", "stem: conv3×3(16) bn relu"),
    ),
    Mistake(
        "5:19",
        "'(' is not closed",
        "block: conv3x3 bn (act | relu) +",
        {"block": "conv3x3 bn (act | relu +", "grammar": {"act": "relu | silu"}},
    ),
    Mistake(
        "5:24",
        "'{' is not closed",
        "block: (conv3x3 bn act){2} +",
        {"block": "(conv3x3 bn act){2 +", "grammar": {"act": "relu | silu"}},
    ),
    Mistake(
        "5:19",
        "'?' follows what is optional; write act?",
        "block: conv3x3 bn act? conv3x3 +",
        {"block": "conv3x3 bn ?act conv3x3 +", "grammar": {"act": "relu | silu"}},
    ),
    Mistake("15:13", "the sign '∣'; the language writes '|'", "  act: relu | silu", ("act", "act: relu ∣ silu")),
    Mistake(
        "5:8",
        "'\uff43' (U+FF43); the language writes 'c'",
        "block: conv3x3 bn relu +",
        {"block": "\uff43onv3x3 bn relu +"},
    ),
    Mistake(
        "5:13",
        "'\u0445' (U+0445); the language writes 'x'",
        "block: conv3x3 bn relu +",
        {"block": "conv3\u04453 bn relu +"},
    ),
    Mistake(
        "5:15",
        "an invisible sign (U+200B); the language writes nothing",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3\u200b bn relu +"},
    ),
]
