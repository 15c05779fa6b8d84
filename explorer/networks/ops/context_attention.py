"""Gates with more than a global average: global context, coordinate attention, SimAM."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from explorer.networks.ops.base import Argument, Call, Context, Op, OpCost, TensorShape
from explorer.networks.ops.norm import require_several_values
from explorer.networks.ops.registry import registry
from explorer.networks.ops.squeeze_excitation import nearest_multiple
from explorer.networks.ops.window import Size

RATIO = Argument("r", "ratio", "ratio", "C / r channels in the squeeze; a constant below 1 is the share", 1e-3, 65_536)
MULTIPLE = Argument("round", "multiple", "whole", "round the squeeze to the nearest multiple of this")
SQUEEZE = Argument("width", "squeeze", "whole", "the squeeze's channels, instead of r")


def with_squeeze(
    given: dict[str, Any], channels: int, ratio: int, multiple: int = 1, least: Fraction = Fraction(0)
) -> dict[str, Any]:
    """Return the arguments with ``squeeze`` instead of ``ratio`` and ``multiple``.

    Args:
        given: The arguments that are written.
        channels: The channels that are divided by the ratio.
        ratio: The ratio by default.
        multiple: The multiple by default, to which the quotient is rounded.
        least: Below this share of the quotient one multiple is added.
    """
    own = {name: value for name, value in given.items() if name not in ("ratio", "multiple")}
    exact, multiple = channels / Fraction(given.get("ratio", ratio)), given.get("multiple", multiple)
    squeeze = nearest_multiple(exact, multiple)
    return {"squeeze": squeeze + multiple if squeeze < least * exact else squeeze, **own}


def global_context() -> type:
    from torch import Tensor, nn

    class GlobalContext(nn.Module):
        """Add a transform of the attended average, or gate by it (arXiv:1904.11492)."""

        def __init__(self, channels: int, squeeze: int, gates: bool):
            super().__init__()
            self.attend = nn.Conv2d(channels, 1, 1)
            self.reduce = nn.Conv2d(channels, squeeze, 1)
            self.norm = nn.GroupNorm(1, squeeze, eps=1e-6)
            self.act = nn.ReLU()
            self.expand = nn.Conv2d(squeeze, channels, 1)
            self.gates = gates

        def forward(self, x: Tensor) -> Tensor:
            weights = self.attend(x).flatten(2).softmax(-1).transpose(1, 2)
            context = (x.flatten(2) @ weights).unsqueeze(-1)
            context = self.expand(self.act(self.norm(self.reduce(context))))
            return x * context.sigmoid() if self.gates else x + context

    return GlobalContext


@registry.add
@dataclass(frozen=True, slots=True)
class GlobalContext(Op):
    """Global context block (Cao et al. 2019, arXiv:1904.11492): attended average, 1x1 conv, ln, relu, 1x1 conv.

    The result is added to the map (``fuse=add``, as in the paper) or gates it by its sigmoid (``fuse=scale``). The
    convs have biases.
    """

    spelling = "gc"
    role = "attention"
    arguments = (
        RATIO,
        MULTIPLE,
        SQUEEZE,
        Argument(
            "fuse", "fuse", "word", "add: add the context; scale: multiply by its sigmoid", words=("add", "scale")
        ),
    )
    cost_rule = {
        "params": "2*C + 1 + 2*C*S + 3*S",
        "macs": "2*C*H*W + 2*C*S",
        "activations": "H*W + 2*C + S",
    }

    squeeze: int
    fuse: str = "add"

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> GlobalContext:
        return cls(**with_squeeze(given, context.shape.channels, 8))

    def output_shape(self, x: TensorShape) -> TensorShape:
        return require_several_values(self, x, self.squeeze)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return (min(low, 0.0), max(high, 0.0)) if self.fuse == "scale" else Op.values(self, low, high)

    def cost(self, x: TensorShape) -> OpCost:
        products = 2 * x.channels * self.squeeze
        params = x.channels + 1 + products + 3 * self.squeeze + x.channels
        outputs = x.positions + 2 * x.channels + self.squeeze
        return OpCost(params, 2 * x.elements + products, outputs)

    def module(self, x: TensorShape) -> Call:
        return Call(global_context, (x.channels, self.squeeze, self.fuse == "scale"))


def coordinate_attention() -> type:
    import torch
    from torch import Tensor, nn

    class CoordinateAttention(nn.Module):
        """Gate by averages over rows and over columns (arXiv:2103.02907, eq. 4 to 9)."""

        def __init__(self, channels: int, squeeze: int, bias: bool):
            super().__init__()
            self.reduce = nn.Conv2d(channels, squeeze, 1, bias=bias)
            self.norm = nn.BatchNorm2d(squeeze)
            self.act = nn.Hardswish()
            self.rows = nn.Conv2d(squeeze, channels, 1, bias=bias)
            self.columns = nn.Conv2d(squeeze, channels, 1, bias=bias)

        def forward(self, x: Tensor) -> Tensor:
            height, width = x.shape[2:]
            pooled = torch.cat((x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)), 2)
            down, across = self.act(self.norm(self.reduce(pooled))).split((height, width), 2)
            return x * self.rows(down).sigmoid() * self.columns(across.transpose(2, 3)).sigmoid()

    return CoordinateAttention


@registry.add
@dataclass(frozen=True, slots=True)
class CoordinateAttention(Op):
    """Coordinate attention (Hou et al. 2021, arXiv:2103.02907): gates for rows and columns; bn and hardswish inside."""

    spelling = "coord_attn"
    role = "attention"
    arguments = (RATIO, MULTIPLE, SQUEEZE, Argument("bias", "bias", "whole", "1: 1x1 convs with biases", 0, 1))
    cost_rule = {
        "params": "3*C*S + 2*S + bias*(S + 2*C)",
        "macs": "2*C*S*(H + W)",
        "activations": "(C + S)*(H + W)",
    }

    squeeze: int
    bias: int = 0

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> CoordinateAttention:
        return cls(**with_squeeze(given, context.shape.channels, 32, 8))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)  # both gates are in 0..1

    def cost(self, x: TensorShape) -> OpCost:
        products, sides = x.channels * self.squeeze, x.height + x.width
        biases = self.bias * (self.squeeze + 2 * x.channels)
        return OpCost(
            3 * products + 2 * self.squeeze + biases, 2 * products * sides, (x.channels + self.squeeze) * sides
        )

    def module(self, x: TensorShape) -> Call:
        return Call(coordinate_attention, (x.channels, self.squeeze, bool(self.bias)))


def simple_attention() -> type:
    from torch import Tensor, nn

    class SimpleAttention(nn.Module):
        """Gate each value by its squared distance from the mean of its map (SimAM, eq. 5)."""

        def __init__(self, epsilon: float):
            super().__init__()
            self.epsilon = epsilon

        def forward(self, x: Tensor) -> Tensor:
            distance = (x - x.mean((2, 3), keepdim=True)).square()
            variance = distance.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
            return x * (distance / (4 * (variance + self.epsilon)) + 0.5).sigmoid()

    return SimpleAttention


@registry.add
@dataclass(frozen=True, slots=True)
class SimpleAttention(Op):
    """SimAM, a gate for each value without parameters (Yang et al. 2021, ICML, proceedings.mlr.press/v139/yang21o)."""

    spelling = "simam"
    role = "attention"
    arguments = (Argument("eps", "epsilon", "number", "added to the variance, lambda in the paper", 1e-12, 1.0),)
    positional = 0

    epsilon: float = 1e-4

    def output_shape(self, x: TensorShape) -> TensorShape:
        return require_several_values(self, x, x.positions)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)  # the gate is in 0..1

    def module(self, x: TensorShape) -> Call:
        return Call(simple_attention, (self.epsilon,))
