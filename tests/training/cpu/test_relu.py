"""The bitwise ReLU equals ReLU: the same numbers, gradients and trainings."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explorer.data.dataset import load_data
from explorer.errors import TrainingError
from explorer.training.cpu import layers
from explorer.training.cpu.relu import bitwise_relu, relu
from explorer.training.loop import train_network
from explorer.training.recipe import recipe
from tests.training.small_network import small_network


def test_every_number_equals_torchs_relu():
    """All bfloat16 numbers and infinities give torch's ReLU and gradient, and a positive NaN stays NaN."""
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = x[~x.isnan()]
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    gradient = torch.linspace(-3, 3, len(x)).bfloat16()
    relu(mine).backward(gradient)
    F.relu(theirs).backward(gradient)
    assert torch.equal(relu(x), F.relu(x))
    assert torch.equal(mine.grad, theirs.grad)
    assert relu(torch.tensor(float("nan")).abs().bfloat16()).isnan()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_memory_format(layout):
    """The memory format is kept, and an expanded gradient, as from a mean, is accepted."""
    x = torch.randn(2, 3, 4, 5).bfloat16().to(memory_format=layout).requires_grad_()
    y = relu(x)
    assert y.stride() == x.stride()
    y.sum().backward()
    assert torch.equal(x.grad, (x > 0).bfloat16())


def test_other_dtypes_and_after_the_block():
    """float32 uses torch's ReLU, and after the block the module has its own forward and its state unchanged."""
    net = nn.Sequential(nn.ReLU(), nn.ReLU6())
    x = torch.tensor([-1.0, 9.0])
    with bitwise_relu(net):
        assert net[0].forward is relu and net[1].forward is not relu
        assert net(x).tolist() == [0.0, 6.0]
    assert "forward" not in vars(net[0])


def test_a_training_is_bit_identical(monkeypatch):
    """Two epochs in bfloat16 give the same weights as torch's own ReLU."""
    digits, nets = load_data("digits"), [small_network(), small_network()]
    for net in nets:
        train_network(net, digits, recipe("quick_small"), epochs=2, seed=0, precision="bfloat16")
        monkeypatch.setattr(layers, "bitwise_relu", lambda net: nullcontext())
    assert all(map(torch.equal, nets[0].state_dict().values(), nets[1].state_dict().values()))


def test_nan_weights_end_the_training():
    """A NaN that ReLU hides from the loss is found in the weights at the end of the epoch."""
    net = small_network()
    net[1].branch[2].weight.data.fill_(float("nan"))

    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x).nan_to_num()

    with pytest.raises(TrainingError, match="epoch 1: some weights are not finite"):
        train_network(Hiding(), load_data("digits"), recipe("quick_small"), epochs=1, seed=0, precision="float32")
