"""Layers that are not yet bound to a shape, and the steps of an expression from which a ``Resolver`` reads them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from explorer.networks.ops.base import Context, Op, TensorShape
from explorer.networks.ops.merge import Merge
from explorer.space.grammar import Broken, ByPlace, Copied, MergeItem, OpItem, Place, Point, UnitEnd

ANY_CONTEXT = Context(TensorShape(1, 1, 1), 1, 1, 1)  # for ops that are equal in every context


class Layer(NamedTuple):
    """An op, a merge or ``Copied`` with the values of its arguments, not yet bound to a shape.

    Attributes:
        what: The class of the op or merge; an op itself if it was copied or is equal in every context; the end of a
            unit.
        kernel: The kernel size; None for an op without one.
        given: Field name -> value.
        uses_stride: Whether its stride is written with the variable ``s``.
        place: Its place in the file.
        key: Equal for layers that become equal ops in the same context.
        is_free: Whether ``what`` is an op that does not depend on shapes.
        is_merge: Whether ``what`` is a merge.
        pools: Whether it always takes the block's stride, as a pool without a size does.
    """

    what: type[Op] | Op | type[Merge] | Copied | UnitEnd
    kernel: int | None
    given: dict[str, Any]
    uses_stride: bool
    place: Place
    key: Hashable
    is_free: bool = False
    is_merge: bool = False
    pools: bool = False

    def bind(self, context: Context) -> Op:
        """Return the op in its context.

        Raises:
            ArchitectureError: If it does not fit.
        """
        if isinstance(self.what, Op):
            return self.what
        assert isinstance(self.what, type) and issubclass(self.what, Op)
        return self.what.bind(self.kernel, self.given, context)


def bound_layer(op: Op, place: Place) -> Layer:
    """Return the layer of a bound op."""
    cls = type(op)
    is_free = cls.output_shape is Op.output_shape and cls.canonical is Op.canonical and cls.receptive is Op.receptive
    return Layer(op, None, {}, False, place, op, is_free)


class Fork(NamedTuple):
    """A choice between layers: the steps of each option."""

    point: Point
    options: tuple[Steps, ...]


class ByNumber(NamedTuple):
    """The steps of each entry of ``by_block`` or ``by_stage``."""

    node: ByPlace
    options: tuple[Steps, ...]


class Named(NamedTuple):
    """The steps of a rule that has its own shortcuts."""

    name: str
    steps: Steps


class Span(NamedTuple):
    """A rule that was read, and the layers that it gave: from number ``start``, before number ``end``."""

    name: str
    start: int
    end: int


class Loop(NamedTuple):
    """Steps that are taken ``counts[option]`` times; without a choice, ``counts[0]`` times."""

    point: Point | None
    counts: tuple[int, ...]
    steps: Steps


class Steps(NamedTuple):
    """An expression as flat steps.

    Attributes:
        steps: Finished layers, ops and merges whose arguments depend on choices or variables, choices, loops, the
            steps of a long rule or of one with its own shortcuts, ends of units, and errors.
        nodes: Number of nodes of the tree that they represent.
    """

    steps: tuple[Layer | OpItem | MergeItem | Fork | ByNumber | Loop | Named | UnitEnd | Steps | Broken, ...]
    nodes: int
