"""Architectures: canonical identity, JSON, and invalid architectures."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.costs.analytic import count_cost
from explorer.errors import ArchitectureError
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.build import build_network
from explorer.networks.canonical import canonical_text
from explorer.networks.ops.activation import ELU, LeakyReLU, Mish, ReLU, Sigmoid
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.merge import Add
from explorer.networks.ops.norm import BatchNorm, LayerNorm
from explorer.networks.ops.pool import AvgPool, GlobalAveragePool, MaxPool
from explorer.networks.ops.regularisation import Dropout, DropPath
from explorer.networks.ops.scale import ChannelShuffle, Scale
from explorer.space.search_space import load_space
from tests.space.spaces import only, random_space

STEM = (Conv(3, 8), BatchNorm())
HEAD = (GlobalAveragePool(), Linear(10))
BRANCH = (Conv(3, 8), BatchNorm(), ReLU())


def network(*blocks: Block, stem=STEM, head=HEAD, **changes) -> Architecture:
    return Architecture(
        **{"input": (3, 8, 8), "classes": 10, "stem": stem, "stages": (Stage(blocks),), "head": head, **changes}
    )


# Same computation, same digest

EQUAL = {
    "a dilation on a 1x1 conv": ({"block": "conv1x1(d=2) bn conv3x3 +"}, {"block": "conv1x1 bn conv3x3 +"}),
    "none": ({"block": "none conv3x3 none bn none +"}, {"block": "conv3x3 bn +"}),
    "a scale of 1": ({"block": "conv3x3 scale(1) bn +"}, {"block": "conv3x3 bn +"}),
    "scales in a row": ({"block": "conv3x3 scale(0.5) scale(4) +"}, {"block": "conv3x3 scale(2) +"}),
    "scales that cancel": ({"block": "conv3x3 scale(0.5) scale(2) +"}, {"block": "conv3x3 +"}),
    "a repetition of one": ({"block": "(conv3x3 bn){1} +"}, {"block": "conv3x3 bn +"}),
    "a repeated relu": ({"block": "conv3x3 relu relu +"}, {"block": "conv3x3 relu +"}),
    "relu after what is never negative": ({"block": "conv3x3 sigmoid relu +"}, {"block": "conv3x3 sigmoid +"}),
    "relu6 twice": ({"block": "conv3x3 relu6 relu6 relu +"}, {"block": "conv3x3 relu6 +"}),
    "leaky relu without a slope": ({"block": "conv3x3 leaky_relu(0) +"}, {"block": "conv3x3 relu +"}),
    "leaky relu of slope 1": ({"block": "conv3x3 leaky_relu(1) +"}, {"block": "conv3x3 +"}),
    "depthwise and a group a channel": ({"block": "dwconv3x3 conv1x1 +"}, {"block": "conv3x3(in, g=in) conv1x1 +"}),
    "one group": ({"block": "conv3x3(g=1) +"}, {"block": "conv3x3 +"}),
    "group norm with a group a channel": ({"block": "conv3x3 gn(g=w) +"}, {"block": "conv3x3 in_ +"}),
    "no dropping": ({"block": "conv3x3 drop(0) droppath(0) +"}, {"block": "conv3x3 +"}),
    "shuffling one group": ({"block": "conv3x3 shuffle(g=1) shuffle(g=w) +"}, {"block": "conv3x3 +"}),
    "pooling by one": (
        {"block": "conv3x3 maxpool1x1 avgpool1x1 avgpool +", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 +", "stages": "{blocks: 1, width: 8}"},
    ),
    "pooling one pixel": ({"head": "gap gap fc"}, {"head": "gap fc"}),
    "a pool of one that strides": ({"stem": "conv3x3(8) maxpool1x1(s=2)"}, {"stem": "conv3x3(8) avgpool1x1(s=2)"}),
    "a stride written out": ({"block": "conv3x3(s=s) conv3x3 +"}, {"block": "conv3x3 conv3x3 +"}),
    "se by ratio or by width": ({"block": "conv3x3 se(r=4) +"}, {"block": "conv3x3 se(width=w/4) +"}),
    "se with its default activations": (
        {"block": "conv3x3 se(act=relu, gate=sigmoid, r=16) +"},
        {"block": "conv3x3 se +"},
    ),
    "a shortcut that does nothing": ({"shortcut": "{same: scale(1)}"}, {"shortcut": "{same: identity}"}),
    "stages divided otherwise": (
        {"stages": "{blocks: [1, 3], width: 8}"},
        {"stages": "{blocks: [3, 1], width: 8}"},
    ),
    "an activation before a block that has no shortcut, or in it": (
        {
            "block": "bn relu conv3x3 +",
            "shortcut": "{same: none, changed: none}",
            "stem": "conv3x3(8)",
            "stages": "{blocks: 1, width: 8}",
        },
        {
            "block": "conv3x3 +",
            "shortcut": "{same: none, changed: none}",
            "stem": "conv3x3(8) bn relu",
            "stages": "{blocks: 1, width: 8}",
        },
    ),
    "a layer before or after the merge of a block without a shortcut": (
        {"block": "conv3x3 bn relu +", "shortcut": "{same: none, changed: none}"},
        {"block": "conv3x3 + bn relu", "shortcut": "{same: none, changed: none}"},
    ),
    "a transition or the plain block that it is": (
        {"block": "conv3x3 +", "stages": "{blocks: 1, width: [8, 8]}", "transition": "conv3x3 bn"},
        {
            "grammar": {"opening": "conv3x3 bn +"},
            "block": "conv3x3 +",
            "stages": "[{blocks: 1, width: 8}, {blocks: 2, width: 8, first: opening}]",
            "shortcut": "{opening: {same: none}}",
        },
    ),
    "post written out": ({"stem": "conv3x3(8) post"}, {"stem": "conv3x3(8) bn relu"}),
    "pre written out": (
        {"block": "bn relu conv3x3 +", "head": "pre gap fc"},
        {"block": "bn relu conv3x3 +", "head": "bn relu gap fc"},
    ),
    "a shared pre-activation or the same before the block": (
        {
            "block": "bn relu conv3x3 +",
            "shortcut": "{from: preact}",
            "stem": "conv3x3(8)",
            "stages": "{blocks: 1, width: 8}",
        },
        {"block": "conv3x3 +", "stem": "conv3x3(8) bn relu", "stages": "{blocks: 1, width: 8}"},
    ),
    "an activation on both ways or before both": (
        {
            "block": "relu conv3x3 +",
            "shortcut": "{same: relu scale(0.5)}",
            "stages": "{blocks: 1, width: 8}",
            "stem": "conv3x3(8)",
        },
        {
            "block": "conv3x3 +",
            "shortcut": "{same: scale(0.5)}",
            "stages": "{blocks: 1, width: 8}",
            "stem": "conv3x3(8) relu",
        },
    ),
    "relu after a maximum of relus": (
        {"stem": "conv3x3(8) bn relu maxpool3x3 relu"},
        {"stem": "conv3x3(8) bn relu maxpool3x3"},
    ),
    "an activation before or behind the maximum": (
        {"stem": "conv3x3(8) relu6 maxpool3x3(s=2)"},
        {"stem": "conv3x3(8) maxpool3x3(s=2) relu6"},
    ),
    "an activation before or behind what only moves values": (
        {"block": "conv3x3 silu shuffle(g=2) bn +"},
        {"block": "conv3x3 shuffle(g=2) silu bn +"},
    ),
    "relu of what gates and means leave positive": (
        {"block": "conv3x3 relu se(r=2) eca cbam(r=2) drop(0.1) avgpool3x3 relu conv3x3 +"},
        {"block": "conv3x3 relu se(r=2) eca cbam(r=2) drop(0.1) avgpool3x3 conv3x3 +"},
    ),
    "elu and leaky relu of what is positive": (
        {"block": "conv3x3 relu elu leaky_relu(0.2) +"},
        {"block": "conv3x3 relu +"},
    ),
    "relu of a sum of what is positive": (
        {"block": "conv3x3 bn relu + relu", "stem": "conv3x3(8) relu", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 bn relu +", "stem": "conv3x3(8) relu", "stages": "{blocks: 1, width: 8}"},
    ),
    "a mean over one window": ({"head": "avgpool(s=16) fc"}, {"head": "gap fc"}),
    "dilation beyond the map": (
        {"block": "conv3x3(d=16) bn +", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3(d=40) bn +", "stages": "{blocks: 1, width: 8}"},
    ),
    "dilation on one pixel": (
        {"stem": "conv3x3(8) gap", "block": "conv3x3(d=5) +", "stages": "{blocks: 1, width: 8}"},
        {"stem": "conv3x3(8) gap", "block": "conv3x3 +", "stages": "{blocks: 1, width: 8}"},
    ),
    "which side is called the shortcut": (
        {"block": "conv1x1 +", "shortcut": "{same: conv3x3 relu bn}", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 relu bn +", "shortcut": "{same: conv1x1}", "stages": "{blocks: 1, width: 8}"},
    ),
    "pooling on both ways or before both": (
        {
            "block": "maxpool3x3 conv3x3 +",
            "shortcut": "{same: maxpool3x3}",
            "stages": "{blocks: 1, width: 8}",
            "stem": "conv3x3(8)",
        },
        {"block": "conv3x3 +", "stem": "conv3x3(8) maxpool3x3", "stages": "{blocks: 1, width: 8}"},
    ),
    "numbers spelled otherwise": (
        {"block": "conv3x3(w*2/2, d=4/2) drop(1/2) +"},
        {"block": "conv3x3(d=2) drop(0.5) +"},
    ),
}


@pytest.mark.parametrize("pair", EQUAL.values(), ids=list(EQUAL))
def test_equivalent_architectures_have_one_digest(pair):
    """Two forms of the same computation are equal, have one digest, and give the same output."""
    one, other = only(**pair[0]), only(**pair[1])
    assert one == other and hash(one) == hash(other) and one.digest == other.digest
    first, second = build_network(one, seed=3).eval(), build_network(other, seed=4).eval()
    assert sorted(p.shape for p in first.parameters()) == sorted(p.shape for p in second.parameters())
    # Exchanging the terms of a sum renames the weights, so they are matched by shape.
    mine, its = (sorted(net.state_dict().values(), key=lambda t: t.shape) for net in (first, second))
    with torch.no_grad():
        for ours, theirs in zip(mine, its, strict=True):
            theirs.copy_(ours)
        image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(first(image), second(image), atol=1e-6)


DIFFERENT = {
    "order": ({"block": "conv3x3 bn relu +"}, {"block": "conv3x3 relu bn +"}),
    "after the merge": ({"block": "conv3x3 bn relu +"}, {"block": "conv3x3 bn + relu"}),
    "activation": ({"block": "conv3x3 relu +"}, {"block": "conv3x3 silu +"}),
    "relu after relu6": ({"block": "conv3x3 relu relu6 +"}, {"block": "conv3x3 relu +"}),
    "silu twice": ({"block": "conv3x3 silu silu +"}, {"block": "conv3x3 silu +"}),
    "bn twice": ({"block": "conv3x3 bn bn +"}, {"block": "conv3x3 bn +"}),
    "dilation": ({"block": "conv3x3(d=2) +"}, {"block": "conv3x3 +"}),
    "kernel": ({"block": "conv5x5 +"}, {"block": "conv3x3 +"}),
    "bias": ({"block": "conv3x3(bias=1) +"}, {"block": "conv3x3 +"}),
    "groups": ({"block": "conv3x3(g=2) +"}, {"block": "conv3x3 +"}),
    "se ratio": ({"block": "conv3x3 se(r=2) +"}, {"block": "conv3x3 se(r=4) +"}),
    "se gate": ({"block": "conv3x3 se(gate=hardsigmoid) +"}, {"block": "conv3x3 se +"}),
    "stochastic depth": ({"block": "conv3x3 droppath(0.1) +"}, {"block": "conv3x3 +"}),
    "shortcut": ({"shortcut": "{same: scale(0.5)}"}, {}),
    "no shortcut": ({"shortcut": "{same: none}"}, {}),
    "projection": ({"shortcut": "{changed: conv1x1}"}, {}),
    "merge": ({"block": "conv3x3 gate(b=-1)"}, {"block": "conv3x3 gate(b=-2)"}),
    "where the shortcut starts": (
        {"block": "bn relu conv3x3 +", "shortcut": "{from: preact}"},
        {"block": "bn relu conv3x3 +"},
    ),
    "depth": ({"stages": "{blocks: [2, 3], width: [8, 16], stride: [1, 2]}"}, {}),
    "where it strides": ({"block": "conv3x3 bn relu conv3x3(s=s) bn + relu"}, {}),
    "input": ({"input": "3x16x8"}, {}),
    "classes": ({"classes": "11"}, {}),
    "pooling": ({"stem": "conv3x3(8) maxpool3x3"}, {"stem": "conv3x3(8) avgpool3x3"}),
    "an activation before or behind the mean": (
        {"stem": "conv3x3(8) silu avgpool3x3"},
        {"stem": "conv3x3(8) avgpool3x3 silu"},
    ),
    "what falls before or behind the maximum": (
        {"stem": "conv3x3(8) gelu maxpool3x3"},
        {"stem": "conv3x3(8) maxpool3x3 gelu"},
    ),
    "sigmoid before or behind new channels": (
        {"stem": "conv3x3(8) sigmoid subsample(s=1, out=16)"},
        {"stem": "conv3x3(8) subsample(s=1, out=16) sigmoid"},
    ),
    "relu of a sum that may be negative": (
        {"block": "conv3x3 relu conv3x3 + relu"},
        {"block": "conv3x3 relu conv3x3 +"},
    ),
    "relu behind a negative factor": (
        {"block": "conv3x3 relu scale(-1) relu +"},
        {"block": "conv3x3 relu scale(-1) +"},
    ),
    "relu6 of a sum": (
        {"block": "conv3x3 relu6 + relu6", "stem": "conv3x3(8) relu6", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 relu6 +", "stem": "conv3x3(8) relu6", "stages": "{blocks: 1, width: 8}"},
    ),
    "dropout on both ways is not dropout before both": (
        {"block": "drop(0.5) conv3x3 +", "shortcut": "{same: drop(0.5)}", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 +", "stem": "conv3x3(8) drop(0.5)", "stages": "{blocks: 1, width: 8}"},
    ),
    "which side is called the shortcut of a gate": (
        {"block": "conv1x1 gate(b=0)", "shortcut": "{same: conv3x3}", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 gate(b=0)", "shortcut": "{same: conv1x1}", "stages": "{blocks: 1, width: 8}"},
    ),
    "dilation within the map": ({"block": "conv3x3(d=7) +"}, {"block": "conv3x3(d=6) +"}),
    "a prelu on both ways is not one before both": (
        {"block": "prelu conv3x3 +", "shortcut": "{same: prelu, changed: prelu conv1x1}", "stem": "conv3x3(8)"},
        {"block": "conv3x3 +", "shortcut": "{same: identity, changed: conv1x1}", "stem": "conv3x3(8) prelu"},
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=list(DIFFERENT))
def test_different_computations_have_different_digests(pair):
    """Any change of the function, its parameters or its training changes the digest."""
    one, other = only(**pair[0]), only(**pair[1])
    assert one != other and one.digest != other.digest


def same_function(one: Architecture, other: Architecture) -> bool:
    """Return whether both are the same function in evaluation with the same weights in the same order."""
    first, second = build_network(one, seed=1), build_network(other, seed=2)
    mine, its = first.state_dict(), second.state_dict()
    if [t.shape for t in mine.values()] != [t.shape for t in its.values()]:
        return False
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for ours, theirs in zip(mine.values(), its.values(), strict=True):
            if ours.is_floating_point():
                ours.copy_(
                    torch.rand(ours.shape, generator=generator) + 0.5
                    if ours.dim() < 2
                    else torch.randn(ours.shape, generator=generator)
                )
            theirs.copy_(ours)
        image = torch.randn(2, *one.input, generator=generator)
        return torch.allclose(first.eval()(image), second.eval()(image), rtol=1e-4, atol=1e-5)


def stochastic(architecture: Architecture) -> bool:
    return any(placed.op.spelling in ("drop", "droppath") for placed in architecture.layers())


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_digests_identify_functions(seed):
    """In a random space, equal digests mean the same function, and different digests with equal weight shapes another
    one."""
    made = random_space(seed, largest=10**6)
    if made is None or made.count() < 2:
        return
    one, other = (made.architecture(derivation) for derivation in made.sample(2, seed=seed))
    if one.digest == other.digest:
        assert same_function(one, other)
    elif not (stochastic(one) or stochastic(other)):
        assert not same_function(one, other)


NOTHING = (Scale(1.0), Dropout(0.0), DropPath(0.0), AvgPool(1), MaxPool(1), LeakyReLU(1.0), ChannelShuffle(1))


def rewritten(arch: Architecture, draw: random.Random) -> Architecture:
    """Return the same computation in another form: ops without effect, doubled activations, other dilations of 1x1
    convs, unshared layers, exchanged terms of sums, other stages."""

    def words(ops):
        out = []
        for op in ops:
            if draw.random() < 0.3:
                out.append(draw.choice(NOTHING))
            if isinstance(op, Conv) and op.kernel == 1:
                op = replace(op, dilation=draw.randint(1, 4))
            out.append(op)
            if isinstance(op, ReLU) and draw.random() < 0.5:
                out.append(draw.choice([ReLU(), LeakyReLU(0.3), ELU()]))
        return tuple(out)

    blocks: list[Block] = []
    stem = list(arch.stem)
    for stage in arch.stages:
        before = list(stage.transition)
        for block in stage.blocks:
            shared, branch = list(block.branch[: block.shared]), block.branch[block.shared :]
            if blocks:
                last = blocks.pop()
                blocks.append(replace(last, after=(*last.after, *words([*before, *shared]))))
            else:
                stem += [*before, *shared]
            before, after = [], words(block.after)
            if block.shortcut is None and draw.random() < 0.5:
                made = Block((), Add(), words(branch) + after, None)
            elif block.shortcut is not None and isinstance(block.merge, Add) and draw.random() < 0.5:
                made = Block(words(block.shortcut), Add(), after, words(branch))
            else:
                shortcut = None if block.shortcut is None else words(block.shortcut)
                made = Block(words(branch), block.merge, after, shortcut)
            blocks.append(made)
    cut = draw.randint(1, len(blocks))
    stages = tuple(Stage(tuple(part)) for part in (blocks[:cut], blocks[cut:]) if part)
    return Architecture(arch.input, arch.classes, words(stem), stages, words(arch.head[:-1]) + arch.head[-1:])


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_a_rewritten_network_keeps_its_digest(seed):
    """Any equivalent form of a random network has the same digest, parameters and MACs."""
    made = random_space(seed, largest=10**9)
    if made is None:
        return
    draw = random.Random(seed)
    arch = made.architecture(made.sample(1, seed=seed)[0])
    again = rewritten(arch, draw)
    assert again.digest == arch.digest
    assert Architecture.from_json(again.to_json()).digest == arch.digest
    assert (count_cost(again).params, count_cost(again).macs) == (count_cost(arch).params, count_cost(arch).macs)


def changed(arch: Architecture, draw: random.Random) -> Architecture | None:
    """Return the network with one op changed, or None if that op has no alternative."""
    at = draw.randrange(len(arch.stages[0].blocks))
    stage = arch.stages[0]
    block = stage.blocks[at]
    place = draw.randrange(len(block.branch))
    op = block.branch[place]
    if isinstance(op, Conv):
        other = draw.choice([replace(op, bias=1 - op.bias), replace(op, kernel=op.kernel + 2)])
    elif op.role == "activation":
        other = Sigmoid() if op != Sigmoid() else Mish()
    elif op.role == "norm":
        other = LayerNorm() if op != LayerNorm() else BatchNorm()
    else:
        return None
    branch = (*block.branch[:place], other, *block.branch[place + 1 :])
    # A changed shared layer changes for the shortcut as well.
    blocks = (*stage.blocks[:at], replace(block, branch=branch), *stage.blocks[at + 1 :])
    return replace(arch, stages=(replace(stage, blocks=blocks), *arch.stages[1:]))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_a_changed_op_changes_the_digest(seed):
    """One changed kernel, bias, activation or norm in a network of a random space changes its digest."""
    made = random_space(seed, largest=10**9)
    if made is None:
        return
    arch = made.architecture(made.sample(1, seed=seed)[0])
    other = changed(arch, random.Random(seed))
    if other is not None:
        assert other.digest != arch.digest


def test_the_distinct_networks_of_a_space():
    """The digest merges derivations of one network, such as a dilation chosen on a branch of 1x1 convs."""
    made = load_space("he2016_orders")
    assert len({made.architecture(index).digest for index in range(made.count())}) == made.count() == 5


# Digests never change

PINNED = {
    0: "v1-e3ad1c1d067c81a8360b6f4975725468",
    1: "v1-990d98ddcdc3b438c6c904de1cb3fad4",
    5_184: "v1-6c8d8ebe49c51d5af9436a348d0c984b",
    10_367: "v1-f052d8db06f4dcdb0b85c969e4d8e7e7",
}


PINNED_FAMILIES = {
    "he2016_orders": "v1-d90db1eb517b0cc71c2ebcefb77dd8b0",
    "se_dilation_bottleneck": "v1-e50662228c8489cd44e6c083b1dbbf3a",
    "published/resnet": "v1-ce12999c197636864fe901d63cd4bf54",
    "published/densenet": "v1-486434bf222a6d6fbd7633e17ab1c631",
    "published/efficientnet": "v1-a15292aa4688096d2d7bfcea468a9b1a",
    "published/convnext": "v1-eab4fdeff30c8542cf38887333d844b7",
    "published/botnet": "v1-4336f4c112b75613412749d2cf6fa558",
    "published/mobilenet_v3": "v1-b21b33d7b86460423b31fb6205bf07dc",
}


@pytest.mark.parametrize("name", PINNED_FAMILIES)
def test_digests_of_families_do_not_change(name):
    """The digest of each family's index 0 is the one first published."""
    assert load_space(name).architecture(0).digest == PINNED_FAMILIES[name]


