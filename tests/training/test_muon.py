"""Muon: its steps equal a plain computation of one matrix at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from explorer.data.dataset import load_data
from explorer.errors import TrainingError
from explorer.networks.build import build_network
from explorer.training.loop import train_network
from explorer.training.recipe import recipe
from explorer.training.sgd import SGD, Muon, orthogonalised
from tests.space.spaces import only
from tests.training.small_network import small_network

MUON = replace(recipe("quick"), muon=True, lr=0.1, weight_decay=0.01)


def singular_values(matrices):
    return torch.linalg.svdvals(matrices.double())


@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (64, 16), (1, 9), (9, 1)])
def test_singular_values_become_nearly_equal(shape):
    """All singular values of random matrices come near 1, the singular vectors stay, and scale has no influence."""
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalised(matrices)
    values = singular_values(found)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrices.double(), full_matrices=False)
    diagonal = u.mT @ found.double() @ v.mT
    assert torch.allclose(diagonal, torch.diag_embed(diagonal.diagonal(dim1=1, dim2=2)), atol=1e-4)
    assert torch.allclose(orthogonalised(1e-6 * matrices), found, atol=1e-4)


def test_a_gradient_of_zeros_gives_no_step():
    """Zeros stay zeros, as for a layer whose output has no influence."""
    assert torch.equal(orthogonalised(torch.zeros(1, 4, 9)), torch.zeros(1, 4, 9))


def one_matrix(weight, groups, gradients, settings, rates):
    """Return a convolution's weight after the given gradients, computed group by group."""
    parts = []
    for index, part in enumerate(weight.chunk(groups)):
        part, momentum = part.flatten(1).double(), torch.zeros(len(part), part[0].numel(), dtype=torch.float64)
        for gradient, lr in zip(gradients, rates, strict=True):
            g = gradient.chunk(groups)[index].flatten(1).double()
            momentum = settings.momentum * momentum + g
            direction = g + settings.momentum * momentum if settings.nesterov else momentum
            step = orthogonalised(direction[None].float())[0].double() * max(1.0, len(part) / part.shape[1]) ** 0.5
            part = (1 - lr * settings.weight_decay) * part - lr * step
        parts.append(part)
    return torch.cat(parts).view(weight.shape).float()


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(
    ("channels", "width", "kernel", "groups"), [(8, 8, 3, 1), (8, 16, 1, 1), (8, 8, 3, 2), (8, 8, 3, 8)]
)
def test_equals_a_plain_computation(channels, width, kernel, groups, nesterov):
    """Three steps of dense, pointwise, grouped and depthwise convolutions with changing rates."""
    settings, random = replace(MUON, nesterov=nesterov), torch.Generator().manual_seed(0)
    twins = [nn.Conv2d(channels, width, kernel, groups=groups) for _ in range(2)]  # one matrix stack of two weights
    net = nn.ModuleList(twins).to(memory_format=torch.channels_last)
    before = [conv.weight.detach().clone() for conv in twins]
    optimiser, gradients, rates = Muon(net, settings), [[], []], [0.1, 0.07, 0.02]
    for lr in rates:
        optimiser.zero_grad()
        for conv, kept in zip(twins, gradients, strict=True):
            kept.append(torch.randn(conv.weight.shape, generator=random))
            conv.weight.grad = kept[-1].clone(memory_format=torch.channels_last)
        optimiser.lr.fill_(lr)
        optimiser.step()
    for conv, start, kept in zip(twins, before, gradients, strict=True):
        assert torch.allclose(conv.weight, one_matrix(start, groups, kept, settings, rates), atol=1e-5)


def test_other_parameters_are_trained_by_sgd():
    """Norms, biases, learnt scales and linear layers have the steps of ``SGD``, and only weights of convolutions
    differ."""
    made = only(block="conv3x3 bn layerscale(init=0.1) se(4) prelu + relu")
    net, other = build_network(made), build_network(made)
    mine, theirs = Muon(net, MUON), SGD(other, MUON)
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8)
    for trained, optimiser in ((net, mine), (other, theirs)):
        optimiser.lr.fill_(0.1)
        cross_entropy(trained(images), labels).backward()
        optimiser.step()
    convolutions = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    pairs = zip(net.named_parameters(), other.parameters(), strict=True)
    assert {name for (name, a), b in pairs if not torch.equal(a, b)} == convolutions
    assert set(mine.momentum) == set(net.parameters())


def test_parameters_without_a_gradient_do_not_change():
    """A frozen weight, and one that the loss does not depend on, keep their values."""
    net = nn.ModuleList([nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(4, 2, 3)])
    net[1].requires_grad_(False)
    before = [p.detach().clone() for p in net.parameters()]
    optimiser = Muon(net, MUON)
    optimiser.lr.fill_(0.1)
    net[0](torch.randn(1, 2, 5, 5)).sum().backward()
    optimiser.step()
    changed = [not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)]
    assert changed == [True, True, False, False, False, False]
    optimiser.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_a_network_without_parameters_is_rejected():
    """The error is that of ``SGD``; a network of convolutions only is trained."""
    with pytest.raises(TrainingError, match="the network has no parameters to train"):
        Muon(nn.Flatten(), MUON)
    Muon(nn.Conv2d(1, 2, 3, bias=False), MUON).step()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_learns(precision):
    """A small network learns the digits in both precisions."""
    result = train_network(
        small_network(width=16),
        load_data("digits"),
        replace(MUON, batch_size=32),
        epochs=8,
        seed=0,
        precision=precision,
    )
    assert result.val_accuracy > 0.8
