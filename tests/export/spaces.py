"""Small spaces that hold each way in which a residual network may be built, and networks drawn from them."""

from __future__ import annotations

from functools import cache

import torch

from explorer.architecture import Architecture
from explorer.grammar.parse import load_space, parse_space
from explorer.network.build import Network, build_network

HEADER = "input: 3x16x16\nclasses: 5\n"

SPACES = {
    "inverted bottleneck, linear stochastic depth, no shortcut where the shape changes": """
stem: conv3x3(8, s=2) bn silu
stages: {blocks: [1, 2, 3], width: [8, 12, 20], stride: [1, 2, 1]}
block: conv1x1(6*in) bn silu dwconv3x3 bn silu se(r=24, act=silu) conv1x1 bn droppath(0.2*i/n) +
shortcut: {changed: none}
head: conv1x1(32) bn silu gap drop(0.2) fc
""",
    "option A shortcuts": """
stem: conv3x3(4) post
stages: {blocks: 2, width: [4, 8], stride: [1, 2]}
block: conv3x3 bn relu conv3x3 bn + relu
shortcut: {changed: subsample}
head: gap fc
""",
    "exclusive gate, first block by projection": """
stem: conv3x3(4) post
stages: {blocks: 2, width: [4, 8], stride: [1, 2]}
block: conv3x3 bn relu conv3x3 bn gate(b=-6) relu
head: gap fc
""",
    "shortcuts that are scaled, dropped and gated": """
stem: conv3x3(4) bn
stages:
  - {blocks: 2, width: 4, shortcut: {same: scale(0.5)}}
  - {blocks: 2, width: 8, stride: 2, shortcut: {same: drop(0.5)}}
  - {blocks: 3, width: 8, shortcut: {same: shortcut_gate(b=-2.5)}}
block: relu conv3x3 bn relu conv3x3 bn +
head: relu gap fc
""",
    "dense layers with transitions": """
stem: conv3x3(8)
stages: {blocks: [2, 3, 2], width: 4, stride: [1, 2, 2]}
block: bn relu conv1x1(4*w) bn relu conv3x3 cat
transition: bn relu conv1x1(in/2) avgpool
head: bn relu gap fc
""",
    "transitions that differ, blocks that differ": """
stem: conv3x3(8)
stages: {blocks: 3, width: [4, 6], stride: [1, 2]}
block: kind conv3x3 cat
transition: bn relu conv1x1(in/2) avgpool
head: bn relu gap fc
grammar:
  kind: bn relu | gn(g=2) silu | relu
vary: {kind: block}
""",
    "convnext": """
stem: conv4x4(8, s=4) ln
stages: {blocks: [1, 2], width: [8, 16], stride: [1, 2]}
block: dwconv7x7 ln conv1x1(4*w, bias=1) gelu conv1x1(bias=1) layerscale droppath(0.1) +
transition: ln conv2x2(s=s, bias=1)
head: gap ln fc
""",
    "group norm and grouped convolutions": """
stem: conv3x3(16) gn(g=4) relu
stages: {blocks: 2, width: [16, 32], stride: [1, 2]}
block: conv1x1(w/2) gn(g=4) relu conv3x3(w/2, g=w/8) gn(g=4) relu conv1x1 gn(g=8) + relu
shortcut: {changed: conv1x1 gn(g=4)}
head: gap fc
""",
    "each stage its own block and kernel, plain first": """
stem: conv5x5(6) in_ leaky_relu(slope=0.1)
stages:
  - {blocks: 2, width: 6, block: conv3x3 bn relu +, shortcut: {same: none, changed: none}}
  - {blocks: 2, width: 12, stride: 2, block: conv5x5 bn prelu conv5x5(d=2) bn + prelu}
  - {blocks: 2, width: 12, block: conv3x3 bn prelu conv3x3 bn + prelu, first: conv3x3 eca +}
block: conv3x3 +
head: gap fc
""",
    "the stride on the first 1x1, pooled projections": """
stem: conv3x3(8) bn relu maxpool3x3(s=2)
stages: {blocks: 2, width: [16, 32], stride: [1, 2]}
block: conv1x1(w/4, s=s) bn relu conv3x3(w/4) bn relu conv1x1 bn + relu
shortcut: {changed: avgpool conv1x1 bn}
head: gap fc
""",
    "no stem, no classifier": """
stem: none
stages: {blocks: 2, width: [3, 8], stride: [1, 2]}
block: conv3x3 bn hardswish +
shortcut: {changed: maxpool3x3(s=s) conv1x1}
head: conv1x1(5) gap
""",
    "attention of other kinds, blurred pooling": """
stem: conv3x3(12) bn relu blurpool(s=2)
stages:
  - {blocks: 2, width: 12, block: conv3x3 bn relu conv3x3 bn eca + relu}
  - {blocks: 2, width: 24, stride: 2, block: conv1x1(w/2) bn relu conv3x3 bn cbam(r=3) blurpool relu conv1x1 bn +}
  - {blocks: 2, width: 32, stride: 2, block: mixing}
  - {blocks: 2, width: 48, stride: 2, block: mixing}
block: conv3x3 +
shortcut: {changed: blurpool conv1x1 bn}
head: gap fc
grammar:
  mixing: conv1x1(w/2) bn relu mhsa(heads=2) bn relu conv1x1(s=s) bn + relu
""",
    "awkward decimals": """
stem: conv3x3(6) bn
stages: {blocks: 3, width: 6}
block: relu6 scale(1/3) conv3x3 bn scale(0.123456789012345) drop(1/7) shuffle(g=3) +
shortcut: {same: scale(-0.7)}
head: gap fc
""",
}

loaded = cache(load_space)
DRAWN = 4  # networks from each space above, where it has so many


def hand_written() -> list[tuple[str, Architecture]]:
    """(label, network): up to four of each space above."""
    found = []
    for label, text in SPACES.items():
        space = parse_space(HEADER + text)
        total = space.count()
        step = max(1, total // DRAWN)
        found += [(f"{label} {index}", space.architecture(index)) for index in range(0, total, step)][:DRAWN]
    return found


def shipped(count: int, seed: int = 0) -> list[tuple[str, Architecture]]:
    """(label, network) of the shipped default space: each order with SE, dilation and SiLU, and random draws."""
    space = load_space("preact_variants.yaml")
    orders = next(point.options for point in space.points if point.name == "order")
    chosen = [
        space.named(
            {
                "order": order,
                "act": "silu",
                "depth": "2",
                "attn@stage2": "se(r=4)",
                "attn@stage3": "se(r=16)",
                "dil@stage3": "2",
            }
        )
        for order in orders
    ]
    return [(str(derivation), space.architecture(derivation)) for derivation in (*chosen, *space.sample(count, seed))]


def randomised(architecture: Architecture, seed: int = 0) -> Network:
    """The network with no weight and no running average at its initial value, in evaluation."""
    network = build_network(architecture)
    draw = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            spread = 0.5 + torch.rand(value.shape, generator=draw)
            around = torch.randn(value.shape, generator=draw) / max(1, value[0].numel() if value.dim() else 1) ** 0.5
            value.copy_(spread if key.endswith("running_var") else around)
        else:
            value.fill_(7)
    return network.eval()
