"""The base class of ops: spelling, arguments, output shape, cost and torch module.

An op is one frozen dataclass in a file of this folder. Its fields are literal numbers, so an architecture of ops can
be read without the space file. The class defines in one place

- how the space language spells the op (``spelling``, ``arguments``),
- its output shape (``output_shape``) and its cost (``cost``), both without torch,
- its torch module (``module``): one constructor call, which ``build_network`` executes and exported code prints, so
  that both agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar, NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.ops.window import Size, sides, size_of, spell_kernel, spell_size

# Upper bounds of the arguments, far above those of published networks. They prevent that a typing error in a space
# file or a corrupt JSON file requests terabytes.
MAX_CHANNELS = 65_536
MAX_KERNEL = 63
MAX_STRIDE = 63


class TensorShape(NamedTuple):
    """The shape of the feature map of one image: channels, height, width."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"

    @property
    def positions(self) -> int:
        """Height times width."""
        return self.height * self.width

    @property
    def elements(self) -> int:
        """Channels times height times width."""
        return self.channels * self.height * self.width


class OpCost(NamedTuple):
    """The cost of one op for one image.

    Attributes:
        params: Trainable parameters.
        macs: Multiply-accumulates of conv, linear and attention products, without biases, norms, activations, pooling
            and additions.
        activations: Output elements of conv and linear layers (Radosavovic et al. 2020, arXiv:2003.13678,
            section 3.1) and of the products of attention.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0

    def plus(self, other: OpCost) -> OpCost:
        """Return the sum of both costs, field by field."""
        return OpCost(self.params + other.params, self.macs + other.macs, self.activations + other.activations)


FREE = OpCost()  # the cost of an op without parameters and products


class Argument(NamedTuple):
    """An argument of an op in the space language.

    An argument is required if its field has no default and the op's ``bind`` does not supply a value.

    Attributes:
        name: The name in the language.
        field: The field of the op.
        kind: ``whole``, ``size`` (a whole number for both sides or two, height and width; or one of ``words``),
            ``number``, ``ratio`` (a number; in the language a constant below 1 is its inverse), ``word`` (one of
            ``words``) or ``activation`` (an activation op).
        about: The description in the documentation.
        low: The smallest value, inclusive.
        high: The largest value, inclusive.
        words: The values of an argument of the kind ``word``, and further ones of the kind ``size``.
    """

    name: str
    field: str
    kind: str
    about: str
    low: float = 1
    high: float = MAX_CHANNELS
    words: tuple[str, ...] = ()


class Context(NamedTuple):
    """The context in which a spelling is bound to an op.

    Attributes:
        shape: The input shape of the op.
        width: The width ``w`` of the stage; None outside of stages.
        stride: The stride that the op applies if it takes the stride of its block.
        classes: The number of classes.
        arriving: The channels that arrive at the row of layers, the variable ``c``; 0 if it is not defined.
    """

    shape: TensorShape
    width: int | None
    stride: Size
    classes: int
    arriving: int = 0


class Call(NamedTuple):
    """A torch module as one constructor call: ``torch_class(*args, **kwargs)``.

    Attributes:
        torch_class: The name of a class in ``torch.nn``, or a function without arguments that returns a class of this
            project. Such a function imports torch and nothing else.
        args: The positional arguments; a ``Call`` among them is a module.
        kwargs: The keyword arguments, likewise.
    """

    torch_class: str | Callable[[], type]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Op:
    """An operation on one feature map, with literal numbers as fields.

    Attributes:
        spelling: The name in the language, without a kernel size.
        role: conv, norm, activation, attention, pool, regulariser, scale, linear or fork.
        sized: Whether the spelling ends in KxK (``conv3x3``); None if the size is optional.
        takes_stride: How the op gets the stride of its block: "conv" (by the rule for convolutions), "pool" (always,
            if written without a size) or "" (never).
        arguments: The arguments in order.
        positional: How many of the first arguments may be written without a name.
        selects: Whether each output value is the maximum of some input values.
        shape_rule: The output shape for an input of C x H x W, as the reference page prints it.
        cost_rule: The cost, likewise: formulas in C, H, W, the output sides Ho and Wo, the names of the arguments, K
            (kernel) and S (squeeze). Tests evaluate the formulas and compare them with ``cost``.
    """

    spelling: ClassVar[str]
    role: ClassVar[str]
    sized: ClassVar[bool | None] = False
    takes_stride: ClassVar[str] = ""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    positional: ClassVar[int] = 1
    selects: ClassVar[bool] = False
    shape_rule: ClassVar[str] = "C x H x W"
    cost_rule: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Op:
        """Return the op of a spelling in its context.

        Args:
            kernel: The kernel size of the spelling; None without one.
            given: The arguments that are written: field name -> checked value.
            context: The input shape, width, stride and number of classes.

        Raises:
            ArchitectureError: The arguments do not fit the input shape.
        """
        if lacking := cls.lacking(given):
            raise ArchitectureError(f"{cls.spelling} needs {', '.join(lacking)}")
        values = {name: float(value) if isinstance(value, Fraction) else value for name, value in given.items()}
        make: Callable[..., Op] = cls
        return make(**values) if kernel is None else make(kernel, **values)

    @classmethod
    def binds_itself(cls) -> bool:
        """Return whether the class overrides ``bind``."""
        own, plain = cls.bind.__func__, Op.bind.__func__  # type: ignore[attr-defined]  # classmethods have it
        return own is not plain

    @classmethod
    def spelled(cls, kernel: Size | None) -> str:
        """Return the spelling with its kernel size: ``conv3x3``, ``conv1x7``."""
        return cls.spelling if kernel is None else f"{cls.spelling}{spell_kernel(kernel)}"

    @classmethod
    def pools(cls, kernel: Size | None) -> bool:
        """Return whether the op, written with that kernel size, always has the stride of its block."""
        return kernel is None and cls.takes_stride == "pool"

    @classmethod
    def lacking(cls, given: Collection[str]) -> list[str]:
        """Return the names of the required arguments whose fields are not in ``given``."""
        if cls.binds_itself():
            return []  # its ``bind`` supplies the values
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        return [argument.name for argument in cls.arguments if argument.field in needed and argument.field not in given]

    def output_shape(self, x: TensorShape) -> TensorShape:
        """Return the output shape for an input of shape ``x``.

        Raises:
            ArchitectureError: The op does not fit the input.
        """
        return x

    def cost(self, x: TensorShape) -> OpCost:
        """Return the cost for one image, for an input of shape ``x``."""
        return FREE

    def canonical(self, x: TensorShape) -> Op | None:
        """Return the simplest op that computes the same function of an input of shape ``x``; None for the identity."""
        return self

    def rearranges(self, x: TensorShape) -> bool:
        """Return whether the op only moves or drops values of an input of shape ``x``."""
        return False

    def then(self, op: Op, x: TensorShape) -> tuple[Op, ...] | None:
        """Return the simplest ops that equal this one and then ``op``, for an input of shape ``x``.

        None if these two are the simplest. Both are in their canonical form. The result is simpler by one op, or has
        ``op`` first, so that a sequence has one order.
        """
        return None

    def values(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of the outputs, in training and evaluation, for inputs in low..high.

        An op that keeps zeros whatever its weights returns 0, 0 for 0..0: then the layers before it do not matter.
        """
        return -math.inf, math.inf

    def needs_several_images(self, x: TensorShape) -> bool:
        """Return whether training needs batches of two or more images: a norm has one value per channel and image."""
        return False

    def module(self, x: TensorShape) -> Call:
        """Return the torch module for an input of shape ``x``."""
        raise NotImplementedError

    @property
    def spelled_size(self) -> Size | None:
        """The K of ``KxK`` in its spelling; None without a size, as for an op that pools by the block's stride."""
        return getattr(self, "kernel", None) if self.sized else None

    def is_depthwise(self, x: TensorShape) -> bool:
        """Return whether the op convolves each channel of ``x`` separately. A convolution of one channel is dense."""
        return False

    def receptive(self) -> tuple[Size, Size]:
        """Return (effective kernel, stride), from which the receptive field is computed."""
        return 1, 1

    def shrinks(self) -> tuple[int | Fraction, int | Fraction]:
        """Return the number by which the op divides height and width, but for rounding: its strides."""
        return sides(self.receptive()[1])

    def to_json(self) -> dict[str, Any]:
        """Return ``{"op": ..., field: value}`` without the fields at their default."""
        out: dict[str, Any] = {"op": self.spelling}
        for name, default in _defaults(type(self)):  # type: ignore[arg-type]  # mypy takes the hash of instances
            value = getattr(self, name)
            if value != default:
                out[name] = value.to_json() if isinstance(value, Op) else value
        return out

    def __str__(self) -> str:
        """Return the op in the space language, with literal numbers."""
        names = {argument.field: argument.name for argument in self.arguments}
        size, shown = "", []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "kernel" and self.sized is not False:
                size = spell_kernel(value)
            elif field.default is MISSING or value != field.default:
                shown.append(f"{names.get(field.name, field.name)}={_spell(value)}")
        return f"{self.spelling}{size}" + (f"({', '.join(shown)})" if shown else "")


