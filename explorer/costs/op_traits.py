"""What the cost of an op needs, by its class."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from explorer.networks.ops.base import Op, OpCost
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.nested.nesting import WEIGHT_LAYERS, Nested


class OpTraits(NamedTuple):
    """What the cost of an op needs, by its class.

    Attributes:
        cost: Returns the cost, given the op and its input shape; None for an op without one.
        reads_output: Whether ``cost`` takes the output shape too, which is known.
        is_weight_layer: Whether it is a conv or linear layer.
        has_window: Whether its output values depend on windows of the map, or it has a stride.
        enlarges: Whether it changes the map without that.
        is_nested: Whether it holds other ops.
    """

    cost: Callable[..., OpCost] | None
    reads_output: bool
    is_weight_layer: bool
    has_window: bool
    enlarges: bool
    is_nested: bool


@cache
def traits_of(cls: type[Op]) -> OpTraits:
    """Return the traits of the ops of a class."""
    reads_output = cls.cost is Conv.cost
    cost = None if cls.cost is Op.cost else Conv.cost_between if reads_output else cls.cost
    has_window = cls.receptive is not Op.receptive
    enlarges = cls.shrinks is not Op.shrinks
    return OpTraits(cost, reads_output, cls.role in WEIGHT_LAYERS, has_window, enlarges, issubclass(cls, Nested))
