"""Signal and gradient through the blocks of a network at initialisation, compared with torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from explorer.data.dataset import load_data
from explorer.errors import TrainingError
from explorer.networks.build import build_network
from explorer.space.search_space import parse_space
from explorer.training.gradient_flow import gradient_flow

SPACE = """
name: probed
input: 1x8x8
classes: 10
stem: conv3x3(8) bn relu
stages: {{blocks: 3, width: [8, 16], stride: [1, 2]}}
block: {block}
shortcut: {shortcut}
head: gap fc
"""


def network_of(block: str, shortcut: str = "{changed: conv1x1}"):
    """Return a network of two stages of three such blocks."""
    return parse_space(SPACE.format(block=block, shortcut=shortcut), "probed.yaml").architecture(0)


def by_torch(architecture, batch: int, seed: int):
    """Return each stage's block outputs with their gradients, from an explicit forward pass."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, *architecture.input, generator=random)
    labels = torch.randint(architecture.classes, (batch,), generator=random)
    network = build_network(architecture, seed).train()
    x, outputs = network.stem(x), []
    for stage in network.stages:
        outputs.append([])
        for block in stage:
            x = block(x)
            x.retain_grad()
            outputs[-1].append(x)
    F.cross_entropy(network.head(x).flatten(1), labels).backward()
    return outputs


def test_statistics_equal_the_formulas():
    """Norm, cosine and variance of every block equal torch's, and the shortcut's share is that of g_l in g_(l-1) = g_l
    + f."""
    architecture = network_of("bn relu conv3x3 bn relu conv3x3 +")
    flow = gradient_flow(architecture, batch=4, seed=3)
    outputs = by_torch(architecture, 4, 3)
    assert (flow.digest, flow.batch, flow.seed, flow.source) == (architecture.digest, 4, 3, "noise")
    assert [(b.stage, b.block) for b in flow.blocks] == [(s, b) for s in (1, 2) for b in (1, 2, 3)]
    for found in flow.blocks:
        stage = outputs[found.stage - 1]
        y, last = stage[found.block - 1], stage[-1]
        assert found.grad_norm == pytest.approx(y.grad.norm().item(), rel=1e-4)
        cosine = F.cosine_similarity(y.grad.flatten(), last.grad.flatten(), dim=0).item()
        assert found.cosine == pytest.approx(cosine, abs=1e-5)
        assert found.signal_var == pytest.approx(y.var(dim=(0, 2, 3), correction=0).mean().item(), rel=1e-4)
        if found.block > 1:
            before = stage[found.block - 2].grad
            direct, learnt = y.grad.square().sum(), (before - y.grad).square().sum()
            assert found.shortcut_share == pytest.approx((direct / (direct + learnt)).item(), rel=1e-3)
        assert found.dead_share == 0
    assert [flow.blocks[2].cosine, flow.blocks[5].cosine] == pytest.approx([1, 1])


def test_blocks_without_shortcut_or_with_concatenation():
    """Dead channels are counted over all activations, a block without a shortcut has share 0, and concatenated outputs
    have no cosine."""
    half = gradient_flow(network_of("conv3x3 bn relu scale(-1) relu conv3x3 bn +"), batch=2)
    assert [block.dead_share for block in half.blocks] == [0.5] * 6
    assert all(block.shortcut_share == 1 for block in half.blocks)  # no signal passes the dead half of the branch
    plain = gradient_flow(network_of("conv3x3 bn relu +", shortcut="{same: none, changed: none}"), batch=2)
    assert all(block.shortcut_share == 0 and block.grad_norm > 0 for block in plain.blocks)
    growing = gradient_flow(network_of("bn relu conv3x3(4) cat"), batch=2)
    assert [block.cosine is None for block in growing.blocks] == [True, True, False] * 2


def test_the_same_arguments_give_the_same_statistics():
    """The result is reproducible with dropout, leaves the global random state unchanged, and depends on the seed."""
    architecture = network_of("conv3x3 bn relu drop(0.3) conv3x3 bn +")
    before = torch.random.get_rng_state()
    first = gradient_flow(architecture, batch=4, seed=1)
    assert gradient_flow(architecture, batch=4, seed=1) == first != gradient_flow(architecture, batch=4, seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    silent = gradient_flow(architecture, batch=4, zero_init_last_norm=True)
    assert all(block.shortcut_share == 1 for block in silent.blocks if block.block > 1)


def test_statistics_that_are_not_finite_are_none():
    """A network whose signal overflows gives None values instead of an error."""
    exploding = gradient_flow(network_of("scale(1000000) conv3x3 scale(1000000) conv3x3 scale(1000000) +"), batch=2)
    assert exploding.loss is None and exploding.blocks[-1].signal_var is None


def test_real_images_and_invalid_arguments():
    """Images of a data set can replace noise, and an invalid batch, seed or shape is reported."""
    architecture = network_of("conv3x3 bn relu +")
    data = load_data("digits")
    flow = gradient_flow(architecture, batch=8, data=data)
    assert flow.source == "digits" and flow == gradient_flow(architecture, batch=8, data="digits")
    for settings, message in (
        ({"batch": 1}, r"batch must be in 2..4096, found 1"),
        ({"seed": -1}, r"seed must be in 0..4294967295, found -1"),
        ({"batch": 201, "data": data}, "has only 200 training images"),
        ({"data": replace(data, classes=11)}, "the network takes 1x8x8"),
    ):
        with pytest.raises(TrainingError, match=message):
            gradient_flow(architecture, **settings)