@cache
def _defaults(cls: type[Op]) -> tuple[tuple[str, Any], ...]:
    """Return the fields of an op with their defaults. A field without one has MISSING, which equals no value."""
    return tuple((field.name, field.default) for field in fields(cls))


def _spell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else spell_size(value)


def nearest_divisors(channels: int, number: int) -> str:
    """Return the divisors of a number of channels that are nearest to another number, as the end of a message."""
    fitting = [divisor for divisor in range(1, channels + 1) if channels % divisor == 0]
    nearest = sorted(fitting, key=lambda divisor: abs(divisor - number))[:2]
    return f"; nearest that fit: {', '.join(map(str, sorted(nearest)))}"


def zero_or_any(low: float, high: float) -> tuple[float, float]:
    """Return the bounds of the outputs of an op that keeps zeros and can put out any value for other inputs."""
    return (0.0, 0.0) if low == high == 0 else (-math.inf, math.inf)


def check_argument(spelling: str, argument: Argument, value: Any) -> Any:
    """Return ``value`` in the type of the argument's kind.

    Args:
        spelling: The op, for messages.
        argument: The argument.
        value: The value. ``whole`` becomes an int, ``size`` a ``Size``, ``number`` and ``ratio`` a float; a Fraction
            stays exact.

    Raises:
        ArchitectureError: The value is of the wrong kind or out of range.
    """
    where = f"{argument.name} of {spelling}"
    if argument.kind == "activation":
        if not isinstance(value, Op) or value.role != "activation":
            raise ArchitectureError(f"{where} must be an activation, found {str(value)[:80]}")
        return value
    if argument.kind == "word":
        if value not in argument.words:
            raise ArchitectureError(f"{where} must be one of {', '.join(argument.words)}, found {str(value)[:80]!r}")
        return value
    if argument.kind == "size":
        if isinstance(value, (tuple, list)) and len(value) == 2:
            height, width = (check_argument(spelling, argument._replace(kind="whole"), side) for side in value)
            return size_of(height, width)
        if isinstance(value, str) and value in argument.words:
            return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        raise ArchitectureError(f"{where} must be a number, found {str(value)[:80]!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ArchitectureError(f"{where} must be finite, found {value}")
    if argument.kind in ("whole", "size"):
        if isinstance(value, float) or value != int(value):
            share = f"; a share of the stage's width is w*{value}" if argument.name == "out" and 0 < value < 1 else ""
            raise ArchitectureError(f"{where} must be a whole number, found {value}{share}")
        value = int(value)
    if not argument.low <= value <= argument.high:
        raise ArchitectureError(f"{where} must be in {argument.low:g}..{argument.high:g}, found {_spell(value)[:40]}")
    return float(value) if argument.kind in ("number", "ratio") and not isinstance(value, Fraction) else value
