"""The optimiser of trainings."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from explorer.data.dataset import load_data
from explorer.networks.build import build_network
from explorer.training.loop import train_network
from explorer.training.recipe import recipe
from explorer.training.sgd import SGD
from tests.space.spaces import only
from tests.training.small_network import small_network


def by_torch(net, settings, lr):
    """The same optimiser as a class of torch."""
    parameters = list(net.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {
            "params": [p for p in parameters if p.ndim <= 1],
            "weight_decay": settings.weight_decay if settings.decay_vectors else 0.0,
        },
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)


@pytest.mark.parametrize(
    "settings",
    [recipe("quick"), recipe("he2016"), replace(recipe("quick"), momentum=0.0, nesterov=False)],
    ids=["Nesterov", "decaying vectors", "no momentum"],
)
def test_equals_torchs_optimiser(settings):
    """Four steps with different learning rates give the weights of ``torch.optim.SGD``, bit for bit."""
    net, other = small_network(), small_network()
    mine = SGD(net, settings)
    theirs = by_torch(other, settings, lr=torch.zeros(()))
    for step in range(4):
        images, labels = torch.randn(16, 1, 8, 8), torch.randint(10, (16,))
        for trained, optimiser, lr in ((net, mine, mine.lr), (other, theirs, theirs.param_groups[0]["lr"])):
            lr.fill_(0.1 / (1 + step))
            optimiser.zero_grad()
            cross_entropy(trained(images), labels).backward()
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_training_does_not_import_the_compiler(monkeypatch):
    """A training succeeds where torch's compiler, which takes over a second to import, cannot be imported."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    with pytest.raises(ImportError):
        by_torch(small_network(), recipe("quick"), lr=0.1).step()
    data = load_data("digits", subset=60)
    assert len(train_network(small_network(), data, recipe("quick_small"), epochs=1, seed=0).curve) == 1


def test_learnt_scales_of_channels_do_not_decay():
    """With ``decay_vectors=False`` only weights of convolutions and linear layers decay."""
    made = only(block="conv3x3 bn layerscale(init=0.1) skipinit(init=0.5) prelu + relu")
    net = build_network(made)
    groups = SGD(net, replace(recipe("quick"), weight_decay=0.1, decay_vectors=False)).groups
    decays = {id(p): weight_decay > 0 for weight_decay, parameters in groups for p in parameters}
    found = {name for name, p in net.named_parameters() if decays[id(p)]}
    layers = [name for name, module in net.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert found == {f"{name}.weight" for name in layers}