def test_digests_are_the_same_in_every_process(monkeypatch):
    """Pinned digests of preact_variants are the same in this process and in one with another hash seed."""
    made = load_space("preact_variants")
    assert {index: made.architecture(index).digest for index in PINNED} == PINNED
    program = (
        "import explorer, sys; space = explorer.load_space('preact_variants');"
        "print(*[space.architecture(int(index)).digest for index in sys.argv[1:]])"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, *map(str, PINNED)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77"},
    )
    assert child.stdout.split() == list(PINNED.values())


def test_the_canonical_form_is_plain_data():
    """The digest is computed from JSON: a list of ops and residual blocks, input and classes."""
    arch = only(stages="{blocks: 1, width: 8}")
    form = json.loads(canonical_text(arch.input, arch.classes, arch.segments))
    assert form == {
        "input": [3, 16, 16],
        "classes": 10,
        "net": [
            {"op": "conv", "kernel": 3, "out": 8},
            {"op": "bn"},
            {"op": "relu"},
            {
                "branch": [
                    {"op": "conv", "kernel": 3, "out": 8},
                    {"op": "bn"},
                    {"op": "relu"},
                    {"op": "conv", "kernel": 3, "out": 8},
                    {"op": "bn"},
                ],
                "shortcut": [],
                "merge": {"op": "+"},
            },
            {"op": "relu"},
            {"op": "gap"},
            {"op": "fc", "out": 10},
        ],
    }


