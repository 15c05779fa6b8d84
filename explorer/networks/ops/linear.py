"""The classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.networks.ops.base import Argument, Call, Context, Op, OpCost, TensorShape
from explorer.networks.ops.conv import BIAS
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


def flat_linear() -> type:
    from torch import Tensor, nn

    class FlatLinear(nn.Linear):
        """A linear layer on the flattened feature map."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(1))

    return FlatLinear


@registry.add
@dataclass(frozen=True, slots=True)
class Linear(Op):
    """A fully connected layer on the flattened map, by default with one output per class."""

    spelling = "fc"
    role = "linear"
    arguments = (Argument("out", "out", "whole", "outputs; by default the number of classes"), BIAS)
    shape_rule = "out x 1 x 1"
    cost_rule = {"params": "C*H*W*out + bias*out", "macs": "C*H*W*out", "activations": "out"}

    out: int
    bias: int = 1

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Linear:
        return cls(**{"out": context.classes, **given})

    def output_shape(self, x: TensorShape) -> TensorShape:
        return TensorShape(self.out, 1, 1)

    def cost(self, x: TensorShape) -> OpCost:
        weights = x.elements * self.out
        return OpCost(weights + self.bias * self.out, weights, self.out)

    def module(self, x: TensorShape) -> Call:
        return Call(flat_linear, (x.elements, self.out), {} if self.bias else {"bias": False})
