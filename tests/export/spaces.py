"""Small spaces with every way to build a residual network, and networks drawn from them."""

from __future__ import annotations

import random
from functools import cache

import torch

from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.build import Network, build_network
from explorer.networks.ops import registry
from explorer.networks.ops.activation import Sigmoid
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.convolutional_attention import ConvolutionalAttention
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.merge import Add, Concatenate, Gate
from explorer.networks.ops.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from explorer.networks.ops.pool import AvgPool, BlurPool, GlobalAveragePool, MaxPool, Subsample
from explorer.networks.ops.regularisation import Dropout, DropPath
from explorer.networks.ops.scale import ChannelShuffle, LayerScale, Scale, ShortcutGate
from explorer.networks.ops.self_attention import SelfAttention
from explorer.networks.ops.squeeze_excitation import EfficientChannelAttention, SqueezeExcitation
from explorer.space.search_space import load_space, parse_space

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
    "standardised weights and trained factors": """
stem: wsconv3x3(8, gain=1, gamma=1.7, bias=1) gelu_tanh
stages: {blocks: [1, 2], width: [16, 32], stride: [1, 2]}
block: scale(0.8) quick_gelu wsconv1x1(w/2, gain=1) selu wsconv3x3(w/2, g=w/8, gain=1) tanh wsconv1x1(bias=1) skipinit +
shortcut: {changed: avgpool wsconv1x1(eps=0.00001)}
head: gap fc
""",
    "norms with their own activation": """
stem: conv3x3(8) bn(eps=0.001) hard_mish
stages: {blocks: [1, 2], width: [8, 16], stride: [1, 2]}
block: dwconv3x3 frn tlu conv1x1(2*w) rmsnorm star_relu(bias=-0.5) grn conv1x1 evonorm_s0(g=4) + ln(eps=0.00001)
shortcut: {changed: conv1x1 evonorm_b0}
head: gap fc
""",
    "gates of networks after SE": """
stem: conv3x3(8) bn relu
stages: {blocks: [1, 2], width: [8, 16], stride: [1, 2]}
block: conv3x3 se(r=4, norm=bn, bias=0) ese gc(r=2, fuse=scale) gc(r=4) coord_attn(r=4) simam conv1x1 +
head: gap fc
""",
    "convolutions of several paths": """
stem: conv3x3(8) bn relu
stages: {blocks: [1, 2], width: [16, 32], stride: [1, 2]}
block: conv1x1(w/2) sk3x3(w/2, g=2, split=1) splat3x3(w/2, g=2) splat3x3(w, r=2, radix=1) sk5x5(w, d=2, width=8) +
head: gap fc
""",
    "attention in parts and linear attention": """
stem: conv3x3(8, s=2) bn relu
stages: {blocks: [1, 2], width: [16, 32], stride: [1, 2]}
block: mhsa(heads=w/16, position=bias, window=4, bias=1, proj=1) conv3x3 mhsa(2, grid=2) linear_attn(2, scale=3) ln +
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
  - {blocks: 2, width: 24, stride: 2, block: conv1x1(w/2) bn relu conv3x3 bn cbam(3) blurpool3x3(s=s) relu conv1x1 bn +}
  - {blocks: 2, width: 32, stride: 2, block: mixing}
  - {blocks: 2, width: 48, stride: 2, block: mixing}
block: conv3x3 +
shortcut: {changed: blurpool conv1x1 bn}
head: gap fc
grammar:
  mixing: conv1x1(w/2) bn relu mhsa(heads=2) bn relu conv1x1(s=s) bn + relu
""",
    "TensorFlow's padding, explicit padding, pools that round up": """
stem: conv3x3(8, s=2, pad=same) bn relu maxpool3x3(s=2, pad=0, ceil=1)
stages: {blocks: [1, 2, 2], width: [8, 16, 16], stride: [1, 2, 1]}
block: conv1x1(2*w) bn relu dwconv4x4(pad=same) bn relu conv5x5(pad=3) bn relu conv3x3(pad=0) bn +
shortcut: {changed: "avgpool3x3(s=s, pad=same) conv1x1 bn"}
transition: maxpool2x2(s=s, pad=same) avgpool3x3(pad=1, count_pad=1)
head: conv4x4(8, pad=same) avgpool2x2(ceil=0) gmp fc
""",
    "rectangular kernels and strides": """
stem: space_to_depth(2) conv1x7(8) conv7x1(8) bn relu depth_to_space(2)
stages: {blocks: 2, width: [8, 16], stride: [1, 2x1]}
block: conv3x1 bn relu conv1x3(g=2) bn maxpool3x1 +
shortcut: {changed: avgpool conv1x1 bn}
head: zeropad(1x0) avgpool1x8 blurpool3x3(pad=zero) gap fc
""",
    "each block another padding": """
stem: conv3x3(8) bn
stages: {blocks: 2, width: 8, stride: [1, 2x1]}
block: conv3x3 bn relu size bn +
shortcut: {changed: conv1x1(s=s)}
head: gap fc
grammar: {size: conv5x5 | conv3x3 | conv1x3 | conv2x2(pad=same)}
vary: {size: block}
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
DRAWN = 4  # networks from each space above, if it has that many


def hand_written() -> list[tuple[str, Architecture]]:
    """Return (label, network) for up to four networks of each space above."""
    found = []
    for label, text in SPACES.items():
        space = parse_space(HEADER + text)
        total = space.count()
        step = max(1, total // DRAWN)
        found += [(f"{label} {index}", space.architecture(index)) for index in range(0, total, step)][:DRAWN]
    return found


def shipped(count: int, seed: int = 0) -> list[tuple[str, Architecture]]:
    """Return (label, network) for the shipped default space: each order with SE, dilation and SiLU, and random
    draws."""
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


def random_architecture(seed: int) -> Architecture:
    """Return a small network of random blocks: every order of norm, activation and conv, every op, shortcut and
    merge."""
    draw = random.Random(seed)
    side = draw.choice((9, 12))
    norms = (BatchNorm(), GroupNorm(4), LayerNorm(), InstanceNorm())
    acts = [registry.by_spelling[spelling]() for spelling in registry.activations()]

    def rhythm() -> tuple[Op, ...]:
        return (draw.choice(norms), draw.choice(acts))

    def conv(out: int, stride: int = 1) -> Conv:
        return Conv(
            draw.choice((1, 3, 3, 5)), out, stride, draw.choice((1, 1, 2)), draw.choice((1, 1, 4)), draw.randint(0, 1)
        )

    def extra(width: int) -> tuple[Op, ...]:
        kinds = (
            *(SqueezeExcitation(width // 4, draw.choice(acts), Sigmoid()), EfficientChannelAttention(3)),
            *(ConvolutionalAttention(2), LayerScale(0.5), Scale(0.7), ChannelShuffle(4), SelfAttention(2)),
            *(Dropout(0.2), DropPath(0.1), MaxPool(3), AvgPool(3, 1, 1)),
        )
        return (draw.choice(kinds),) if draw.random() < 0.6 else ()

    def block(arriving: int, width: int, stride: int) -> Block:
        early = draw.random() < 0.5
        branch = (*rhythm(), conv(width, stride)) if early else (conv(width, stride), *rhythm())
        branch += (*rhythm(), conv(width), *extra(width)) if early else (conv(width), draw.choice(norms), *extra(width))
        after = () if early else (draw.choice(acts),)
        if (arriving, stride) == (width, 1):
            kind = draw.randrange(5)
            shortcut = (((), (Scale(0.5),), (Dropout(0.3),), (ShortcutGate(-1.0),), (Conv(1, width),)))[kind]
            merge = draw.choice((Add(), Add(), Gate(-2.0), Concatenate()))
            return Block(branch, merge, after, shortcut)
        pools = ((), (AvgPool(2, 2),), (BlurPool(2),), (MaxPool(3, 2),)) if stride == 2 else ((),)
        pool = draw.choice(pools)
        changed = (*pool, Conv(1, width, 1 if pool else stride), draw.choice(norms))
        if width >= arriving and draw.random() < 0.2:
            changed = (Subsample(stride, width),)
        return Block(
            branch, Add(), after, draw.choice((changed, changed, None)), 2 if early and draw.random() < 0.5 else 0
        )

    channels, stages = 8, []
    stem = (Conv(3, channels), *(() if draw.random() < 0.5 else rhythm()))
    for width, stride in ((8, 1), (16, 2), (24, 2))[: draw.randint(1, 3)]:
        transition = (*rhythm(), Conv(1, width), AvgPool(2, 2)) if stride == 2 and draw.random() < 0.3 else ()
        channels, stride = (width, 1) if transition else (channels, stride)
        blocks = []
        for _ in range(draw.randint(1, 3)):
            blocks.append(block(channels, width, stride))
            stride = 1
            channels = channels + width if isinstance(blocks[-1].merge, Concatenate) else width
        stages.append(Stage(tuple(blocks), transition))
    head = (*(() if draw.random() < 0.5 else rhythm()), GlobalAveragePool(), Linear(5))
    return Architecture(TensorShape(3, side, side), 5, stem, tuple(stages), head)


def randomised(architecture: Architecture, seed: int = 0) -> Network:
    """Return the network in evaluation mode, with no weight and no running average at its initial value."""
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
