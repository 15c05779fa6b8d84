"""What every op is made of: shapes, costs, arguments, and the torch module it stands for.

An op is one frozen dataclass in a file of this folder. Its fields are literal numbers, so that an
architecture built from ops needs no space file to be understood. The class says, in one place,

- how the space language spells it (``spelling``, ``arguments``),
- what it does to a shape (``output_shape``) and what it costs (``cost``), both without torch,
- which torch module it is (``module``): one constructor call that ``build`` executes and that
  exported code prints, so the two cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar, NamedTuple, TypeVar

from explorer.errors import ArchitectureError

MAX_CHANNELS = 65_536
MAX_KERNEL = 63
MAX_STRIDE = 63


class TensorShape(NamedTuple):
    """One image's feature map: channels, height, width."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"

    @property
    def positions(self) -> int:
        return self.height * self.width

    @property
    def elements(self) -> int:
        return self.channels * self.height * self.width


class OpCost(NamedTuple):
    """What one op costs for one image.

    ``params``: trainable parameters. ``macs``: multiply-accumulates of conv, linear and attention
    products, without biases, norms, activations, pooling and additions. ``activations``: elements that
    conv and linear layers put out (Radosavovic et al. 2020, arXiv:2003.13678, section 3.1), and attention's products.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0

    def plus(self, other: OpCost) -> OpCost:
        return OpCost(self.params + other.params, self.macs + other.macs, self.activations + other.activations)


FREE = OpCost()


class Argument(NamedTuple):
    """An argument as the language spells it.

    ``kind`` is ``whole``, ``number``, ``word`` (one of ``words``) or ``activation`` (an activation op).
    ``low`` and ``high`` are inclusive. An argument without a default in its op's fields and not
    supplied by the op's ``bind`` must be written.
    """

    name: str
    field: str
    kind: str
    about: str
    low: float = 1
    high: float = MAX_CHANNELS
    words: tuple[str, ...] = ()


class Context(NamedTuple):
    """What surrounds an op when its spelling is bound: the arriving shape, the stage's width ``w``
    (None where there is none) and the stride that this op is to apply if it takes the block's."""

    shape: TensorShape
    width: int | None
    stride: int
    classes: int


class Call(NamedTuple):
    """A torch module as one constructor call: ``torch_class(*args, **kwargs)``.

    ``torch_class`` is the name of a class of ``torch.nn`` or a function of no arguments that
    returns a class of our own, which then imports torch itself and nothing else.
    """

    torch_class: str | Callable[[], type]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Op:
    """An operation on one feature map, with literal numbers.

    Class attributes, one set for each op:
    ``spelling``    the name in the language, without a kernel size;
    ``role``        conv, norm, activation, attention, pool, regulariser, scale, linear;
    ``sized``       True when the spelling ends in KxK (``conv3x3``), None when it may;
    ``takes_stride`` how the block's stride reaches it: "conv" (by the rule for convs), "pool"
                    (always, when written without a size) or "" (never by itself);
    ``arguments``   the arguments in order, the first ``positional`` of them also without a name;
    ``moves``       it only puts values into other places, or leaves some out;
    ``selects``     each value that leaves is the largest of some that arrive;
    ``shape_rule``  what leaves for an arriving C x H x W, as the reference page prints it;
    ``cost_rule``   what it costs, likewise: formulas in C, H, W, the leaving side Ho and Wo, the arguments by their
                    names, K (kernel) and S (squeeze). Tests work them out and compare them with ``cost``.
    """

    spelling: ClassVar[str]
    role: ClassVar[str]
    sized: ClassVar[bool | None] = False
    takes_stride: ClassVar[str] = ""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    positional: ClassVar[int] = 1
    moves: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    shape_rule: ClassVar[str] = "C x H x W"
    cost_rule: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def bind(cls, kernel: int | None, given: dict[str, Any], context: Context) -> Op:
        """The op that a spelling means in its place. ``given``: field name -> checked value.

        Raises ArchitectureError when the arguments do not fit the arriving shape.
        """
        if lacking := cls.lacking(given):
            raise ArchitectureError(f"{cls.spelling} needs {', '.join(lacking)}")
        values = {name: float(value) if isinstance(value, Fraction) else value for name, value in given.items()}
        make: Callable[..., Op] = cls
        return make(**values) if kernel is None else make(kernel, **values)

    @classmethod
    def binds_itself(cls) -> bool:
        """Whether the op has a ``bind`` of its own."""
        own, plain = cls.bind.__func__, Op.bind.__func__  # type: ignore[attr-defined]  # classmethods have it
        return own is not plain

    @classmethod
    def spelled(cls, kernel: int | None) -> str:
        """The spelling with its kernel size: ``conv3x3``."""
        return cls.spelling if kernel is None else f"{cls.spelling}{kernel}x{kernel}"

    @classmethod
    def pools(cls, kernel: int | None) -> bool:
        """Whether the block's stride always reaches it, when it is written with that kernel size."""
        return kernel is None and cls.takes_stride == "pool"

    @classmethod
    def lacking(cls, given: Collection[str]) -> list[str]:
        """The arguments that must be written and are not among the fields ``given``."""
        if cls.binds_itself():
            return []  # its own ``bind`` supplies what is left out
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        return [argument.name for argument in cls.arguments if argument.field in needed and argument.field not in given]

    def output_shape(self, x: TensorShape) -> TensorShape:
        """The shape put out for an arriving ``x``. Raises ArchitectureError when it does not fit."""
        return x

    def cost(self, x: TensorShape) -> OpCost:
        """The cost for an arriving ``x``, one image."""
        return FREE

    def canonical(self, x: TensorShape) -> Op | None:
        """The simplest op of the same effect on an arriving ``x``; None when it changes nothing."""
        return self

    def values(self, low: float, high: float) -> tuple[float, float]:
        """Between which bounds what leaves lies, in training as well, where all that arrives lies in low..high."""
        return -math.inf, math.inf

    def module(self, x: TensorShape) -> Call:
        """The torch module for an arriving ``x``."""
        raise NotImplementedError

    def is_depthwise(self, x: TensorShape) -> bool:
        """Whether it convolves each channel of an arriving ``x`` by itself. A convolution of one channel is dense."""
        return False

    def receptive(self) -> tuple[int, int]:
        """(effective kernel, stride): what the op adds to the receptive field."""
        return 1, 1

    def to_json(self) -> dict[str, Any]:
        """``{"op": ..., field: value}``, fields at their default left out."""
        out: dict[str, Any] = {"op": self.spelling}
        for name, default in _defaults(type(self)):  # type: ignore[arg-type]  # mypy takes the hash of instances
            value = getattr(self, name)
            if value != default:
                out[name] = value.to_json() if isinstance(value, Op) else value
        return out

    def __str__(self) -> str:
        """The op as the language spells it, with literal numbers."""
        names = {argument.field: argument.name for argument in self.arguments}
        size, shown = "", []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "kernel" and self.sized is not False:
                size = f"{value}x{value}" if value else ""
            elif field.default is MISSING or value != field.default:
                shown.append(f"{names.get(field.name, field.name)}={_spell(value)}")
        return f"{self.spelling}{size}" + (f"({', '.join(shown)})" if shown else "")


