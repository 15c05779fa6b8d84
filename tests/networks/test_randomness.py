"""Weights and dropout masks come from separate generators."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from explorer.networks.build import build_network
from explorer.networks.ops.regularisation import drop_path
from explorer.networks.randomness import DrawsFrom, dropping_from
from explorer.space.search_space import load_space

DRAWS = {
    "conv": lambda: nn.Conv2d(3, 8, 3).weight,
    "linear's bias": lambda: nn.Linear(4, 5).bias,
    "randn": lambda: torch.randn(5, 7),
    "rand": lambda: torch.rand(3, 1, 1, 1),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(9)),
    "dropout": lambda: nn.Dropout(0.3)(torch.ones(4, 8, 5, 5)),
    "dropout in bfloat16": lambda: nn.Dropout(0.3)(torch.ones(64, dtype=torch.bfloat16)),
    "stochastic depth": lambda: drop_path()(0.5)(torch.ones(16, 2, 3, 3)),
}


def weights(net: nn.Module) -> list[torch.Tensor]:
    return list(net.state_dict().values())


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def architecture():
    space = load_space("preact_variants.yaml")
    return space.architecture(space.sample(1)[0])


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_numbers_equal_those_of_the_global_generator(draw):
    """A generator seeded with 5 gives the numbers of ``torch.manual_seed(5)`` and leaves the global state unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = draw()
        before = torch.random.get_rng_state()
        with DrawsFrom(torch.Generator().manual_seed(5)):
            found = draw()
        assert torch.equal(found, expected)
        assert torch.equal(torch.random.get_rng_state(), before)


def test_concurrent_threads_build_the_same_networks(architecture):
    """Eight threads that build networks concurrently get each seed's weights, and no random state changes."""
    expected = [weights(build_network(architecture, seed)) for seed in range(3)]
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    right: list[bool] = []

    def build() -> None:
        right.extend(equal(weights(build_network(architecture, seed)), expected[seed]) for seed in range(3))

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 24
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert random.getstate() == states[1] and (np.random.get_state()[1] == states[2]).all()


def test_the_callers_defaults_have_no_effect(architecture):
    """Another default dtype or device, no_grad and inference_mode give the same trainable float32 weights."""
    expected = weights(build_network(architecture))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), torch.inference_mode():
            built = build_network(architecture)
    finally:
        torch.set_default_dtype(torch.float32)
    assert equal(weights(built), expected)
    assert all(parameter.requires_grad and not parameter.is_inference() for parameter in built.parameters())


def test_dropout_uses_its_generator_within_the_block():
    """A seed gives the same mask in any global state, and after the block the global generator is used again."""
    net = nn.Sequential(nn.Dropout(0.5))
    x = torch.ones(64)

    def drawn():
        with dropping_from(net, torch.Generator().manual_seed(3)):
            return net(x)

    first = drawn()
    torch.rand(1)
    assert torch.equal(drawn(), first)
    assert "forward" not in vars(net[0])
