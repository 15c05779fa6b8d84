"""Parts of published networks equal timm's: padding, rounding, rectangular kernels and rearranged pixels."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.costs.reference import check_cost
from explorer.space.search_space import parse_space

MBCONV = """
stem: conv3x3(32, s=2, pad=same) bn silu
stages:
  - {blocks: 1, width: 16, block: "dwconv3x3 bn silu se(r=4, act=silu) conv1x1 bn +"}
  - {blocks: 2, width: 24, stride: 2, block: "conv1x1(6*in) bn silu dwconv3x3(s=s, pad=same) tail"}
  - {blocks: 2, width: 40, stride: 2, block: "conv1x1(6*in) bn silu dwconv5x5(s=s, pad=same) tail"}
block: conv3x3 +
shortcut: {changed: none}
grammar: {tail: "bn silu se(r=24, act=silu) conv1x1 bn +"}
"""
SENET = """
stem: conv3x3(64, s=2) bn relu conv3x3(64) bn relu conv3x3(128) bn relu
stages: {blocks: 1, width: 128, stride: 2}
block: maxpool3x3(s=s, pad=0, ceil=1) +
"""
XCEPTION = """
stem: conv3x3(32, s=2, pad=0) bn relu conv3x3(64, pad=0) bn relu
stages: {blocks: 1, width: 128, stride: 2}
block: dwconv3x3(s=1) conv1x1(s=1) bn relu dwconv3x3(s=1) conv1x1(s=1) bn maxpool3x3(s=s) +
shortcut: {changed: conv1x1 bn}
"""
INCEPTION = """
stem: conv1x1(128) bn relu conv1x7(128) bn relu conv7x1(192) bn relu
stages: {blocks: 1, width: 192}
block: none +
"""
TRESNET = """
stem: space_to_depth(4) conv3x3(64) bn leaky_relu(slope=0.001)
stages: {blocks: 1, width: 64}
block: none +
"""


def network(layers: str, image: tuple[int, ...]) -> tuple[explorer.Architecture, nn.Module]:
    """Return a network of these layers and the part of it before the head, in evaluation mode, with random weights."""
    plain = "" if "shortcut:" in layers else "shortcut: {same: none, changed: none}\n"
    text = f"input: {'x'.join(map(str, image))}\nclasses: 4\n{layers}{plain}head: gap fc\n"
    architecture = parse_space(text).architecture(0)
    assert not check_cost(architecture).differences
    made = explorer.build(architecture, seed=1)
    return architecture, nn.Sequential(made.stem, *made.stages).eval()


def copied(theirs: nn.Module, ours: nn.Module) -> nn.Module:
    """Return timm's module with our weights, in order, random averages in both, and torch's epsilon in all norms."""
    for name, value in ours.state_dict().items():
        if "running" in name or name.endswith("bias"):
            value.uniform_(0.5, 1.5)
    known = theirs.state_dict()
    keys, values = sorted(known, key=lambda key: ".skip" in key), list(ours.state_dict().values())
    assert [v.shape for v in values] == [known[key].shape for key in keys]
    theirs.load_state_dict(dict(zip(keys, values)))
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    return theirs.eval()


def macs(module: nn.Module, image: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        module(image)
    return counter.get_total_flops() // 2


def timm_parts(name: str) -> Iterable[nn.Module]:
    """Return the modules of timm that equal the layers above."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    if name == "tf_efficientnet":
        model = timm.create_model("tf_efficientnet_b0")
        return [model.conv_stem, model.bn1, *model.blocks[:3]]
    if name == "senet":
        return [*(model := timm.create_model("legacy_senet154")).layer0, model.pool0]
    if name == "xception":
        model = timm.create_model("legacy_xception")
        return [model.conv1, model.bn1, model.act1, model.conv2, model.bn2, model.act2, model.block1]
    if name == "inception":
        from timm.models.inception_v3 import InceptionC

        block = InceptionC(768, 128)
        return [block.branch7x7_1, block.branch7x7_2, block.branch7x7_3]
    from timm.layers import ConvNormAct, SpaceToDepth

    return [SpaceToDepth(4), ConvNormAct(48, 64, 3, act_layer=lambda inplace: nn.LeakyReLU(0.001, inplace))]


