"""Input, classes, scopes, limits and blocks in other forms."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found a list",
        "input: 3x32x32",
        {"input": "[3, 32, 32]"},
    ),
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found '3,32,32'",
        "input: 3x32x32",
        {"input": "3,32,32"},
    ),
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found '(3, 32, 32)'",
        "input: 3x32x32",
        {"input": "(3, 32, 32)"},
    ),
    Mistake(
        "1:8", "an input is channels x height x width, as in 3x32x32; found '32'", "input: 3x32x32", {"input": "32"}
    ),
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found '32x32'",
        "input: 3x32x32",
        {"input": "32x32"},
    ),
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found '3*32*32'",
        "input: 3x32x32",
        {"input": "3*32*32"},
    ),
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found 'cifar10'",
        "input: 3x32x32",
        {"input": "cifar10"},
    ),
    Mistake(
        "1:8",
        "an input is channels x height x width, as in 3x32x32; found a mapping",
        "input: 3x32x32",
        {"input": "{channels: 3, height: 32, width: 32}"},
    ),
    Mistake(
        "2:10", "classes must be a whole number from 1 to 65,536, found a list", "classes: 10", {"classes": "[10]"}
    ),
    Mistake("2:10", "classes must be a whole number from 1 to 65,536, found 'ten'", "classes: 10", {"classes": "ten"}),
    Mistake(
        "2:10", "classes must be a whole number from 1 to 65,536, found '10.0'", "classes: 10", {"classes": "10.0"}
    ),
    Mistake(
        "2:10", "classes must be a whole number from 1 to 65,536, found '1,000'", "classes: 1000", {"classes": "1,000"}
    ),
    Mistake(
        "2:10",
        "classes must be a whole number from 1 to 65,536, found 'cifar100'",
        "classes: 100",
        {"classes": "cifar100"},
    ),
    Mistake(
        "10:8",
        "'act' must vary by one of network, stage, block, use, found 'per_stage'; did you mean",
        "  act: stage",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "vary": {"act": "per_stage"}},
    ),
    Mistake(
        "10:8",
        "'act' must vary by one of network, stage, block, use, found 'layer'; did you mean",
        "  act: block",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "vary": {"act": "layer"}},
    ),
    Mistake(
        "10:8",
        "'act' must vary by one of network, stage, block, use, found 'global'; did you mean",
        "  act: network",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "vary": {"act": "global"}},
    ),
    Mistake(
        "7:18",
        "'2M' is not a bound; write a comparison and a number, as in '<= 50M' or '> 0.9'",
        "limits: {params: <= 2M}",
        {"block": "conv3x3 bn act conv3x3 bn + act", "grammar": {"act": "relu | silu"}, "limits": "{params: 2M}"},
    ),
    Mistake("7:18", "'2MM' is not a bound", "limits: {params: <= 2M}", {"limits": "{params: 2MM}"}),
    Mistake("7:16", "'2 MMACs' is not a bound", "limits: {macs: <= 2M}", {"limits": "{macs: 2 MMACs}"}),
    Mistake("7:16", "'<= 2 GFLOPs' is not a bound on macs", "", {"limits": "{macs: <= 2 GFLOPs}"}),
    Mistake("7:10", "unknown key 'max_params' in limits", "limits: {params: <= 2M}", {"limits": "{max_params: <= 2M}"}),
    Mistake(
        "7:9",
        "limits must be a mapping with the keys params, macs, flops, activations, weight_layers,",
        "limits: {params: <= 2M}",
        {"limits": "params <= 2M"},
    ),
    Mistake("7:10", "unknown key 'parameters' in limits", "limits: {params: <= 2M}", {"limits": "{parameters: <= 2M}"}),
    Mistake(
        "7:18",
        "'2 million' is not a bound; write a comparison and a number, as in '<= 50M' or '> 0.9'",
        "limits: {params: <= 2M}",
        {"limits": "{params: 2 million}"},
    ),
    Mistake(
        "7:17",
        "'up to 600M' is not a bound; write a comparison and a number, as in '<= 50M' or '> 0.9'",
        "limits: {flops: <= 600M}",
        {"limits": "{flops: up to 600M}"},
    ),
    Mistake(
        "6:3",
        "block must be one expression, found a list; layers are separated by blanks",
        "block: conv3x3 bn +",
        {"block": "\n  - conv3x3\n  - bn\n  - +"},
    ),
    Mistake(
        "5:8",
        "block must be one expression, found a mapping; layers are separated by blanks",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "{type: BasicBlock}"},
    ),
    Mistake(
        "3:7",
        "stem must be one expression, found a mapping; layers are separated by blanks",
        "stem: conv3x3(8, pad=0)",
        {"stem": "{_target_: torch.nn.Conv2d, out_channels: 8, kernel_size: 3}"},
    ),
    Mistake(
        "4:51",
        "'false' means different things to different YAML readers; quote it or write it differently",
        "stages: {blocks: 2, width: [16, 32], stride: [1, 2]}",
        {"stages": "{blocks: 2, width: [16, 32], downsample: [false, true]}"},
    ),
    Mistake(
        "4:28",
        "not YAML: '[' is not closed",
        "stages: {blocks: 2, width: [16, 32], stride: [1, 2]}",
        {"stages": "{blocks: 2, width: [16, 32, stride: [1, 2]}"},
    ),
    Mistake(
        "19:8",
        "unknown rule 'shortcut' in vary; its parts are shortcut.same and shortcut.changed",
        "vary: {shortcut.changed: stage}",
        ("vary", "vary: {shortcut: stage}"),
    ),
    Mistake(
        "20:3",
        "unknown rule 'shortcut' in vary; its parts are shortcut.same and shortcut.changed",
        "  shortcut.changed: block",
        ("vary", "vary:\n  shortcut: block"),
    ),
    Mistake(
        "20:8",
        "unknown warning 'share_ratio' in allow; did you mean 'share-ratio'?",
        "allow: share-ratio",
        ("vary", "vary: {attn: stage}\nallow: share_ratio"),
    ),
    Mistake("2:10", "classes must be a whole number", "classes: 10", {"classes": "10,"}),
]
