"""Convolutions that oneDNN computes wrongly on a CPU are replaced by another kernel with the same result."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from explorer.training.convolutions import has_faulty_bfloat16_gradient, replace_faulty_convolutions

TRAINS_A_NARROW_PROJECTION = """
import torch
from torch import nn
from explorer.training.convolutions import replace_faulty_convolutions
torch.set_num_threads(1)
net = nn.Conv2d({channels}, 16, 1, stride={stride}, bias=False).to(memory_format=torch.channels_last)
with replace_faulty_convolutions(net):
    for _ in range(10):
        x = torch.randn(2, {channels}, 112, 112).to(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled={bfloat16}):
            y = net(x)
        y.sum().backward()
"""


class Strides(TorchFunctionMode):
    """Record the stride of every convolution."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.conv2d:
            self.seen.append(args[3] if len(args) > 3 else (kwargs or {}).get("stride", 1))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("bfloat16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_training_a_narrow_projection_does_not_crash(bfloat16):
    """A process that trains strided 1x1 convolutions of 3, 4, 8 and 12 channels in channels-last format exits with
    status 0."""
    code = "".join(
        TRAINS_A_NARROW_PROJECTION.format(channels=channels, stride=stride, bfloat16=bfloat16)
        for channels, stride in ((3, 2), (4, 2), (8, 2), (8, 4), (12, 2))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_narrow_projections_are_replaced():
    """Within the block only a strided 1x1 convolution with few channels runs with stride 1 on a subsampled map."""
    narrow, wide, large = nn.Conv2d(8, 4, 1, 2), nn.Conv2d(16, 4, 1, 2), nn.Conv2d(8, 4, 3, 2, 1)
    net = nn.ModuleList([narrow, wide, large])
    with Strides() as strides, replace_faulty_convolutions(net):
        narrow(torch.ones(1, 8, 4, 4))
        narrow(torch.ones(1, 8, 5, 5))
        wide(torch.ones(1, 16, 4, 4))
        large(torch.ones(1, 8, 4, 4))
    assert strides.seen == [1, (2, 2), (2, 2), (2, 2)]
    with Strides() as strides:
        narrow(torch.ones(1, 8, 4, 4))
    assert strides.seen == [(2, 2)]


def test_the_projection_is_the_same_function():
    """Output and gradients equal those of the original convolution in float64, and the parameter names stay."""
    net = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=True)).double()
    x = torch.randn(3, 8, 6, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def run():
        net.zero_grad()
        x.grad = None
        y = net(x)
        y.square().sum().backward()
        return y.detach().clone(), x.grad.clone(), *(p.grad.clone() for p in net.parameters())

    plain, names = run(), list(net.state_dict())
    with replace_faulty_convolutions(net):
        assert list(net.state_dict()) == names
        for expected, found in zip(plain, run(), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("conv", "side"),
    [
        (nn.Conv2d(24, 8, 3, padding=2, dilation=2), 32),
        (nn.Conv2d(16, 8, 3, padding=2, dilation=2, groups=2), 32),
        (nn.Conv2d(16, 8, 3, stride=3, padding=1), 2),
        (nn.Conv2d(16, 8, 7, stride=4, padding=3), 3),
    ],
    ids=str,
)
def test_weight_gradients_in_bfloat16_are_right(conv, side):
    """The weight gradient in bfloat16 equals that in float32 up to rounding."""
    assert has_faulty_bfloat16_gradient(conv, side, side)
    conv = conv.to(memory_format=torch.channels_last)
    x = torch.randn(4, conv.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    x = x.to(memory_format=torch.channels_last)

    def gradient(bfloat16: bool):
        conv.zero_grad()
        with replace_faulty_convolutions(conv), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            y = conv(x)
        assert y.dtype is (torch.bfloat16 if bfloat16 else torch.float32)
        y.float().square().mean().backward()
        return conv.weight.grad.clone()

    expected = gradient(False)
    torch.testing.assert_close(gradient(True), expected, rtol=0.1, atol=0.03 * expected.abs().max().item())


def test_correct_convolutions_stay_in_bfloat16():
    """A usual 3x3 convolution, a strided one and a dilated one of 16 channels are not replaced."""
    for conv, side in (
        (nn.Conv2d(8, 8, 3, padding=1), 4),
        (nn.Conv2d(8, 8, 3, 2, 1), 4),
        (nn.Conv2d(16, 8, 3, padding=2, dilation=2), 8),
    ):
        assert not has_faulty_bfloat16_gradient(conv, side, side)
