"""Published networks for signals, as networks of 1xK kernels, equal ones of ``nn.Conv1d``."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import explorer


class Block(nn.Module):
    """A block of Ribeiro et al. 2020: returns the input of the next branch and the input of the next shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, 17, padding=8, bias=False)
        self.bn1 = nn.BatchNorm1d(outputs)
        self.conv2 = nn.Conv1d(outputs, outputs, 17, stride=4, padding=7, bias=False)
        self.skip = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm1d(outputs)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.skip(nn.functional.max_pool1d(y, 4)) + self.conv2(self.bn1(self.conv1(x)).relu())
        return self.bn2(y).relu(), y


class Ecg(nn.Module):
    """The network of Ribeiro et al. 2020, Fig. 1, without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(12, 64, 17, padding=8, bias=False)
        self.bn = nn.BatchNorm1d(64)
        widths = (64, 128, 196, 256, 320)
        self.blocks = nn.ModuleList(Block(*pair) for pair in pairwise(widths))
        self.fc = nn.Linear(320 * 16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = y = self.bn(self.conv(x)).relu()
        for block in self.blocks:
            x, y = block(x, y)
        logits: torch.Tensor = self.fc(x.flatten(1))
        return logits


def test_an_ecg_network_equals_one_of_conv1d() -> None:
    """Parameters, MACs and, with the same weights, logits are those of the network written with ``nn.Conv1d``."""
    torch.manual_seed(0)
    theirs = Ecg().eval()
    weights = theirs.state_dict()
    for value in weights.values():
        if value.dim() == 1 and value.is_floating_point():
            value.uniform_(0.5, 1.5)
    architecture = explorer.load_space("published/ribeiro_ecg.yaml").architecture(0)
    known = {key: value[:, :, None] if value.dim() == 3 else value for key, value in weights.items()}
    ours = explorer.load_weights(architecture, known, by_order=True)
    x = torch.randn(1, 12, 4096)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = theirs(x)
        macs = counter.get_total_flops() // 2
        assert logits.std() > 0 and torch.allclose(ours(x[:, :, None]), logits, rtol=1e-4, atol=1e-4)
    cost = explorer.cost(architecture)
    assert (cost.params, cost.macs) == (sum(p.numel() for p in theirs.parameters()), macs)
