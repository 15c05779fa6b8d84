"""Digests of random networks identify their functions, in any equivalent form."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.costs.analytic import count_cost
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.build import build_network
from explorer.networks.ops.activation import ELU, LeakyReLU, Mish, ReLU, Sigmoid
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.merge import Add
from explorer.networks.ops.norm import BatchNorm, LayerNorm
from explorer.networks.ops.pool import AvgPool, MaxPool
from explorer.networks.ops.regularisation import Dropout, DropPath
from explorer.networks.ops.scale import ChannelShuffle, Scale
from tests.space.spaces import random_space


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
