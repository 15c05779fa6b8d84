"""Averaged weights follow the formula, and are validated and kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from explorer.data.dataset import load_data
from explorer.training.averaging import WeightAverage
from explorer.training.loop import evaluate_network, train_network
from explorer.training.recipe import recipe
from tests.training.small_network import small_network


def test_the_average_follows_the_formula():
    """The average of the weights 1, 2, 3, ... has the decay min(0.9, (1 + t) / (10 + t))."""
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(net.weight)
    average, expected = WeightAverage(net, 0.9), 0.0
    for t in range(200):
        torch.nn.init.constant_(net.weight, t + 1.0)
        average.update()
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * (t + 1)
    with average.applied():
        assert net.weight.item() == pytest.approx(expected, rel=1e-5)
    assert net.weight.item() == 200.0
    average.copy_to_network()
    assert net.weight.item() == pytest.approx(expected, rel=1e-5)


def test_the_average_is_validated_and_kept():
    """The last validation of the curve is that of the averaged network, which differs from the last step's network."""
    digits = load_data("digits")
    settings = replace(recipe("quick_small"), ema=0.95)
    nets = [small_network(), small_network()]
    averaged, plain = (
        train_network(net, digits, made, epochs=3, seed=0, precision="float32")
        for net, made in zip(nets, (settings, replace(settings, ema=0.0)), strict=True)
    )
    found = evaluate_network(nets[0], digits, "validation")
    assert (found.accuracy, found.loss) == (averaged.val_accuracy, averaged.val_loss)
    assert [epoch.train_loss for epoch in averaged.curve] == [epoch.train_loss for epoch in plain.curve]
    assert not torch.equal(next(nets[0].parameters()), next(nets[1].parameters()))
