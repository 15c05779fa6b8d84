"""Option A with gradients in channels last computes the same, bit by bit."""

from __future__ import annotations

import pytest
import torch

from explorer.networks.build import build_network
from explorer.space.search_space import load_space
from explorer.training.cpu.subsampling import subsampling_in_channels_last

SHORTCUTS = ("stages.1.0.shortcut.0", "stages.2.0.shortcut.0")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("side", [8, 7])
def test_equals_a_slice(dtype, side):
    """Output and gradient equal those of the layer, for even and odd sides; the gradient is in channels last."""
    network = build_network(load_space("published/cifar_resnet.yaml").architecture(0))
    layers = [network.get_submodule(name) for name in SHORTCUTS]
    for layer, channels in zip(layers, (16, 32), strict=True):
        maps = torch.randn(3, channels, side, side).to(dtype, memory_format=torch.channels_last)
        plain, mine = maps.clone().requires_grad_(), maps.clone().requires_grad_()
        expected = layer(plain)
        with subsampling_in_channels_last(network):
            assert "forward" in vars(layer)
            y = layer(mine)
        gradient = torch.randn_like(y)
        expected.backward(gradient)
        y.backward(gradient)
        assert torch.equal(y, expected) and torch.equal(mine.grad, plain.grad)
        assert mine.grad.is_contiguous(memory_format=torch.channels_last)
    assert all("forward" not in vars(layer) for layer in layers)
