"""Merges: how a block combines its residual branch with its shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import FREE, MAX_CHANNELS, Argument, Call, OpCost, TensorShape, check_argument
from explorer.networks.ops.scale import gate_cost


@dataclass(frozen=True, slots=True)
class Merge:
    """The base class of merges, which combine branch and shortcut.

    Attributes:
        spelling: The name in the language.
        role: Always ``merge``.
        arguments: The arguments in order.
        shape_rule: The output shape, as the reference page prints it.
        cost_rule: The cost, as formulas in the shape C x H x W.
    """

    spelling: ClassVar[str]
    role: ClassVar[str] = "merge"
    arguments: ClassVar[tuple[Argument, ...]] = ()
    shape_rule: ClassVar[str] = "C x H x W, the shape of both"
    cost_rule: ClassVar[Mapping[str, str]] = {}

    def output_shape(self, branch: TensorShape, shortcut: TensorShape) -> TensorShape:
        """Return the merged shape.

        Args:
            branch: The output shape of the branch.
            shortcut: The output shape of the shortcut.

        Raises:
            ArchitectureError: The two shapes do not match.
        """
        if branch != shortcut:
            raise ArchitectureError(
                f"the merge {self.spelling!r} needs equal shapes: the branch has {branch}, the shortcut {shortcut}"
            )
        return branch

    def values(self, branch: tuple[float, float], shortcut: tuple[float, float]) -> tuple[float, float]:
        """Return the bounds of the merged values, given the bounds (low, high) of both sides."""
        return min(branch[0], shortcut[0]), max(branch[1], shortcut[1])

    def cost(self, x: TensorShape) -> OpCost:
        """Return the cost for one image, for a shortcut of shape ``x``."""
        return FREE

    def module(self, x: TensorShape) -> Call | None:
        """Return the torch module with the inputs (branch, shortcut); None for a plain sum."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Return ``{"op": ..., field: value}``."""
        return {"op": self.spelling}

    def __str__(self) -> str:
        return self.spelling


@dataclass(frozen=True, slots=True)
class Add(Merge):
    """branch + shortcut (He et al. 2015)."""

    spelling = "+"

    def values(self, branch: tuple[float, float], shortcut: tuple[float, float]) -> tuple[float, float]:
        return branch[0] + shortcut[0], branch[1] + shortcut[1]


def concatenate() -> type:
    import torch
    from torch import Tensor, nn

    class Concatenate(nn.Module):
        """The shortcut's channels followed by the branch's (Huang et al. 2017, arXiv:1608.06993)."""

        def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
            return torch.cat((shortcut, branch), 1)

    return Concatenate


@dataclass(frozen=True, slots=True)
class Concatenate(Merge):
    """The shortcut's channels followed by the branch's (Huang et al. 2017, arXiv:1608.06993)."""

    spelling = "cat"
    shape_rule = "the channels of both x H x W"

    def output_shape(self, branch: TensorShape, shortcut: TensorShape) -> TensorShape:
        if branch[1:] != shortcut[1:]:
            raise ArchitectureError(
                f"the merge 'cat' needs equal height and width: the branch has {branch}, the shortcut {shortcut}"
            )
        channels = branch.channels + shortcut.channels
        if channels > MAX_CHANNELS:
            raise ArchitectureError(f"'cat' gives {channels:,} channels; a layer has at most {MAX_CHANNELS:,}")
        return branch._replace(channels=channels)

    def module(self, x: TensorShape) -> Call:
        return Call(concatenate)


def exclusive_gate() -> type:
    from torch import Tensor, nn

    class ExclusiveGate(nn.Module):
        """g * branch + (1 - g) * x, g = sigmoid(conv1x1(x)) (He et al. 2016, arXiv:1603.05027, 3.1)."""

        def __init__(self, channels: int, bias: float):
            super().__init__()
            self.conv = nn.Conv2d(channels, channels, 1)
            nn.init.constant_(self.conv.bias, bias)

        def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
            gate = self.conv(shortcut).sigmoid()
            return gate * branch + (1 - gate) * shortcut

    return ExclusiveGate


@dataclass(frozen=True, slots=True)
class Gate(Merge):
    """Exclusive gating: g F(x) + (1 - g) x, g = sigmoid(conv1x1(x) + b) (He et al. 2016, section 3.1)."""

    spelling = "gate"
    arguments = (Argument("b", "bias", "number", "the gate's bias before training", -100, 100),)
    cost_rule = {"params": "C*C + C", "macs": "C*C*H*W", "activations": "C*H*W"}

    bias: float = 0.0

    def cost(self, x: TensorShape) -> OpCost:
        return gate_cost(x)

    def module(self, x: TensorShape) -> Call:
        return Call(exclusive_gate, (x.channels, self.bias))

    def to_json(self) -> dict[str, Any]:
        return {"op": "gate", "bias": self.bias}

    def __str__(self) -> str:
        return f"gate(b={self.bias:g})"


MERGES = {merge.spelling: merge for merge in (Add, Concatenate, Gate)}


def merge_from_json(data: Any) -> Merge:
    """Return the merge that ``to_json`` wrote.

    Raises:
        ArchitectureError: ``data`` is not a valid merge.
    """
    if not isinstance(data, dict) or not isinstance(data.get("op"), str) or data["op"] not in MERGES:
        raise ArchitectureError(f"a merge is one of {', '.join(MERGES)}, found {str(data)[:80]!r}")
    cls = MERGES[data["op"]]
    fields = {argument.field: argument for argument in cls.arguments}
    extra = set(data) - {"op", *fields}
    if extra:
        raise ArchitectureError(f"merge {cls.spelling!r} has no field {', '.join(sorted(map(str, extra)))}")
    return cls(**{key: check_argument(cls.spelling, fields[key], value) for key, value in data.items() if key != "op"})