@pytest.mark.parametrize(
    ("name", "layers", "image"),
    [
        ("tf_efficientnet", MBCONV, (3, 64, 64)),
        ("tf_efficientnet", MBCONV, (3, 71, 58)),
        ("senet", SENET, (3, 64, 64)),
        ("senet", SENET, (3, 61, 58)),
        ("xception", XCEPTION, (3, 71, 64)),
        ("inception", INCEPTION, (768, 17, 17)),
        ("tresnet", TRESNET, (3, 32, 48)),
    ],
)
def test_parts_equal_timm(name, layers, image):
    """Shapes, parameters, MACs and, with the same weights, outputs equal timm's."""
    theirs = nn.Sequential(*timm_parts(name))
    architecture, ours = network(layers, image)
    theirs = copied(theirs, ours)
    if name == "tresnet":  # timm orders the channels of a pixel as neighbours
        weight = theirs[1].conv.weight.data
        weight.copy_(weight.unflatten(1, (3, 16)).transpose(1, 2).flatten(1, 2).clone())
    x = torch.randn(2, *image, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs(x), ours(x)
        assert tuple(found.shape[1:]) == architecture.stage_shapes()[-1]
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    fc = architecture.output.channels * (architecture.stage_shapes()[-1].channels + 1)
    cost = explorer.cost(architecture)
    assert cost.params - fc == sum(p.numel() for p in theirs.parameters())
    assert cost.macs - (fc - architecture.output.channels) == macs(theirs, x[:1])


def test_same_padding_at_other_sizes_equals_timm():
    """A network with pad=same computes TensorFlow's padding at every input size, not only at that of its space."""
    pytest.importorskip("timm", reason="timm is not installed")
    from timm.layers.conv2d_same import Conv2dSame
    from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame

    text = "stem: {}\nstages: {{blocks: 1, width: 8}}\nblock: none +\n"
    for side in (1, 2, 7, 8, 9, 30):
        x = torch.randn(2, 8, side, side + 3)
        ours = network(text.format("conv5x5(8, s=3, pad=same)"), (8, 16, 16))[1]
        theirs = Conv2dSame(8, 8, 5, stride=3, bias=False)
        theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values())))
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
        ours = network(text.format("conv1x1(8) maxpool3x3(s=2, pad=same)"), (8, 16, 16))[1][0][1:]
        assert torch.equal(ours(x), MaxPool2dSame(3, 2)(x))
        ours = network(text.format("conv1x1(8) avgpool3x3(s=2, pad=same, count_pad=1)"), (8, 16, 16))[1][0][1:]
        assert torch.allclose(ours(x), AvgPool2dSame(3, 2)(x), atol=1e-6)


class ResNet1d(nn.Module):
    """A residual network of ``nn.Conv1d`` for signals, with the weights in the order of the space's network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(nn.Conv1d(12, 16, 15, 2, 7, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(3, 2, 1))
        )
        self.blocks = nn.ModuleList(self._block(i, o, s) for i, o, s in ((16, 16, 1), (16, 32, 2), (32, 32, 1)))
        self.fc = nn.Linear(32, 4)

    def _block(self, inputs: int, outputs: int, stride: int) -> nn.Module:
        block = nn.Module()
        block.branch = nn.Sequential(
            *(nn.Conv1d(inputs, outputs, 9, stride, 4, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()),
            *(nn.Conv1d(outputs, outputs, 9, 1, 4, bias=False), nn.BatchNorm1d(outputs)),
        )
        block.shortcut = nn.Sequential()
        if stride > 1:
            block.shortcut = nn.Sequential(nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm1d(outputs))
        return block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = torch.relu(block.branch(x) + block.shortcut(x))
        logits: torch.Tensor = self.fc(x.mean(2))
        return logits


def test_signals_equal_a_network_of_conv1d():
    """A network of 1xK kernels on 12x1x1000 has the parameters, MACs and logits of one of ``nn.Conv1d``."""
    text = """
    stem: conv1x15(16, s=2) bn relu maxpool1x3(s=2)
    stages: {blocks: [1, 2], width: [16, 32], stride: [1, 2]}
    block: conv1x9 bn relu conv1x9 bn + relu
    shortcut: {changed: conv1x1 bn}
    head: gap fc
    """
    architecture = parse_space("input: 12x1x1000\nclasses: 4\n" + text.replace("\n    ", "\n")).architecture(0)
    assert not check_cost(architecture).differences
    ours, theirs = explorer.build(architecture, seed=2).eval(), ResNet1d()
    values = [v.squeeze(2) if v.dim() == 4 else v for v in ours.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    x = torch.randn(2, 12, 1000)
    with torch.no_grad():
        assert torch.allclose(ours(x[:, :, None]), theirs.eval()(x), rtol=1e-4, atol=1e-5)
    cost = explorer.cost(architecture)
    assert cost.params == sum(p.numel() for p in theirs.parameters())
    assert cost.macs == macs(theirs, x[:1])