# JSON


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_json_round_trip(seed):
    """An architecture is equal after conversion to JSON text and back, op by op, with its stages."""
    made = random_space(seed, largest=10**9)
    if made is None:
        return
    arch = made.architecture(made.sample(1, seed=seed)[0])
    again = Architecture.from_json(arch.to_json())
    assert again == arch
    assert (again.input, again.classes, again.stem, again.stages, again.head) == (
        arch.input,
        arch.classes,
        arch.stem,
        arch.stages,
        arch.head,
    )
    assert again.to_json() == arch.to_json()


def test_json_of_every_merge_and_shortcut():
    """Gates, no shortcut, shared pre-activation and transitions survive JSON."""
    for sections in (
        {"block": "conv3x3 gate(b=-2.5)"},
        {"shortcut": "{same: none, changed: none}"},
        {"block": "bn relu conv3x3 +", "shortcut": "{from: preact}"},
        {"block": "conv3x3 cat", "transition": "conv1x1(in/2) avgpool"},
        {
            "block": "avgpool conv1x1 +",
            "stages": "{blocks: 1, width: 8, stride: 63}",
            "shortcut": "{changed: none}",
            "input": "3x64x64",
        },
    ):
        arch = only(**sections)
        again = Architecture.from_json(arch.to_json())
        assert (again.stages, again.digest) == (arch.stages, arch.digest)


