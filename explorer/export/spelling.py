"""Conversion of ops with literal numbers to the space language.

The text is exact: the language reads it back as the same ops. It leaves out arguments that the language supplies.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.block import Step, steps
from explorer.networks.ops.base import Argument, Context, Op, TensorShape
from explorer.networks.ops.conv import Conv, DepthwiseConv
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.nested.fork import Fork
from explorer.networks.ops.nested.nesting import Nested
from explorer.networks.ops.nested.taps import From, Tap, Tapped
from explorer.networks.ops.pool import GLOBAL_POOLS
from explorer.networks.ops.window import Size, spell_size
from explorer.space.derive.binding import strides_by_rule
from explorer.space.derive.layer import Layer, Paths
from explorer.space.further_nodes import TapItem

# Fields that are written relative to the stage's width or the block's input channels if the ratio is simple.
RELATIVE = ("out", "squeeze", "groups")
POSITIONAL = ("out", "p", "factor", "number", "shares")  # conv3x3(16), drop(0.2), scale(0.5), part(1, 4)
MAX_RATIO_TERM = 64  # the largest numerator or denominator in w*3/8, so that the text stays readable
MAX_DENOMINATOR = 10_000  # of a number written as a fraction, such as 1/15


Kind = tuple[type[Op], Size | None, tuple[Any, ...]]  # the class of the op, its kernel, and its non-numeric arguments


class Place(NamedTuple):
    """The values of the language's variables for an op; the defaults are for ops outside of blocks.

    Attributes:
        width: ``w``, the width of the stage.
        in_channels: ``in``, the input channels of the block.
        stride: ``s``, the stride of the block.
        block: ``i``, the number of the block in the network, from 1.
        blocks: ``n``, the number of blocks in the network.
    """

    width: int | None = None
    in_channels: int | None = None
    stride: Size = 1
    block: int | None = None
    blocks: int | None = None


class Run(NamedTuple):
    """A sequence of ops with the variables that hold for it.

    Attributes:
        steps: The ops with their shapes.
        place: The variables.
        by_rule: Whether the rule for strides may apply; if not, each op states its own.
        states_all: Whether each op states its stride because no op around the run has that of the block.
    """

    steps: tuple[Step, ...]
    place: Place
    by_rule: bool = True
    states_all: bool = False

    def supplied_strides(self) -> list[Size]:
        """Return the stride that the language gives each op if the text states none."""
        stride = self.place.stride
        by_rule = strides_by_rule(_layers(self.steps), stride)
        strides = [step.op.receptive()[1] for step in self.steps]
        if stride == 1 or (strides == by_rule and self.by_rule):
            return by_rule
        # One op written with `s` replaces the rule. If that does not give these strides, each op states its own.
        is_stated = not self.states_all and set(strides) <= {1, stride} and all(map(_states_stride, self.steps))
        others = 1 if is_stated else 0
        return [stride if _pools(step.op) else others for step in self.steps]


def _states_stride(step: Step) -> bool:
    """Return whether the text of an op can have its stride, or the op has none."""
    return step.op.receptive()[1] == 1 or any(argument.field == "stride" for argument in step.op.arguments)


def spell_runs(runs: list[Run], classes: int) -> list[str]:
    """Write runs of ops in the space language.

    Runs with the same ops but other numbers get the same text if possible: numbers that vary with the stage's width are
    written in terms of ``w``.

    Args:
        runs: The runs.
        classes: Number of classes of the network, the default width of a linear layer.

    Returns:
        The text of each run.
    """
    runs = [run._replace(steps=_without_tapped(run.steps)) for run in runs]
    texts = [""] * len(runs)
    groups: dict[tuple[Kind, ...], list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(tuple(map(_kind, run.steps)), []).append(index)
    for members in groups.values():
        similar = [runs[index] for index in members]
        columns = zip(*(zip(run.steps, run.supplied_strides()) for run in similar))
        words = [_spell_column(list(column), [run.place for run in similar], classes) for column in columns]
        for index, text in zip(members, zip(*words)):
            texts[index] = " ".join(text)
    return texts


def spell_merge(merge: Merge) -> str:
    """Write a merge in the space language.

    Args:
        merge: The merge.
    """
    given = [f"{argument.name}={exact(getattr(merge, argument.field))}" for argument in merge.arguments]
    return merge.spelling + (f"({', '.join(given)})" if given else "")


def exact(value: float | Fraction) -> str:
    """Write a number so that the language reads exactly this value: 0.1, 1/15, 12345678901234567/1e20.

    Args:
        value: The number, finite.
    """
    if value < 0:
        return f"-{exact(-value)}"
    number = value if isinstance(value, Fraction) else _simplest(value)
    short = f"{float(number):.8g}"
    if Fraction(short) == number:
        return short
    if number.denominator <= MAX_DENOMINATOR:
        return str(number)
    zeros = next(zeros for zeros in range(400) if 10**zeros % number.denominator == 0)
    return f"{number * 10**zeros}/1e{zeros}"


def _simplest(value: float) -> Fraction:
    """Return the simplest fraction whose float is ``value``: 1/15 for 0.06666666666666667."""
    near = Fraction(value).limit_denominator(MAX_DENOMINATOR)
    return near if float(near) == value else Fraction(repr(value))


def _without_tapped(given: Iterable[Step]) -> tuple[Step, ...]:
    """Return the ops with those in ``Tapped`` in its place."""
    out: list[Step] = []
    for step in given:
        out += steps(step.op.ops, step.x)[0] if isinstance(step.op, Tapped) else [step]
    return tuple(out)


def _is_global(op: Op) -> bool:
    return isinstance(op, GLOBAL_POOLS)


def _layers(given: Iterable[Step]) -> list[Layer]:
    """Return the ops as layers without a stride, as far as the rule for strides reads them."""
    layers = []
    for step in given:
        op = step.op
        if isinstance(op, (Tap, From)):
            layers.append(Layer(TapItem("tap", "", (1, 1)), None, {}, False, (1, 1), None))
        elif isinstance(op, Fork):
            paths = Paths(op.spelling, tuple(tuple(_layers(steps(path, step.x)[0])) for path in op.paths))
            pools = any(layer.pools for path in paths.layers for layer in path)
            layers.append(Layer(paths, None, {}, False, (1, 1), None, pools=pools))
        else:
            layers.append(Layer(_spelled_class([step]), op.spelled_size, {}, False, (1, 1), None, pools=_pools(op)))
    return layers


def _kind(step: Step) -> Kind:
    """Return the key of ops that are written in the same way."""
    op = step.op
    if isinstance(op, Nested):
        inner = tuple(tuple(map(_kind, steps(path, step.x)[0])) for path in op.inner())
        return type(op), None, inner or (str(op),)
    nested = tuple(str(getattr(op, a.field, "")) for a in op.arguments if a.kind in ("activation", "word"))
    return (_spelled_class([step]), getattr(op, "kernel", None), nested)


def _spelled_class(steps: list[Step]) -> type[Op]:
    """Return the class that the text names: ``dwconv`` if all convolutions are depthwise."""
    is_depthwise = all(type(step.op) is Conv and step.op.is_depthwise(step.x) for step in steps)
    return DepthwiseConv if is_depthwise else type(steps[0].op)


def _pools(op: Op) -> bool:
    """Return whether the text of the op has no size, so that the op takes the block's stride."""
    return op.pools(op.spelled_size)


