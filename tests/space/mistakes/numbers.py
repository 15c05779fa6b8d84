"""Numbers: ranges, shares, lists and powers."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a list; alternatives are separated by '|'",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "[1, 2, 3]"}},
    ),
    Mistake(
        "8:11",
        "',' between alternatives; alternatives are separated by '|'",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1, 2, 3"}},
    ),
    Mistake(
        "8:11",
        "1-3 is a difference below 0; a range is written 1 | 2 | 3",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1-3"}},
    ),
    Mistake(
        "8:10",
        "'1..3': a choice of numbers is written 1 | 2 | 3",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1..3"}},
    ),
    Mistake(
        "8:10",
        "'1 to 3': a choice of numbers is written 1 | 2 | 3",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1 to 3"}},
    ),
    Mistake(
        "8:10",
        "'1:3' means different things to different YAML readers; quote it or write it differently",
        "  depth: '1 | 2 | 3'",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1:3"}},
    ),
    Mistake(
        "8:10",
        "'range(1, 4)': range(lo, hi, step) has three numbers and includes hi",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "range(1, 4)"}},
    ),
    Mistake(
        "8:10",
        "'randint(1, 4)': the language writes 1 | 2 | 3 | 4",
        "  depth: 1 | 2 | 3 | 4",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "randint(1, 4)"}},
    ),
    Mistake(
        "8:10",
        "\"trial.suggest_int('depth', 1, 3)\": the language writes 1 | 2 | 3",
        "  depth: 1 | 2 | 3",
        {
            "stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}",
            "grammar": {"depth": "trial.suggest_int('depth', 1, 3)"},
        },
    ),
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a mapping; alternatives are separated by",
        "  depth: 1 | 2 | 3",
        {
            "stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}",
            "grammar": {"depth": "{_type: quniform, _value: [1, 3, 1]}"},
        },
    ),
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a mapping; alternatives are separated by",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "{min: 1, max: 3}"}},
    ),
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a mapping; a range is written range(1,",
        "  depth: range(1, 8, 1)",
        {
            "stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}",
            "grammar": {"depth": "{low: 1, high: 8, step: 1}"},
        },
    ),
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a mapping; alternatives are separated by",
        "  depth: 1 | 2 | 3",
        {
            "stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}",
            "grammar": {"depth": "{_type: randint, _value: [1, 4]}"},
        },
    ),
    Mistake(
        "8:12",
        "'or' between alternatives; an alternative is separated by '|'",
        "  depth: 1 | 2",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1 or 2"}},
    ),
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a list; alternatives are separated by '|'",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "[1..3]"}},
    ),
    Mistake(
        "8:10",
        "the rule 'depth' must be one expression, found a mapping; alternatives are separated by",
        "  depth: 1 | 2 | 3",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "{1, 2, 3}"}},
    ),
    Mistake(
        "8:11",
        "'1/2/3/4': a choice of numbers is written 1 | 2 | 3 | 4",
        "  depth: 1 | 2 | 3 | 4",
        {"stages": "{blocks: depth, width: [8, 16], stride: [1, 2]}", "grammar": {"depth": "1/2/3/4"}},
    ),
    Mistake(
        "8:10",
        "'50%': a share is written 1/2",
        "  ratio: 1/2",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": "50%"}},
    ),
    Mistake(
        "8:10",
        "'25%': a share is written 1/4",
        "  ratio: 1/4 | 1/2",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": "25% | 50%"}},
        errors=2,
    ),
    Mistake(
        "8:10",
        "the rule 'ratio' must be one expression, found a list; alternatives are separated by '|'",
        "  ratio: 1/4 | 1/2",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": "[1/4, 1/2]"}},
    ),
    Mistake(
        "8:13",
        "',' between alternatives; alternatives are separated by '|'",
        "  ratio: 1/4 | 1/2",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": "1/4, 1/2"}},
    ),
    Mistake(
        "8:10",
        "'.5': a number begins with a digit, 0.5",
        "  ratio: 0.5",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": ".5"}},
    ),
    Mistake(
        "8:15",
        "'or' between alternatives; an alternative is separated by '|'",
        "  ratio: 0.25 | 0.5",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": "0.25 or 0.5"}},
    ),
    Mistake(
        "8:10",
        "the sign '½'; the language writes '1/2'",
        "  ratio: 1/2",
        {"block": "conv1x1(w*ratio) bn relu conv3x3 bn +", "grammar": {"ratio": "½"}},
    ),
    Mistake(
        "5:16", "'50%': a share is written w/2", "block: conv1x1(w/2) conv3x3 +", {"block": "conv1x1(50%) conv3x3 +"}
    ),
    Mistake(
        "5:16", "'2w': a product is written 2*w", "block: conv1x1(2*w) conv3x3 +", {"block": "conv1x1(2w) conv3x3 +"}
    ),
    Mistake(
        "5:18", "'2x': a factor is written 2", "block: conv1x1(w*2) conv3x3 +", {"block": "conv1x1(w*2x) conv3x3 +"}
    ),
    Mistake(
        "5:17",
        "'^': a power is written w**2",
        "block: conv1x1(w**2/8) conv3x3 +",
        {"block": "conv1x1(w^2/8) conv3x3 +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'int'; did you mean 'floor(w/2)'?",
        "block: conv1x1(floor(w/2)) conv3x3 +",
        {"block": "conv1x1(int(w/2)) conv3x3 +"},
    ),
    Mistake(
        "5:17",
        "found '|', expected ',' or ')'; write alternatives of numbers in brackets, as in (8 |",
        "block: conv1x1((8|16)) conv3x3 +",
        {"block": "conv1x1(8|16) conv3x3 +"},
    ),
    Mistake(
        "5:16",
        "a list in [...]; alternatives are separated by '|'",
        "block: conv1x1((8 | 16)) conv3x3 +",
        {"block": "conv1x1([8, 16]) conv3x3 +"},
    ),
    Mistake(
        "4:38",
        "1-3 is a difference below 0; a range is written 1 | 2 | 3",
        "stages: {blocks: 2, width: [8 | 16, 1 | 2 | 3]}",
        {"stages": "{blocks: 2, width: [8 | 16, 1-3]}"},
    ),
    Mistake(
        "4:20",
        "',' between numbers; a list is written [a, b]",
        "stages: {blocks: [2, 2], width: [8, 16]}",
        {"stages": "{blocks: '2, 2', width: [8, 16]}"},
    ),
    Mistake(
        "4:20",
        "'2 2': a list, one number for each stage, is written [2, 2]",
        "stages: {blocks: [2, 2], width: [8, 16]}",
        {"stages": "{blocks: 2 2, width: [8, 16]}"},
    ),
    Mistake(
        "4:19",
        "'2-2-2': a list, one number for each stage, is written [2, 2, 2]",
        "stages: {blocks: [2, 2, 2], width: [8, 16, 32]}",
        {"stages": "{blocks: 2-2-2, width: [8, 16, 32]}"},
    ),
    Mistake(
        "4:18",
        "'(2' ends at a comma: YAML splits at commas in {...} and [...]; quote the expression",
        "stages: {blocks: [2, 2], width: [8, 16]}",
        {"stages": "{blocks: (2, 2), width: [8, 16]}"},
    ),
    Mistake(
        "4:29",
        "'8/16': a list, one number for each stage, is written [8, 16]",
        "stages: {blocks: 2, width: [8, 16]}",
        {"stages": "{blocks: 2, width: 8/16}"},
    ),
    Mistake(
        "4:19",
        "1-3 is a difference below 0; a range is written 1 | 2 | 3",
        "stages: {blocks: 1 | 2 | 3, width: 8}",
        {"stages": "{blocks: 1-3, width: 8}"},
    ),
    Mistake(
        "4:18",
        "'1..3': a choice of numbers is written 1 | 2 | 3",
        "stages: {blocks: 1 | 2 | 3, width: 8}",
        {"stages": "{blocks: 1..3, width: 8}"},
    ),
    Mistake(
        "4:36",
        "'1_024': a number is written in digits alone, 1024",
        "stages: {blocks: 2, width: [8, 16, 1024]}",
        {"stages": "{blocks: 2, width: [8, 16, 1_024]}"},
    ),
    Mistake(
        "4:18",
        "unknown name 'two'; did you mean '2'?",
        "stages: {blocks: 2, width: 8}",
        {"stages": "{blocks: two, width: 8}"},
    ),
    Mistake(
        "4:28",
        "'1k': a number is written in digits, 1000",
        "stages: {blocks: 2, width: 1000}",
        {"stages": "{blocks: 2, width: 1k}"},
    ),
    Mistake(
        "5:22", "'25%': r divides the channels, r=4", "block: conv3x3 bn se(4) +", {"block": "conv3x3 bn se(25%) +"}
    ),
    Mistake(
        "5:24",
        "'12.5%': r divides the channels, r=8",
        "block: conv3x3 bn se(r=8) +",
        {"block": "conv3x3 bn se(r=12.5%) +"},
    ),
    Mistake(
        "5:17",
        "'\u00b7' (U+00B7); the language writes '*'",
        "block: conv1x1(4*w) bn relu conv3x3 bn +",
        {"block": "conv1x1(4\u00b7w) bn relu conv3x3 bn +"},
    ),
    Mistake(
        "5:18",
        "'x' between numbers: a product is written *",
        "block: conv1x1(4 * w) bn relu conv3x3 bn +",
        {"block": "conv1x1(4 x w) bn relu conv3x3 bn +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'make_divisible'; did you mean 'round(w/3, 8)'?",
        "block: conv1x1(round(w/3, 8)) bn relu conv3x3 bn +",
        {"block": "conv1x1(make_divisible(w/3, 8)) bn relu conv3x3 bn +"},
    ),
    Mistake(
        "3:15",
        "'1_024': a number is written in digits alone, 1024",
        "stem: conv3x3(1024) bn relu",
        {"stem": "conv3x3(1_024) bn relu"},
    ),
]
