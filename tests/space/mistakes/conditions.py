"""Conditions as other languages write them."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "7:12",
        "found '='; write '=='",
        "where: act == relu",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "act = relu"},
    ),
    Mistake(
        "7:12",
        "found 'is'; write '=='",
        "where: act == relu",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "act is relu"},
    ),
    Mistake(
        "7:15",
        "act has no alternative 'ReLU'; it has: relu | silu; did you mean 'relu'?",
        "where: act == relu",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "act == ReLU"},
    ),
    Mistake(
        "7:20",
        "found '&&'; write 'and'",
        "where: act == relu and w <= 16",
        {
            "block": "conv3x3 bn act conv3x3 bn + act",
            "grammar": {"act": "relu | silu"},
            "where": "act == relu && w <= 16",
        },
    ),
    Mistake(
        "7:15",
        "found '[', expected '(' and a list, as in 'in (1, 2)'",
        "where: act in (relu, silu)",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "act in [relu, silu]"},
    ),
    Mistake(
        "7:8",
        "where must be a list of conditions, at most 200, found a mapping",
        "where: act == relu",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "{act: relu}"},
    ),
    Mistake(
        "7:13",
        "'[' is no sign of a condition; write @stage1 for the number of a stage",
        "where: width@stage1 < width@stage2",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "width[0] < width[1]"},
    ),
    Mistake(
        "7:10",
        "unknown place '1' of 'w'; a place is stage1 to stage2",
        "where: w@stage1 < w@stage2",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "w@1 < w@2"},
    ),
    Mistake(
        "7:10",
        "'%' is no sign of a condition; write 'b divides a' for a % b == 0",
        "where: 8 divides w",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "w % 8 == 0"},
    ),
    Mistake(
        "7:8",
        "'params' is a cost, which no condition knows; write a bound under 'limits', as in params: <= 2M",
        "",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "params <= 2M"},
    ),
    Mistake(
        "7:15",
        "act has no alternative 'gelu'; it has: relu | silu",
        "",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": "act != gelu"},
    ),
    Mistake(
        "7:9",
        "found '!'; write 'not'",
        'where: "not (act == relu)"',
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "where": '"!(act == relu)"'},
    ),
    Mistake(
        "7:20",
        "found '=>'; write 'implies'",
        "where: act == relu implies w <= 16",
        {
            "block": "conv3x3 bn act conv3x3 bn + act",
            "grammar": {"act": "relu | silu"},
            "where": "act == relu => w <= 16",
        },
    ),
    Mistake(
        "7:8",
        "unknown name 'wide2' in a condition; write 'wide@stage2'",
        "where: wide@stage2 >= wide@stage1",
        {
            "stages": "{blocks: 2, width: wide, stride: [1, 2]}",
            "grammar": {"wide": "8 | 16"},
            "vary": {"wide": "stage"},
            "where": "wide2 >= wide1",
        },
    ),
    Mistake(
        "7:8",
        "unknown name 'stage2.wide' in a condition; write 'wide@stage2'",
        "where: wide@stage2 >= wide@stage1",
        {
            "stages": "{blocks: 2, width: wide, stride: [1, 2]}",
            "grammar": {"wide": "8 | 16"},
            "vary": {"wide": "stage"},
            "where": "stage2.wide >= stage1.wide",
        },
    ),
    Mistake(
        "7:20",
        "found 'or' between alternatives; write 'act in (relu, silu)'",
        "where: act in (relu, silu)",
        {"block": "conv3x3 bn act +", "grammar": {"act": "relu | silu | gelu"}, "where": "act == relu or silu"},
    ),
    Mistake(
        "7:20",
        "found '|' between alternatives; write 'act in (relu, silu)'",
        "where: act in (relu, silu)",
        {"block": "conv3x3 bn act +", "grammar": {"act": "relu | silu | gelu"}, "where": "act == relu | silu"},
    ),
    Mistake(
        "7:12",
        "found 'is not'; write '!='",
        "where: act != relu",
        {"block": "conv3x3 bn act +", "grammar": {"act": "relu | silu | gelu"}, "where": "act is not relu"},
    ),
    Mistake(
        "7:12",
        "found '<>'; write '!='",
        "where: act != relu",
        {"block": "conv3x3 bn act +", "grammar": {"act": "relu | silu | gelu"}, "where": "act <> relu"},
    ),
    Mistake(
        "7:11",
        "found '|'; write 'divides'",
        "where: 16 divides wide@stage2",
        {
            "stages": "{blocks: 2, width: wide, stride: [1, 2]}",
            "grammar": {"wide": "8 | 16"},
            "vary": {"wide": "stage"},
            "where": "16 | wide@stage2",
        },
    ),
]