def _spell_column(column: list[tuple[Step, Size]], places: list[Place], classes: int) -> list[str]:
    """Write one op of each run, without the arguments that the language supplies."""
    ops = [step.op for step, _ in column]
    if isinstance(ops[0], Nested):
        return _spell_nested(column, places, classes)
    cls = _spelled_class([step for step, _ in column])
    contexts = [Context(step.x, place.width, own, classes) for (step, own), place in zip(column, places)]
    given = _arguments(cls, ops, contexts, places)
    texts: dict[Argument, list[str]] = {}
    for argument in given:
        others = {other: values for other, values in given.items() if other is not argument}
        is_supplied = _reads_back(cls, ops, others, contexts)
        if argument.field in RELATIVE and not all(is_supplied):
            is_supplied = [False] * len(ops)
        words = _values(argument, given[argument], places)
        texts[argument] = ["" if left_out else word for left_out, word in zip(is_supplied, words)]
    return [_text(cls, op, {a: words[index] for a, words in texts.items()}) for index, op in enumerate(ops)]


def _spell_nested(column: list[tuple[Step, Size]], places: list[Place], classes: int) -> list[str]:
    """Write one fork or tap of each run."""
    first = column[0][0].op
    if not isinstance(first, Fork):
        return [str(step.op) for step, _ in column]
    texts = []
    for number in range(len(first.inner())):
        runs = []
        for (step, own), place in zip(column, places):
            assert isinstance(step.op, Nested)
            ops = step.op.inner()[number]
            is_carrier = own == place.stride
            has_stride = (own == 0 or is_carrier or step.op.receptive()[1] != 1) and not any(map(_is_global, ops))
            path = steps(ops, step.x)[0][1 if first.is_split else 0 :]
            runs.append(Run(path, place if has_stride else place._replace(stride=1), is_carrier, own == 0))
        texts.append(spell_runs(runs, classes))
    name = "split" if first.is_split else first.spelling
    return [f"{name}({', '.join(text or 'identity' for text in paths)})" for paths in zip(*texts)]