def tampered(change) -> str:
    data = json.loads(only(block="conv3x3 se(r=4) +", stages="{blocks: 1, width: 8}").to_json())
    change(data)
    return json.dumps(data)


TAMPERED = {
    "another width": (lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(kernel=5), "the digest in the file is"),
    "another digest": (lambda d: d.update(digest="v1-" + "0" * 32), "the digest in the file is"),
    "an unknown op": (lambda d: d["stem"][0].update(op="cnov"), "unknown op 'cnov'"),
    "an unknown key": (lambda d: d.update(extra=1), "an architecture has the keys"),
    "a missing key": (lambda d: d.pop("head"), "an architecture has the keys"),
    "another format": (lambda d: d.update(format=2), "format 2 is unknown"),
    "an input of two": (
        lambda d: d.update(input=[3, 8]),
        r"input: expected \[channels, height, width\], found '\[3, 8\]'",
    ),
    "an input of text": (lambda d: d.update(input="3x8x8"), "input: expected .* found '3x8x8'"),
    "a channel count that is a float": (lambda d: d.update(input=[3.0, 8, 8]), "input: expected .*found"),
    "a huge input": (lambda d: d.update(input=[3, 10**9, 8]), "input height must be in 1..4096"),
    "a large number": (lambda d: d.update(classes=10**40), "classes must be in 1..65536"),
    "a huge number": (lambda d: d.update(classes=10**400), "a number of 401 digits; at most 100 are read"),
    "no classes": (lambda d: d.update(classes=True), "classes: expected a whole number, found 'True'"),
    "no list of stages": (lambda d: d.update(stages={}), "stages: expected a list of at most 10,000, found '{}'"),
    "a width that is a float": (
        lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(out=8.0),
        r"stages\[0\].blocks\[0\].branch\[0\]: out of conv must be a whole number, found 8.0",
    ),
    "a width that is a text": (
        lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(out="8"),
        r"stages\[0\].blocks\[0\].branch\[0\]: out of conv must be a number, found '8'",
    ),
    "a width that is a truth": (lambda d: d["stem"][0].update(out=True), r"stem\[0\]: out of conv must be a number"),
    "a negative width": (lambda d: d["stem"][0].update(out=-1), r"stem\[0\]: out of conv must be in"),
    "no stage": (lambda d: d.update(stages=[]), "at least one stage"),
    "an empty stage": (lambda d: d["stages"][0].update(blocks=[]), "a block in each"),
    "a stage without blocks": (lambda d: d["stages"][0].pop("blocks"), "a stage has exactly the keys"),
    "a block of more": (lambda d: d["stages"][0]["blocks"][0].update(x=1), "a block has the keys"),
    "a share of nothing": (lambda d: d["stages"][0]["blocks"][0].update(shared=9), '"shared" counts leading ops'),
    "a negative share": (lambda d: d["stages"][0]["blocks"][0].update(shared=-1), '"shared" counts leading ops'),
    "a merge that is none": (
        lambda d: d["stages"][0]["blocks"][0].update(merge={"op": []}),
        r"stages\[0\].blocks\[0\].merge: a merge is one of",
    ),
    "a merge that does not fit": (
        lambda d: d["stages"][0]["blocks"][0].update(merge={"op": "cat"}),
        "the digest in the file is|groups|needs equal shapes",
    ),
    "shapes that do not meet": (
        lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(out=16),
        "stage 1, block 1: the merge '\\+' needs equal shapes: the branch has 16x16x16",
    ),
    "ops that are no list": (lambda d: d.update(stem={"op": "bn"}), "stem: expected a list of at most 10,000"),
    "a head for other classes": (lambda d: d.update(classes=11), "11 classes need 11x1x1"),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=list(TAMPERED))
