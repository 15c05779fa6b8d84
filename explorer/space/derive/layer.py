"""Layers with the values of their arguments, not yet bound to a shape."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from fractions import Fraction
from itertools import takewhile
from typing import Any, NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Context, Op, TensorShape, check_argument
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.nested.fork import JOINS, Cat, Part
from explorer.networks.ops.window import Size
from explorer.space.arithmetic import computed
from explorer.space.further_nodes import TapItem, UnitEnd
from explorer.space.grammar import Copied, Place

ANY_CONTEXT = Context(TensorShape(1, 1, 1), 1, 1, 1)  # for ops that are equal in every context
Formula = int | Fraction | str | tuple[str, Any, Any]  # see ``Deferred``


class Deferred(NamedTuple):
    """The value of an argument that contains the variable ``c``, which is known when the layer is bound.

    Attributes:
        argument: The argument.
        formula: A number, ``c``, or an operator with two formulas.
        text: The value as the file spells it.
    """

    argument: Argument
    formula: Formula
    text: str

    def at(self, arriving: int, spelling: str) -> Any:
        """Return the value where ``arriving`` channels arrive. Raises ArchitectureError if it is invalid."""
        if not arriving:
            raise ArchitectureError("the variable 'c' is not defined here")
        try:
            number = _evaluated(self.formula, arriving)
        except ArithmeticError as error:
            raise ArchitectureError(f"{self.text}: {error}") from None
        return checked(spelling, self.argument, number, f"{self.text} = ")


def _evaluated(formula: Formula, arriving: int) -> Fraction | int:
    if isinstance(formula, tuple):
        operator, left, right = formula
        return computed(operator, _evaluated(left, arriving), _evaluated(right, arriving))
    return arriving if isinstance(formula, str) else formula


class Paths(NamedTuple):
    """The layers of the paths of a fork.

    Attributes:
        join: As in ``ForkItem``.
        layers: The layers of each path.
    """

    join: str
    layers: tuple[tuple[Layer, ...], ...]

    def bind(self, bound: Iterable[tuple[Op, ...]]) -> Op:
        """Return the fork of bound paths; those of ``split`` start with their shares."""
        if self.join != "split":
            return JOINS[self.join](tuple(bound))
        return Cat(tuple((self.share(number), *ops) for number, ops in enumerate(bound, 1)))

    def share(self, number: int) -> Part:
        """Return the share of the channels that a path of ``split`` has."""
        return Part(number, len(self.layers))


class Layer(NamedTuple):
    """An op, a fork, a merge, a tap, ``Copied`` or the end of a unit with its arguments, not yet bound to a shape.

    Attributes:
        what: The class of the op or merge; the paths of a fork; an op itself if it was copied or is equal in every
            context; a tap; the end of a unit.
        kernel: The kernel size; None for an op without one.
        given: Field name -> value.
        uses_stride: Whether its stride is written with the variable ``s``.
        place: Its place in the file.
        key: Equal for layers that become equal ops in the same context.
        is_free: Whether ``what`` is an op that does not depend on shapes.
        is_merge: Whether ``what`` is a merge.
        pools: Whether it always takes the block's stride, as a pool without a size does, or a fork with one.
        is_deferred: Whether an argument is ``Deferred``.
        has_taps: Whether it is a tap, or a fork with one.
    """

    what: type[Op] | Op | type[Merge] | Copied | TapItem | UnitEnd | Paths
    kernel: Size | None
    given: dict[str, Any]
    uses_stride: bool
    place: Place
    key: Hashable
    is_free: bool = False
    is_merge: bool = False
    pools: bool = False
    is_deferred: bool = False
    has_taps: bool = False

    @property
    def is_op(self) -> bool:
        """Whether it is an op."""
        return isinstance(self.what, Op) or (isinstance(self.what, type) and issubclass(self.what, Op))

    def bind(self, context: Context) -> Op:
        """Return the op in its context.

        Raises:
            ArchitectureError: If it does not fit.
        """
        if isinstance(self.what, Op):
            return self.what
        assert isinstance(self.what, type) and issubclass(self.what, Op)
        given = self.given
        if self.is_deferred:
            name = self.what.spelled(self.kernel)
            arriving = context.arriving
            given = {key: v.at(arriving, name) if isinstance(v, Deferred) else v for key, v in given.items()}
        return self.what.bind(self.kernel, given, context)


def before_from(path: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the layers of a path up to ``from``, behind which the stride of its tap holds."""
    return takewhile(lambda layer: not (isinstance(layer.what, TapItem) and layer.what.kind == "from"), path)


def bound_layer(op: Op, place: Place) -> Layer:
    """Return the layer of a bound op."""
    cls = type(op)
    is_free = cls.output_shape is Op.output_shape and cls.canonical is Op.canonical and cls.receptive is Op.receptive
    return Layer(op, None, {}, False, place, op, is_free)


def checked(spelling: str, argument: Argument, number: Fraction | int, text: str) -> Any:
    """Return a number as the value of an argument; ``text`` is before it in messages. Raises ArchitectureError."""
    if argument.kind in ("whole", "size") and number.denominator != 1:
        raise ArchitectureError(f"{argument.name} = {text}{number} of {spelling} is not a whole number")
    return check_argument(spelling, argument, Fraction(number))
