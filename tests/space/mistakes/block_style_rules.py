"""Mistakes in the rules of a file in block style."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "15:8",
        "unknown name 'F.relu'; did you mean 'relu'?",
        "  act: relu | silu",
        ("act", "act: F.relu | F.silu"),
        errors=2,
    ),
    Mistake(
        "15:8",
        "unknown name 'nn.ReLU'; did you mean 'relu'?",
        "  act: relu | silu",
        ("act", "act: nn.ReLU() | nn.SiLU()"),
        errors=2,
    ),
    Mistake(
        "15:8",
        "the rule 'act' must be one expression, found a mapping; alternatives are separated by",
        "  act: relu | silu",
        ("act", 'act: {_type: choice, _value: ["relu", "silu"]}'),
    ),
    Mistake(
        "16:5",
        "the rule 'act' must be one expression, found a mapping; alternatives are separated by",
        "  act: relu | silu",
        ("act", "act:\n    _type: choice\n    _value:\n      - relu\n      - silu"),
    ),
    Mistake(
        "16:5",
        "the rule 'act' must be one expression, found a mapping; alternatives are separated by",
        "  act: relu | silu",
        ("act", "act:\n    choices: [relu, silu]"),
    ),
    Mistake(
        "15:13",
        "'\\\\' between alternatives; alternatives are separated by '|'",
        "  act: relu | silu",
        ("act", "act: relu \\ silu"),
    ),
    Mistake(
        "15:8",
        "an empty alternative; write 'none' for no layer at all",
        "  act: relu | silu | none",
        ("act", "act: relu | silu | "),
    ),
    Mistake(
        "15:13",
        "'/' between alternatives; alternatives are separated by '|'",
        "  act: relu | silu | gelu",
        ("act", "act: relu / silu / gelu"),
    ),
    Mistake("15:8", "'(' is not closed", "  act: (relu | silu)", ("act", "act: (relu | silu")),
    Mistake(
        "15:7",
        "not YAML: ':=' after a key; write 'key: expression'",
        "  act: relu | silu",
        ("act", "act := relu | silu"),
    ),
    Mistake(
        "15:3",
        "not YAML: '-' before a key; it makes an entry of a list",
        "  act: relu | silu",
        ("act", "- act: relu | silu"),
    ),
    Mistake(
        "15:8", "tag '!choice'; a space file has no tags", "  act: relu | silu", ("act", "act: !choice [relu, silu]")
    ),
    Mistake(
        "15:8",
        "unknown name 'ReLU6'; did you mean 'relu6'?",
        "  act: relu6 | silu",
        ("act", "act: ReLU6 | Swish"),
        errors=2,
    ),
    Mistake(
        "15:8",
        "not YAML: quotes around a part of an expression; write words without quotes, or quote",
        "  act: relu | silu",
        ("act", 'act: "relu", "silu"'),
    ),
    Mistake(
        "15:8",
        "not YAML: quotes around a part of an expression; write words without quotes, or quote",
        "  act: 'relu | silu'",
        ("act", 'act: ["relu" | "silu"]'),
    ),
    Mistake(
        "15:7",
        "not YAML: '=' after a key; write 'key: expression'",
        "  act: relu | silu",
        ("act", "act = choice(relu, silu)"),
    ),
    Mistake(
        "15:8", "'dict(type=\"ReLU\")': the language writes relu", "  act: relu", ("act", 'act: dict(type="ReLU")')
    ),
    Mistake(
        "14:35",
        "'true' means different things to different YAML readers; quote it or write it",
        "  norm: bn",
        ("norm", "norm: {type: BN, requires_grad: true}"),
    ),
    Mistake(
        "14:9", "'dict(type=\"SyncBN\")': the language writes bn", "  norm: bn", ("norm", 'norm: dict(type="SyncBN")')
    ),
    Mistake(
        "14:9",
        "unknown name 'nn.GroupNorm'; did you mean 'gn(4)'?",
        "  norm: gn(4)",
        ("norm", "norm: nn.GroupNorm(4, 16)"),
    ),
    Mistake(
        "14:9",
        "unknown name 'batch_norm'; did you mean 'bn'?",
        "  norm: bn | ln",
        ("norm", "norm: batch_norm | layer_norm"),
        errors=2,
    ),
    Mistake(
        "14:12",
        "'or' between alternatives; an alternative is separated by '|'",
        "  norm: bn | ln | none",
        ("norm", "norm: bn or ln or none"),
    ),
    Mistake(
        "16:9",
        "unknown name 'None'; did you mean 'none'?",
        "  attn: none | se(4)",
        ("attn", "attn: None | SE(ratio=4)"),
        errors=2,
    ),
    Mistake(
        "16:9", "unknown name 'null'; did you mean 'none'?", "  attn: none | se(r=4)", ("attn", "attn: null | se(r=4)")
    ),
    Mistake(
        "16:17",
        "unknown name 'nothing'; did you mean 'none'?",
        "  attn: se(4) | none",
        ("attn", "attn: se(4) | nothing"),
    ),
    Mistake(
        "16:9",
        "the rule 'attn' must be one expression, found a list; alternatives are separated by '|'",
        "  attn: none | se(r=4)",
        ("attn", "attn: [0, se(r=4)]"),
    ),
    Mistake(
        "16:12",
        "se has no argument 'rd_ratio'; it has: r, round, least, width, act, gate, bias, norm; did you mean",
        "  attn: se(r=4)?",
        ("attn", "attn: se(rd_ratio=0.25)?"),
    ),
    Mistake(
        "16:9",
        "unknown name 'SqueezeExcite'; did you mean 'se(4)'?",
        "  attn: se(4) | eca",
        ("attn", "attn: SqueezeExcite(rd_ratio=0.25) | EcaModule()"),
        errors=2,
    ),
    Mistake(
        "17:14",
        "',' between alternatives; alternatives are separated by '|'",
        "  ratio: 0.25 | 0.5",
        ("ratio", "ratio: 0.25, 0.5"),
    ),
    Mistake(
        "17:10",
        "'uniform(0.25, 0.5)': the language writes 1/4 | 3/8 | 1/2",
        "  ratio: 1/4 | 3/8 | 1/2",
        ("ratio", "ratio: uniform(0.25, 0.5)"),
    ),
    Mistake(
        "17:10",
        "'0.25..0.5': a choice of numbers is written 1/4 | 3/8 | 1/2",
        "  ratio: 1/4 | 3/8 | 1/2",
        ("ratio", "ratio: 0.25..0.5"),
    ),
    Mistake("17:10", "'25%': a share is written 1/4", "  ratio: 1/4 | 1/2", ("ratio", "ratio: 25%, 50%"), errors=3),
    Mistake("17:10", "'1:4': a ratio is written 1/4", "  ratio: 1/4 | 1/2", ("ratio", "ratio: 1:4 | 1:2"), errors=2),
    Mistake(
        "17:10",
        "'tune.choice([0.25, 0.5])': the language writes 0.25 | 0.5",
        "  ratio: 0.25 | 0.5",
        ("ratio", "ratio: tune.choice([0.25, 0.5])"),
    ),
    Mistake(
        "17:10",
        "the rule 'ratio' must be one expression, found a mapping; alternatives are separated by",
        "  ratio: 1/4 | 1/2",
        ("ratio", "ratio: {min: 0.25, max: 0.5, step: 0.25}"),
    ),
    Mistake(
        "18:10",
        "'tune.randint(1, 4)': the language writes 1 | 2 | 3 | 4",
        "  depth: 1 | 2 | 3 | 4",
        ("depth", "depth: tune.randint(1, 4)"),
    ),
    Mistake(
        "18:10",
        "'range(1,3)': range(lo, hi, step) has three numbers and includes hi",
        "  depth: 1 | 2",
        ("depth", "depth: range(1,3)"),
    ),
    Mistake(
        "18:10",
        "'np.arange(1, 4)': the language writes 1 | 2 | 3",
        "  depth: 1 | 2 | 3",
        ("depth", "depth: np.arange(1, 4)"),
    ),
    Mistake(
        "18:10",
        "'list(range(1, 4))': the language writes range(1, 4)",
        "  depth: 1 | 2 | 3",
        ("depth", "depth: list(range(1, 4))"),
    ),
    Mistake(
        "18:10", "unknown name 'one'; did you mean '1'?", "  depth: 1 | 2", ("depth", "depth: one or two"), errors=3
    ),
    Mistake(
        "18:10",
        "'IntUniform(1, 3)': the language writes 1 | 2 | 3",
        "  depth: 1 | 2 | 3",
        ("depth", "depth: IntUniform(1, 3)"),
    ),
    Mistake(
        "18:10", "'<= 3': a choice of numbers is written 1 | 2 | 3", "  depth: 1 | 2 | 3", ("depth", "depth: <= 3")
    ),
    Mistake(
        "18:11",
        "',' between alternatives; alternatives are separated by '|'",
        "  depth: 1 | 2 | 3",
        ("depth", "depth: 1,2,3"),
    ),
    Mistake(
        "18:10",
        "'1|2|...|5': a choice of numbers is written range(1, 5, 1)",
        "  depth: range(1, 5, 1)",
        ("depth", "depth: 1|2|...|5"),
    ),
    Mistake(
        "18:10",
        "the rule 'depth' must be one expression, found a list; alternatives are separated by '|'",
        "  depth: 1 | 3",
        ("depth", "depth: [1, 3]"),
    ),
    Mistake(
        "19:5",
        "the rule 'depth' must be one expression, found a mapping; alternatives are separated by",
        "  depth: 1 | 2 | 3",
        ("depth", "depth: \n    low: 1\n    high: 3"),
    ),
    Mistake(
        "18:10",
        "'${choice:1,2,3}': the language has no resolvers",
        "  depth: 1 | 2 | 3",
        ("depth", "depth: ${choice:1,2,3}"),
    ),
    Mistake(
        "7:12", "',' between numbers; a list is written [a, b]", "  width: [16, 32, 64]", ("width", "width: 16, 32, 64")
    ),
    Mistake(
        "7:13",
        "'16 32 64': a list, one number for each stage, is written [16, 32, 64]",
        "  width: [16, 32, 64]",
        ("width", "width: 16 32 64"),
    ),
    Mistake(
        "7:13",
        "',' between numbers; a list is written [a, b]",
        "  width: [16, 32, 64]",
        ("width", "width: (16, 32, 64)"),
    ),
    Mistake(
        "7:12",
        "'16-32-64': a list, one number for each stage, is written [16, 32, 64]",
        "  width: [16, 32, 64]",
        ("width", "width: 16-32-64"),
    ),
    Mistake(
        "7:10", "a list without commas; write [16, 32, 64]", "  width: [16, 32, 64]", ("width", "width: [16 32 64]")
    ),
    Mistake("7:10", "not YAML: '[' is not closed", "  width: [16, 32, 64]", ("width", "width: [16, 32, 64")),
    Mistake(
        "10:2",
        "not YAML: indented by 1 blanks, keys beside it by 2; keys of one mapping have one",
        "  - 64",
        ("width", "width:\n  - 16\n  - 32\n - 64"),
    ),
    Mistake(
        "7:16",
        "'^': a power is written 2**i",
        "",
        ("width", "width: 16 * 2^i"),
    ),
    Mistake("7:10", "not YAML: '[' is not closed", "  width: [16, 16*2, 16*4]", ("width", "width: [16, 16*2, 16*4")),
    Mistake(
        "7:11",
        "the variable 'w' is not defined here; known here: none; write numbers",
        "",
        ("width", "width: [w, 2*w, 4*w]"),
    ),
    Mistake("7:3", "unknown key 'channels' in stages", "  width: [16, 32, 64]", ("width", "channels: [16, 32, 64]")),
    Mistake(
        "7:3", "unknown key 'out_channels' in stages", "  width: [16, 32, 64]", ("width", "out_channels: [16, 32, 64]")
    ),
    Mistake("8:3", "unknown key 'downsample' in stages", "  stride: [1, 2, 2]", ("stride", "downsample: [1, 2, 2]")),
    Mistake("8:3", "unknown key 'strides' in stages", "  stride: [1, 2, 2]", ("stride", "strides: 1,2,2"), errors=2),
    Mistake(
        "8:11",
        "stage 3 has no stride: 'stride' has 2 entries, 'width' has 3",
        "  stride: [1, 2, 2]",
        ("stride", "stride: [1, 2]"),
    ),
    Mistake(
        "8:3", "unknown key 'reduction' in stages", "  stride: [2, 5, 5]", ("stride", "reduction: [2, 5]"), errors=2
    ),
]
