"""Activations: elementwise functions that keep the shape and count no MACs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape
from explorer.networks.ops.registry import registry


class Activation(Op):
    """Base class of the activations.

    Attributes:
        torch_class: The name of the class in ``torch.nn``, or a function that returns the class, as in ``Call``.
        lower: Lower bound of the outputs.
        upper: Upper bound of the outputs.
        identity: The interval (low, high) in which the activation returns its input unchanged.
        non_decreasing: Whether the function is non-decreasing, so that it commutes with taking a maximum.
        keeps_zero: Whether the output for 0 is 0 whatever the weights.
    """

    __slots__ = ()
    role = "activation"
    torch_class: str | Callable[[], type] = ""
    lower: float = -math.inf
    upper: float = math.inf
    identity: tuple[float, float] = (math.inf, -math.inf)
    non_decreasing = False
    keeps_zero = True

    def is_identity_on(self, low: float, high: float) -> bool:
        """Return whether the activation is the identity on inputs in low..high."""
        return self.identity[0] <= low and high <= self.identity[1]

    def then(self, op: Op, x: TensorShape) -> tuple[Op, ...] | None:
        return (op, self) if self._commutes_with(op, x) else None

    def _commutes_with(self, op: Op, x: TensorShape) -> bool:
        """Return whether both orders of the activation and ``op`` compute the same function."""
        return not self.cost(x).params and (op.rearranges(x) or (op.selects and self.non_decreasing))

    def values(self, low: float, high: float) -> tuple[float, float]:
        if low == high == 0 and self.keeps_zero:
            return 0.0, 0.0
        # All activations keep the sign. None increases a value, except those with outputs in 0..1.
        return max(self.lower, 0.0 if low >= 0 else -math.inf), min(self.upper, max(high, 0.0, min(self.upper, 1.0)))

    def module(self, x: TensorShape) -> Call:
        return Call(self.torch_class)


def _plain(
    spelling: str, torch_class: str | Callable[[], type], about: str, name: str = "", **shared: Any
) -> type[Activation]:
    """Register an activation without arguments; ``name``: that of its class, if ``torch_class`` is not a name."""
    call = torch_class if isinstance(torch_class, str) else staticmethod(torch_class)
    body = {"__doc__": about, "__module__": __name__, "spelling": spelling, "torch_class": call, **shared}
    made: type[Activation] = type(name or str(torch_class), (Activation,), body)
    return registry.add(dataclass(frozen=True)(made))


ABOVE_0 = (0.0, math.inf)
ReLU = _plain("relu", "ReLU", "max(x, 0) (Nair and Hinton 2010).", lower=0.0, identity=ABOVE_0, non_decreasing=True)
ReLU6 = _plain(
    "relu6", "ReLU6", "min(max(x, 0), 6) (Sandler et al. 2018, arXiv:1801.04381).",
    lower=0.0, upper=6.0, identity=(0.0, 6.0), non_decreasing=True,
)  # fmt: skip
ELU = _plain(
    "elu", "ELU", "Exponential linear unit (Clevert et al. 2015, arXiv:1511.07289).",
    lower=-1.0, identity=ABOVE_0, non_decreasing=True,
)  # fmt: skip
SiLU = _plain("silu", "SiLU", "x * sigmoid(x) (Hendrycks and Gimpel 2016, arXiv:1606.08415).", lower=-0.3)
GELU = _plain("gelu", "GELU", "x * Phi(x) (Hendrycks and Gimpel 2016, arXiv:1606.08415).", lower=-0.2)
Hardswish = _plain("hardswish", "Hardswish", "x * relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244).", lower=-0.4)
Mish = _plain("mish", "Mish", "x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681).", lower=-0.4)
Tanh = _plain("tanh", "Tanh", "Hyperbolic tangent.", lower=-1.0, upper=1.0, non_decreasing=True)
UNIT: dict[str, Any] = {"lower": 0.0, "upper": 1.0, "non_decreasing": True, "keeps_zero": False}
Sigmoid = _plain("sigmoid", "Sigmoid", "1 / (1 + exp(-x)).", **UNIT)
Hardsigmoid = _plain("hardsigmoid", "Hardsigmoid", "relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244).", **UNIT)


@registry.add
@dataclass(frozen=True, slots=True)
class LeakyReLU(Activation):
    """max(x, 0) + slope * min(x, 0) (Maas et al. 2013)."""

    spelling = "leaky_relu"
    arguments = (Argument("slope", "slope", "number", "slope for negative values", 0.0, 1.0),)

    slope: float = 0.01

    identity = ABOVE_0
    non_decreasing = True

    def canonical(self, x: TensorShape) -> Op | None:
        return ReLU() if self.slope == 0 else None if self.slope == 1 else self

    def module(self, x: TensorShape) -> Call:
        return Call("LeakyReLU", (self.slope,))


@registry.add
@dataclass(frozen=True, slots=True)
class PReLU(Activation):
    """Leaky ReLU with one trained slope per channel (He et al. 2015, arXiv:1502.01852)."""

    spelling = "prelu"
    cost_rule = {"params": "C"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call("PReLU", (x.channels,))


SELU_SCALE, SELU_LOWER = 1.0507009873554805, -1.7580993408473766


@registry.add
@dataclass(frozen=True, slots=True)
class SELU(Activation):
    """Scaled exponential linear unit (Klambauer et al. 2017, arXiv:1706.02515)."""

    spelling = "selu"

    non_decreasing = True

    def values(self, low: float, high: float) -> tuple[float, float]:
        return (0.0 if low >= 0 else SELU_LOWER), max(high * SELU_SCALE, 0.0)

    def module(self, x: TensorShape) -> Call:
        return Call("SELU")


def gelu_tanh() -> type:
    from torch import Tensor, nn

    class GELUTanh(nn.Module):
        """GELU by its approximation with tanh (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.gelu(x, approximate="tanh")

    return GELUTanh


GELUTanh = _plain(
    "gelu_tanh", gelu_tanh,
    "GELU by its approximation with tanh (Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2).",
    lower=-0.2, name="GELUTanh",
)  # fmt: skip


def quick_gelu() -> type:
    from torch import Tensor, nn

    class QuickGELU(nn.Module):
        """x * sigmoid(1.702 * x) (Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2)."""

        def forward(self, x: Tensor) -> Tensor:
            return x * (1.702 * x).sigmoid()

    return QuickGELU


QuickGELU = _plain(
    "quick_gelu", quick_gelu,
    "GELU by its approximation x * sigmoid(1.702 * x) (Hendrycks and Gimpel 2016, section 2).",
    lower=-0.2, name="QuickGELU",
)  # fmt: skip


def hard_mish() -> type:
    from torch import Tensor, nn

    class HardMish(nn.Module):
        """x * clamp(x + 2, 0, 2) / 2."""

        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * x * (x + 2).clamp(0, 2)

    return HardMish


HardMish = _plain(
    "hard_mish", hard_mish,
    "x * clamp(x + 2, 0, 2) / 2, a mish without exponentials.",
    lower=-0.5, identity=ABOVE_0, name="HardMish",
)  # fmt: skip


def star_relu() -> type:
    import torch
    from torch import Tensor, nn

    class StarReLU(nn.Module):
        """scale * relu(x)^2 + bias with a trained scale and bias (Yu et al. 2022, arXiv:2210.13452)."""

        def __init__(self, scale: float, bias: float):
            super().__init__()
            self.scale = nn.Parameter(torch.full((1,), scale))
            self.bias = nn.Parameter(torch.full((1,), bias))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.relu() ** 2 + self.bias

    return StarReLU


@registry.add
@dataclass(frozen=True, slots=True)
class StarReLU(Activation):
    """x * relu(x) with one trained scale and bias for the map, as in MetaFormer (Yu et al. 2022, arXiv:2210.13452)."""

    spelling = "star_relu"
    arguments = (
        Argument("scale", "scale", "number", "the scale before training", -1e3, 1e3),
        Argument("bias", "bias", "number", "the bias before training", -1e3, 1e3),
    )
    positional = 0
    cost_rule = {"params": "2"}

    scale: float = 1.0
    bias: float = 0.0

    keeps_zero = False

    def _commutes_with(self, op: Op, x: TensorShape) -> bool:
        return op.rearranges(x)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return -math.inf, math.inf

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=2)

    def module(self, x: TensorShape) -> Call:
        return Call(star_relu, (self.scale, self.bias))


def thresholded_linear_unit() -> type:
    import torch
    from torch import Tensor, nn

    class ThresholdedLinearUnit(nn.Module):
        """max(x, tau) with one trained tau per channel (Singh and Krishnan 2020, eq. 6)."""

        def __init__(self, channels: int):
            super().__init__()
            self.tau = nn.Parameter(torch.zeros(channels))

        def forward(self, x: Tensor) -> Tensor:
            tau = self.tau.view(-1, *[1] * (x.dim() - 2))  # a linear layer puts out vectors
            return torch.maximum(x, tau.to(x.dtype))

    return ThresholdedLinearUnit


@registry.add
@dataclass(frozen=True, slots=True)
class ThresholdedLinearUnit(Activation):
    """max(x, tau) with one trained tau per channel, for use after ``frn`` (Singh and Krishnan 2020, eq. 6)."""

    spelling = "tlu"
    cost_rule = {"params": "C"}
    keeps_zero = False

    def _commutes_with(self, op: Op, x: TensorShape) -> bool:
        return op.selects

    def values(self, low: float, high: float) -> tuple[float, float]:
        return -math.inf, math.inf

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(thresholded_linear_unit, (x.channels,))