def test_tampered_json_is_rejected(change):
    """A JSON file with changed content or digest is rejected, and the unchanged file is read."""
    assert Architecture.from_json(tampered(lambda data: None))
    with pytest.raises(ArchitectureError, match=change[1]):
        Architecture.from_json(tampered(change[0]))


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "3", "null", '"x"', "{", "[" * 100_000, '{"format": 1e999}', b"\xff", "NaN", "9" * 5_000],
)
def test_other_json_is_rejected(text):
    """Any other JSON raises an ArchitectureError."""
    with pytest.raises(ArchitectureError):
        Architecture.from_json(text)


def test_a_digest_of_another_version_is_ignored():
    """A file with a digest of another canonical form is read by its content."""
    data = json.loads(only().to_json())
    data["digest"] = "v0-something"
    assert Architecture.from_json(json.dumps(data)) == only()


# Construction


def test_an_architecture_is_frozen():
    """Architectures, blocks and ops cannot be changed."""
    arch = only()
    for value, name in ((arch, "classes"), (arch.stages[0].blocks[0], "shared"), (arch.stem[0], "out")):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(), "a block in each"),
        (lambda: network(Block(BRANCH), input=(0, 8, 8)), "input channels must be in 1..65536, found 0"),
        (lambda: network(Block(BRANCH), input=(3, 8, 4097)), "input width must be in 1..4096, found 4097"),
        (lambda: network(Block(BRANCH), classes=0), "classes must be in"),
        (
            lambda: network(Block((Conv(3, 16),))),
            "stage 1, block 1: the merge '\\+' needs equal shapes: the branch has 16x8x8, the shortcut 8x8x8",
        ),
        (lambda: network(Block(BRANCH), Block((Conv(3, 8, stride=2),))), "stage 1, block 2: .* the branch has 8x4x4"),
        (lambda: network(Block(BRANCH), head=(Linear(9),)), "the head has the output 9x1x1, 10 classes need 10x1x1"),
        (
            lambda: network(Block(BRANCH), stem=(Conv(9, 8), Conv(8, 8), AvgPool(2, 2))),
            "the head has the output|does not fit",
        ),
        (lambda: network(*[Block(())] * 2_001), "stage 1 has 2,001 blocks; a stage has at most 2,000"),
        (lambda: network(*[Block(BRANCH * 2)] * 2_000), "the network has 12,004 layers; a network has at most 10,000"),
    ],
)
def test_invalid_architectures_are_rejected_on_construction(make, message):
    """Shapes that do not fit and values out of range raise an ArchitectureError with the position."""
    if "does not fit" in message:
        assert make().output == (10, 1, 1)
        return
    with pytest.raises(ArchitectureError, match=message):
        make()


