"""Scaling, gating of the shortcut and channel shuffling: these keep the shape."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape, nearest_divisors, zero_or_any
from explorer.networks.ops.registry import registry


def constant_scale() -> type:
    from torch import Tensor, nn

    class Scale(nn.Module):
        """A constant factor (He et al. 2016, arXiv:1603.05027, section 3.1)."""

        def __init__(self, factor: float):
            super().__init__()
            self.factor = factor

        def forward(self, x: Tensor) -> Tensor:
            return x * self.factor

    return Scale


@registry.add
@dataclass(frozen=True, slots=True)
class Scale(Op):
    """A constant factor (He et al. 2016, arXiv:1603.05027, section 3.1)."""

    spelling = "scale"
    role = "scale"
    arguments = (Argument("x", "factor", "number", "the factor", -1e6, 1e6),)

    factor: float

    def canonical(self, x: TensorShape) -> Op | None:
        return None if self.factor == 1 else self

    def then(self, op: Op, x: TensorShape) -> tuple[Op, ...] | None:
        return (Scale(self.factor * op.factor),) if isinstance(op, Scale) else None

    def values(self, low: float, high: float) -> tuple[float, float]:
        if self.factor == 0:
            return 0.0, 0.0
        ends = low * self.factor, high * self.factor
        return min(ends), max(ends)

    def module(self, x: TensorShape) -> Call:
        return Call(constant_scale, (self.factor,))


def layer_scale() -> type:
    import torch
    from torch import Tensor, nn

    class LayerScale(nn.Module):
        """A trained factor a channel (Touvron et al. 2021, arXiv:2103.17239)."""

        def __init__(self, channels: int, init: float):
            super().__init__()
            self.gamma = nn.Parameter(torch.full((channels, 1, 1), init))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gamma

    return LayerScale


@registry.add
@dataclass(frozen=True, slots=True)
class LayerScale(Op):
    """One trained factor per channel, initially small (Touvron et al. 2021, arXiv:2103.17239)."""

    spelling = "layerscale"
    role = "scale"
    arguments = (Argument("init", "init", "number", "the factor before training", 0.0, 1e3),)

    cost_rule = {"params": "C"}

    init: float = 1e-6

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(layer_scale, (x.channels, self.init))


def trained_scale() -> type:
    import torch
    from torch import Tensor, nn

    class TrainedScale(nn.Module):
        """One trained factor for the whole map (SkipInit, ReZero)."""

        def __init__(self, init: float):
            super().__init__()
            self.gain = nn.Parameter(torch.full((), init))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gain

    return TrainedScale


@registry.add
@dataclass(frozen=True, slots=True)
class SkipInit(Op):
    """One trained factor for the whole map, initially 0: SkipInit (arXiv:2002.10444) and ReZero (arXiv:2003.04887)."""

    spelling = "skipinit"
    role = "scale"
    arguments = (Argument("init", "init", "number", "the factor before training", -1e3, 1e3),)

    cost_rule = {"params": "1"}

    init: float = 0.0

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=1)

    def module(self, x: TensorShape) -> Call:
        return Call(trained_scale, (self.init,))


def trained_affine() -> type:
    import torch
    from torch import Tensor, nn

    class Affine(nn.Module):
        """One trained factor and one trained summand for the whole map (PP-HGNetV2)."""

        def __init__(self, scale: float = 1.0, bias: float = 0.0):
            super().__init__()
            self.scale = nn.Parameter(torch.full((1,), scale))
            self.bias = nn.Parameter(torch.full((1,), bias))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale + self.bias

    return Affine


@registry.add
@dataclass(frozen=True, slots=True)
class Affine(Op):
    """One trained factor and one trained summand for the whole map, the learnable affine block of PP-HGNetV2."""

    spelling = "affine"
    role = "scale"
    arguments = (
        Argument("scale", "scale", "number", "the factor before training", -1e3, 1e3),
        Argument("bias", "bias", "number", "the summand before training", -1e3, 1e3),
    )
    positional = 0
    cost_rule = {"params": "2"}

    scale: float = 1.0
    bias: float = 0.0

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=2)

    def module(self, x: TensorShape) -> Call:
        return Call(trained_affine, (self.scale, self.bias))


def channel_affine() -> type:
    import torch
    from torch import Tensor, nn

    class ChannelAffine(nn.Module):
        """One trained factor and one trained summand a channel (ResMLP)."""

        def __init__(self, channels: int):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(channels, 1, 1))
            self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale + self.bias

    return ChannelAffine


@registry.add
@dataclass(frozen=True, slots=True)
class ChannelAffine(Op):
    """One trained factor and one trained summand per channel: Aff of ResMLP (Touvron et al. 2021, arXiv:2105.03404)."""

    spelling = "channel_affine"
    role = "scale"
    cost_rule = {"params": "2*C"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=2 * x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(channel_affine, (x.channels,))


def shortcut_gate() -> type:
    from torch import Tensor, nn

    class ShortcutGate(nn.Module):
        """(1 - g(x)) * x, g = sigmoid(conv1x1(x)) (He et al. 2016, arXiv:1603.05027, section 3.1)."""

        def __init__(self, channels: int, bias: float):
            super().__init__()
            self.conv = nn.Conv2d(channels, channels, 1)
            nn.init.constant_(self.conv.bias, bias)

        def forward(self, x: Tensor) -> Tensor:
            return x * (1 - self.conv(x).sigmoid())

    return ShortcutGate


@registry.add
@dataclass(frozen=True, slots=True)
class ShortcutGate(Op):
    """Shortcut-only gating: (1 - g(x)) * x, g = sigmoid(conv1x1(x) + b) (He et al. 2016, section 3.1)."""

    spelling = "shortcut_gate"
    role = "scale"
    arguments = (Argument("b", "bias", "number", "the gate's bias before training", -100, 100),)

    cost_rule = {"params": "C*C + C", "macs": "C*C*H*W", "activations": "C*H*W"}

    bias: float = 0.0

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        return gate_cost(x)

    def module(self, x: TensorShape) -> Call:
        return Call(shortcut_gate, (x.channels, self.bias))


def gate_cost(x: TensorShape) -> OpCost:
    """Return the cost of a 1x1 convolution from C to C channels with bias, which both gates of He et al. 2016 use."""
    weights = x.channels * x.channels
    return OpCost(weights + x.channels, weights * x.positions, x.elements)


@registry.add
@dataclass(frozen=True, slots=True)
class ChannelShuffle(Op):
    """Interleave the channels of g groups (Zhang et al. 2018, arXiv:1707.01083)."""

    spelling = "shuffle"
    role = "scale"
    arguments = (Argument("g", "groups", "whole", "groups; must divide the channels"),)

    groups: int

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.groups:
            fitting = nearest_divisors(x.channels, self.groups)
            raise ArchitectureError(
                f"{self.groups} groups of {self} do not divide the {x.channels} input channels{fitting}"
            )
        return x

    def canonical(self, x: TensorShape) -> Op | None:
        # With one group, or one channel per group, no channel moves.
        return None if self.groups in (1, x.channels) else self

    def rearranges(self, x: TensorShape) -> bool:
        return True

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call("ChannelShuffle", (self.groups,))