def _reads_back(cls: type[Op], ops: list[Op], given: dict[Argument, list[Any]], contexts: list[Context]) -> list[bool]:
    """Return for each op whether the language, in its place, reads the arguments ``given`` as that op."""

    def reads(index: int) -> bool:
        values = {argument.field: values[index] for argument, values in given.items()}
        try:
            return cls.bind(ops[index].spelled_size, values, contexts[index]) == ops[index]
        except (ArchitectureError, TypeError):  # a required argument is missing
            return False

    return [reads(index) for index in range(len(ops))]


def _arguments(cls: type[Op], ops: list[Op], contexts: list[Context], places: list[Place]) -> dict[Argument, list[Any]]:
    """Return the arguments that describe these ops, with one value for each op."""
    given = {a: [getattr(op, a.field) for op in ops] for a in cls.arguments if hasattr(ops[0], a.field)}
    by_field = {argument.field: argument for argument in cls.arguments}
    if "ratio" in by_field:  # channels of the gated tensor / channels of the squeeze
        squeeze = by_field.get("squeeze")
        gates: list[Any] = ops
        ratios = [Fraction(context.shape.channels, gate.squeeze) for gate, context in zip(gates, contexts)]
        by_ratio = {by_field["ratio"]: ratios, **{a: values for a, values in given.items() if a is not squeeze}}
        related = squeeze in given and _relation(squeeze, given[squeeze], places)
        plain = len(set(ratios)) == 1 or not (related or any(ratio.denominator > 1 for ratio in ratios))
        is_read = min(ratios) >= 1  # the language reads a ratio below 1 as the share
        if is_read and plain and all(_reads_back(cls, ops, by_ratio, contexts)):
            return by_ratio
    return given


def _text(cls: type[Op], op: Op, given: dict[Argument, str]) -> str:
    """Write an op with the texts of its arguments."""
    first = sorted(given.items(), key=lambda each: each[0].field not in POSITIONAL)
    shown = [text if a.field in POSITIONAL else f"{a.name}={text}" for a, text in first if text]
    name = cls.spelled(op.spelled_size)
    return f"{name}({', '.join(shown)})" if shown else name


def _values(argument: Argument, values: list[Any], places: list[Place]) -> list[str]:
    """Write an argument's values: with one text for all if there is one, else each value by itself."""
    if argument.kind == "activation":
        one = TensorShape(1, 1, 1)
        return [_spell_column([(Step(value, one, one), 1)], [Place()], 1)[0] for value in values]
    if argument.kind == "word":
        return list(values)
    if argument.field == "stride":
        return ["s" if value == place.stride != 1 else spell_size(value) for value, place in zip(values, places)]
    if argument.kind == "size":
        return ["" if value is None else spell_size(value) for value in values]
    if None in values:  # a default of the op
        return ["" if value is None else exact(value) for value in values]
    shared = ""
    if argument.field in RELATIVE:
        shared = _relation(argument, values, places)
    elif len(set(values)) > 1 and argument.kind == "number":
        shared = _linear_growth(values, places)
    return [shared or exact(value) for value in values]


def _relation(argument: Argument, values: list[int], places: list[Place]) -> str:
    """Write numbers of channels as one text: ``w/4``, ``6*in``, ``w*3/8``, 32; empty if there is none.

    Output channels are written relative to the stage even if one number fits all.
    """
    constant = str(values[0]) if len(set(values)) == 1 else ""
    w = _ratio(values, [place.width for place in places], "w")
    inputs = _ratio(values, [place.in_channels for place in places], "in")
    texts = [text for text in (w, inputs) if text.count("*") + text.count("/") == 1] + [w, inputs]
    texts.insert(len(texts) - 2 if argument.field == "out" else 0, constant)
    return next(filter(None, texts), "")


def _ratio(values: list[int], bases: list[int | None], name: str) -> str:
    """Write ``w/4``, ``4*w`` or ``w*3/8`` if all values are this ratio of their bases; else nothing."""
    ratios = {Fraction(value, base) for value, base in zip(values, bases) if base}
    ratio = ratios.pop() if ratios else Fraction(0)
    if None in bases or ratios or max(ratio.numerator, ratio.denominator) > MAX_RATIO_TERM:
        return ""
    if ratio.denominator == 1:
        return f"{ratio.numerator}*{name}"
    return f"{name}/{ratio.denominator}" if ratio.numerator == 1 else f"{name}*{ratio.numerator}/{ratio.denominator}"


def _linear_growth(values: list[float], places: list[Place]) -> str:
    """Write ``0.2*i/n`` if the values grow linearly with the number of the block; else nothing."""
    known = [(value, p.block, p.blocks) for value, p in zip(values, places) if p.block and p.blocks]
    if len(known) < len(values):
        return ""
    value, block, blocks = max(known, key=lambda each: each[1])
    last = _simplest(value) * blocks / block
    fits = all(float(last * block / blocks) == value for value, block, blocks in known)
    return f"{exact(last)}*i/n" if fits and last.denominator <= MAX_DENOMINATOR else ""