def test_layers_are_in_the_order_of_computation():
    """layers() gives every op and merge with its path and its input and output shapes."""
    arch = only(
        block="conv3x3 bn + relu",
        stages="{blocks: 1, width: [8, 16], stride: [1, 2]}",
        stem="conv3x3(8)",
        transition="avgpool",
    )
    found = [(placed.path, str(placed.op), str(placed.x), str(placed.y)) for placed in arch.layers()]
    assert found == [
        ("stem.0", "conv3x3(out=8)", "3x16x16", "8x16x16"),
        ("stage1.block1.branch.0", "conv3x3(out=8)", "8x16x16", "8x16x16"),
        ("stage1.block1.branch.1", "bn", "8x16x16", "8x16x16"),
        ("stage1.block1.merge", "+", "8x16x16", "8x16x16"),
        ("stage1.block1.after.0", "relu", "8x16x16", "8x16x16"),
        ("stage2.transition.0", "avgpool2x2(s=2)", "8x16x16", "8x8x8"),
        ("stage2.block1.branch.0", "conv3x3(out=16)", "8x8x8", "16x8x8"),
        ("stage2.block1.branch.1", "bn", "16x8x8", "16x8x8"),
        ("stage2.block1.shortcut.0", "conv1x1(out=16)", "8x8x8", "16x8x8"),
        ("stage2.block1.shortcut.1", "bn", "16x8x8", "16x8x8"),
        ("stage2.block1.merge", "+", "16x8x8", "16x8x8"),
        ("stage2.block1.after.0", "relu", "16x8x8", "16x8x8"),
        ("head.0", "gap", "16x8x8", "16x1x1"),
        ("head.1", "fc(out=10)", "16x1x1", "10x1x1"),
    ]
    assert arch.layer_count == len(found) - 2
    assert arch.stage_shapes() == [TensorShape(8, 16, 16), TensorShape(8, 16, 16), TensorShape(16, 8, 8)]


def test_equality_compares_functions():
    """Architectures made by hand are equal if they compute the same, whatever their fields."""
    plain = network(Block(BRANCH))
    assert plain == network(Block((*BRANCH[:2], LeakyReLU(0.0)))) == network(Block((Scale(1.0), *BRANCH)))
    assert plain != network(Block((*BRANCH[:2], LeakyReLU(0.1))))
    assert plain != "plain" and replace(plain.stem[0], out=9) != plain.stem[0]
