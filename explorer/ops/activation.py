"""Activations: elementwise, shape and channels stay, no MACs."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.ops.base import Argument, Call, Op, OpCost, TensorShape, registry


class Activation(Op):
    """What the activations share. ``unchanged_after``: spellings of the ops after which it changes nothing."""

    __slots__ = ()
    role = "activation"
    unchanged_after: tuple[str, ...] = ()
    torch_class = ""

    def module(self, x: TensorShape) -> Call:
        return Call(self.torch_class)


def _plain(spelling: str, torch_class: str, about: str, unchanged_after: str = "") -> type[Activation]:
    """Register an activation without arguments."""
    body = {
        "__doc__": about,
        "__module__": __name__,
        "spelling": spelling,
        "torch_class": torch_class,
        "unchanged_after": tuple(unchanged_after.split()),
    }
    return registry.add(dataclass(frozen=True)(type(torch_class, (Activation,), body)))


ReLU = _plain("relu", "ReLU", "max(x, 0) (Nair and Hinton 2010).", "relu relu6 sigmoid hardsigmoid")
ReLU6 = _plain(
    "relu6", "ReLU6", "min(max(x, 0), 6) (Sandler et al. 2018, arXiv:1801.04381).", "relu6 sigmoid hardsigmoid"
)
ELU = _plain("elu", "ELU", "Exponential linear unit (Clevert et al. 2015, arXiv:1511.07289).")
SiLU = _plain("silu", "SiLU", "x * sigmoid(x) (Hendrycks and Gimpel 2016, arXiv:1606.08415).")
GELU = _plain("gelu", "GELU", "x * Phi(x) (Hendrycks and Gimpel 2016, arXiv:1606.08415).")
Hardswish = _plain("hardswish", "Hardswish", "x * relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244).")
Mish = _plain("mish", "Mish", "x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681).")
Sigmoid = _plain("sigmoid", "Sigmoid", "1 / (1 + exp(-x)).")
Hardsigmoid = _plain("hardsigmoid", "Hardsigmoid", "relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244).")


@registry.add
@dataclass(frozen=True, slots=True)
class LeakyReLU(Activation):
    """max(x, 0) + slope * min(x, 0) (Maas et al. 2013)."""

    spelling = "leaky_relu"
    arguments = (Argument("slope", "slope", "number", "slope for negative values", 0.0, 1.0),)

    slope: float = 0.01

    def canonical(self, x: TensorShape) -> Op | None:
        return ReLU() if self.slope == 0 else None if self.slope == 1 else self

    def module(self, x: TensorShape) -> Call:
        return Call("LeakyReLU", (self.slope,))


@registry.add
@dataclass(frozen=True, slots=True)
class PReLU(Activation):
    """Leaky ReLU with a trained slope a channel (He et al. 2015, arXiv:1502.01852)."""

    spelling = "prelu"
    cost_rule = {"params": "C"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call("PReLU", (x.channels,))