@cache
def _defaults(cls: type[Op]) -> tuple[tuple[str, Any], ...]:
    """An op's fields with their defaults; MISSING, which nothing equals, where there is none."""
    return tuple((field.name, field.default) for field in fields(cls))


def _spell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


AnyOp = TypeVar("AnyOp", bound=Op)


class Registry:
    """The ops by their spelling. Filled at import, never changed afterwards."""

    def __init__(self) -> None:
        self.by_spelling: dict[str, type[Op]] = {}

    def add(self, cls: type[AnyOp]) -> type[AnyOp]:
        if cls.spelling in self.by_spelling:
            raise ValueError(f"two ops are spelled {cls.spelling!r}")
        self.by_spelling[cls.spelling] = cls
        return cls

    def from_json(self, data: Any) -> Op:
        """The op that ``to_json`` wrote. Raises ArchitectureError for anything else."""
        if not isinstance(data, dict) or not isinstance(data.get("op"), str):
            raise ArchitectureError(f'an op is a mapping with "op", found {str(data)[:80]!r}')
        cls = self.by_spelling.get(data["op"])
        if cls is None:
            raise ArchitectureError(f"unknown op {data['op'][:80]!r}; known ops: {', '.join(sorted(self.by_spelling))}")
        values = {}
        known = {field.name: field for field in fields(cls)}
        for key, value in data.items():
            if key == "op":
                continue
            if key not in known:
                raise ArchitectureError(
                    f"op {cls.spelling!r} has no field {str(key)[:80]!r}; it has: {', '.join(known) or 'none'}"
                )
            values[key] = self._checked(cls, key, value)
        missing = [name for name, field in known.items() if field.default is MISSING and name not in values]
        if missing:
            raise ArchitectureError(f"op {cls.spelling!r} lacks {', '.join(missing)}")
        return cls(**values)

    def _checked(self, cls: type[Op], key: str, value: Any) -> Any:
        argument = next((argument for argument in cls.arguments if argument.field == key), None)
        if argument is None:
            argument = Argument(key, key, "whole", "", *((1, MAX_KERNEL) if key == "kernel" else (0, MAX_CHANNELS)))
        if argument.kind == "activation":  # the one field that holds an op; activations hold none themselves
            value = (
                self.from_json(value) if isinstance(value, dict) and value.get("op") in self.activations() else value
            )
        return check_argument(cls.spelling, argument, value)

    def activations(self) -> tuple[str, ...]:
        """The spellings of the activations."""
        return tuple(spelling for spelling, op in self.by_spelling.items() if op.role == "activation")


def check_argument(spelling: str, argument: Argument, value: Any) -> Any:
    """``value`` as its kind: int for a whole number, float (a Fraction stays exact), text, activation op.

    Raises ArchitectureError when it is of the wrong kind or out of range.
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
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        raise ArchitectureError(f"{where} must be a number, found {str(value)[:80]!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ArchitectureError(f"{where} must be finite, found {value}")
    if argument.kind == "whole":
        if isinstance(value, float) or value != int(value):
            raise ArchitectureError(f"{where} must be a whole number, found {value}")
        value = int(value)
    if not argument.low <= value <= argument.high:
        raise ArchitectureError(f"{where} must lie in {argument.low:g}..{argument.high:g}, found {_spell(value)[:40]}")
    return float(value) if argument.kind == "number" and not isinstance(value, Fraction) else value


registry = Registry()
