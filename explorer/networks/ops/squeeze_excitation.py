"""Squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507) and efficient channel attention (ECA)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.activation import Hardsigmoid, ReLU, Sigmoid
from explorer.networks.ops.base import MAX_CHANNELS, Argument, Call, Context, Op, OpCost, TensorShape
from explorer.networks.ops.norm import BatchNorm
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


def nearest_multiple(value: Fraction | float, multiple: int) -> int:
    """Return ``value`` rounded to the nearest multiple (halves up), at least ``multiple``."""
    return max(multiple, math.floor(Fraction(value) / multiple + Fraction(1, 2)) * multiple)


def squeeze_excitation() -> type:
    from torch import Tensor, nn

    class SqueezeExcitation(nn.Module):
        """Gate each channel by its squeezed neighbours (Hu et al. 2018, arXiv:1709.01507)."""

        def __init__(
            self, channels: int, squeeze: int, act: nn.Module, gate: nn.Module, bias: bool = True
        ):  # fmt: skip
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.reduce = nn.Conv2d(channels, squeeze, 1, bias=bias)
            self.act = act
            self.expand = nn.Conv2d(squeeze, channels, 1, bias=bias)
            self.gate = gate

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))

    return SqueezeExcitation


@registry.add
@dataclass(frozen=True, slots=True)
class SqueezeExcitation(Op):
    """Global average, 1x1 conv to ``squeeze`` channels, act, 1x1 conv back, gate, product.

    The SE ratio divides the width of *the tensor being gated*: the squeeze has C/r channels, rounded down, at least 1.
    A ratio below 1 without variables is the share: ``se(1/4)`` is ``se(4)``, as ``rd_ratio`` in timm. With ``round=m``
    the squeeze is rounded to the nearest multiple of m, at least m; ``least=0.9`` adds one multiple where the result is
    below nine tenths of C/r (the rule of MobileNetV3). ``width`` sets the number of channels directly. ``norm=bn`` adds
    a batch norm after the first 1x1 conv, with 2 S parameters (ReXNet, Han et al. 2020, arXiv:2007.00992).
    """

    spelling = "se"
    role = "attention"
    arguments = (
        Argument("r", "ratio", "ratio", "C / r channels in the squeeze; a constant below 1 is the share", 1e-3, 65_536),
        Argument("round", "multiple", "whole", "round the squeeze to the nearest multiple of this"),
        Argument("least", "least", "number", "with round: at least this share of C / r", 0.0, 1.0),
        Argument("width", "squeeze", "whole", "the squeeze's channels, instead of r"),
        Argument("act", "act", "activation", "after the first 1x1 conv"),
        Argument("gate", "gate", "activation", "after the second 1x1 conv"),
        Argument("bias", "bias", "whole", "0: both 1x1 convs without biases", 0, 1),
        Argument("norm", "norm", "word", "bn: a batch norm before `act`", words=("none", "bn")),
    )

    cost_rule = {"params": "2*C*S + bias*(C + S)", "macs": "2*C*S", "activations": "C + S"}

    squeeze: int
    act: Op = ReLU()
    gate: Op = Sigmoid()
    bias: int = 1
    norm: str = "none"

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> SqueezeExcitation:
        given = dict(given)
        ratio, multiple, least = given.pop("ratio", Fraction(16)), given.pop("multiple", None), given.pop("least", 0)
        if "squeeze" not in given:
            exact = context.shape.channels / Fraction(ratio)
            squeeze = nearest_multiple(exact, multiple) if multiple else max(1, math.floor(exact))
            given["squeeze"] = squeeze + multiple if multiple and squeeze < least * exact else squeeze
            if given["squeeze"] > MAX_CHANNELS:
                raise ArchitectureError(
                    f"the squeeze of se has {given['squeeze']:,} channels; a layer has at most {MAX_CHANNELS:,}"
                )
        return cls(**given)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return gated_values(self.gate, low, high)

    def cost(self, x: TensorShape) -> OpCost:
        weights = 2 * x.channels * self.squeeze
        outputs = self.squeeze + x.channels
        one = TensorShape(self.squeeze, 1, 1)
        extra = self.act.cost(one).params + self.gate.cost(TensorShape(x.channels, 1, 1)).params
        extra += BatchNorm().cost(one).params if self.norm == "bn" else 0
        return OpCost(weights + self.bias * outputs + extra, weights, outputs)

    def needs_several_images(self, x: TensorShape) -> bool:
        return self.norm == "bn"

    def module(self, x: TensorShape) -> Call:
        one = TensorShape(self.squeeze, 1, 1)
        gate = self.gate.module(TensorShape(x.channels, 1, 1))
        options: dict[str, Any] = {} if self.bias else {"bias": False}
        act = self.act.module(one)
        if self.norm == "bn":
            act = Call("Sequential", (BatchNorm().module(one), act))
        return Call(squeeze_excitation, (x.channels, self.squeeze, act, gate), options)


def effective_squeeze_excitation() -> type:
    from torch import Tensor, nn

    class EffectiveSqueezeExcitation(nn.Module):
        """Gate each channel by one 1x1 conv of the global average (arXiv:1911.06667)."""

        def __init__(self, channels: int, gate: nn.Module):
            super().__init__()
            self.conv = nn.Conv2d(channels, channels, 1)
            self.gate = gate

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gate(self.conv(x.mean((2, 3), keepdim=True)))

    return EffectiveSqueezeExcitation


def gated_values(gate: Op, low: float, high: float) -> tuple[float, float]:
    """Return the bounds of inputs in low..high that are multiplied by outputs of ``gate``."""
    if low == high == 0:
        return 0.0, 0.0
    least, most = gate.values(-math.inf, math.inf)
    if (least, most) == (0.0, 1.0):
        return min(low, 0.0), max(high, 0.0)
    return (0.0 if low >= 0 and least >= 0 else -math.inf), math.inf


@registry.add
@dataclass(frozen=True, slots=True)
class EffectiveSqueezeExcitation(Op):
    """Effective squeeze-and-excitation of VoVNetV2: one 1x1 conv with bias (Lee and Park 2020, arXiv:1911.06667)."""

    spelling = "ese"
    role = "attention"
    arguments = (Argument("gate", "gate", "activation", "after the 1x1 conv"),)
    positional = 0
    cost_rule = {"params": "C*C + C", "macs": "C*C", "activations": "C"}

    gate: Op = Hardsigmoid()

    def values(self, low: float, high: float) -> tuple[float, float]:
        return gated_values(self.gate, low, high)

    def cost(self, x: TensorShape) -> OpCost:
        weights = x.channels * x.channels
        gate = self.gate.cost(TensorShape(x.channels, 1, 1)).params
        return OpCost(weights + x.channels + gate, weights, x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(effective_squeeze_excitation, (x.channels, self.gate.module(TensorShape(x.channels, 1, 1))))


def efficient_channel_attention() -> type:
    from torch import Tensor, nn

    class EfficientChannelAttention(nn.Module):
        """Gate channels by a 1-D convolution across them (Wang et al. 2020, arXiv:1910.03151)."""

        def __init__(self, kernel: int):
            super().__init__()
            self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            pooled = x.mean((2, 3)).unsqueeze(1)
            return x * self.conv(pooled).sigmoid().view(x.shape[0], -1, 1, 1)

    return EfficientChannelAttention


@registry.add
@dataclass(frozen=True, slots=True)
class EfficientChannelAttention(Op):
    """ECA: the odd kernel nearest to log2(C)/2 + 1/2, at least 3 (Wang et al. 2020, arXiv:1910.03151, eq. 12)."""

    spelling = "eca"
    role = "attention"
    cost_rule = {"params": "K", "macs": "K*C", "activations": "C"}

    kernel: int

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ArchitectureError(f"the kernel of eca is odd, found {self.kernel}")

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> EfficientChannelAttention:
        nearest = int(abs(math.log2(context.shape.channels) / 2 + 0.5))
        return cls(max(3, nearest if nearest % 2 else nearest + 1))

    def __str__(self) -> str:
        return self.spelling  # the kernel follows from the channels

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)  # the gate is in 0..1

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(self.kernel, self.kernel * x.channels, x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(efficient_channel_attention, (self.kernel,))
