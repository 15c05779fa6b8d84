"""Ops with literal numbers back to the space language, exactly and no longer than needed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.block import Step
from explorer.networks.ops.base import Argument, Context, Op, TensorShape
from explorer.networks.ops.conv import DepthwiseConv
from explorer.networks.ops.merge import Merge
from explorer.space.derive.blocks import strides_by_rule
from explorer.space.derive.layers import Layer

# Numbers of channels: said in relation to the stage's width or the block's input where that is simple.
RELATIVE = ("out", "squeeze", "groups")
UNNAMED = ("out", "p", "factor")  # conv3x3(16), drop(0.2), scale(0.5)
SIMPLE = 64  # the largest number in such a relation
SMALL = 10_000  # the largest denominator of a number written as a fraction


Kind = tuple[type[Op], int | None, tuple[str, ...]]  # the spelled op, its kernel, and its arguments that are words


class Place(NamedTuple):
    """The variables of the language where an op stands: w, in, s, i, n; None where there is no block."""

    width: int | None = None
    arriving: int | None = None
    stride: int = 1
    block: int | None = None
    blocks: int | None = None


class Run(NamedTuple):
    """Ops one after the other, in one place."""

    steps: tuple[Step, ...]
    place: Place

    def supplied_strides(self) -> list[int]:
        """The stride that the language gives each op that is written without one."""
        stride = self.place.stride
        layers = [
            Layer(_spelled_as([step]), _size(step.op), {}, False, (1, 1), None, pools=_pools(step.op))
            for step in self.steps
        ]
        by_rule = strides_by_rule(layers, stride)
        strides = [step.op.receptive()[1] for step in self.steps]
        if stride == 1 or strides == by_rule:
            return by_rule
        # One op written with `s` takes the rule's place. Where even that does not say it, each op names its own.
        others = 1 if set(strides) <= {1, stride} else 0
        return [stride if _pools(step.op) else others for step in self.steps]


def spell_runs(runs: list[Run], classes: int) -> list[str]:
    """The text of each run. Runs of the same ops with other numbers are spelled alike where they can be,
    so that what varies with the stage's width is written with ``w``."""
    texts = [""] * len(runs)
    groups: dict[tuple[Kind, ...], list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(tuple(map(_kind, run.steps)), []).append(index)
    for members in groups.values():
        alike = [runs[index] for index in members]
        columns = zip(*(zip(run.steps, run.supplied_strides()) for run in alike))
        words = [_spell_column(list(column), [run.place for run in alike], classes) for column in columns]
        for index, text in zip(members, zip(*words)):
            texts[index] = " ".join(text)
    return texts


def spell_merge(merge: Merge) -> str:
    given = [f"{argument.name}={exact(getattr(merge, argument.field))}" for argument in merge.arguments]
    return merge.spelling + (f"({', '.join(given)})" if given else "")


def exact(value: float | Fraction) -> str:
    """A number as the language reads it back without loss: 0.1, 1/15, 12345678901234567/1e20."""
    if value < 0:
        return f"-{exact(-value)}"
    number = value if isinstance(value, Fraction) else _simplest(value)
    short = f"{float(number):.8g}"
    if Fraction(short) == number:
        return short
    if number.denominator <= SMALL:
        return str(number)
    zeros = next(zeros for zeros in range(400) if 10**zeros % number.denominator == 0)
    return f"{number * 10**zeros}/1e{zeros}"


def _simplest(value: float) -> Fraction:
    """The simplest number that reads as ``value``: 1/15 for 0.06666666666666667."""
    near = Fraction(value).limit_denominator(SMALL)
    return near if float(near) == value else Fraction(repr(value))


def _kind(step: Step) -> Kind:
    op = step.op
    nested = tuple(str(getattr(op, a.field, "")) for a in op.arguments if a.kind in ("activation", "word"))
    return (_spelled_as([step]), getattr(op, "kernel", None), nested)


def _spelled_as(steps: list[Step]) -> type[Op]:
    return DepthwiseConv if all(step.op.is_depthwise(step.x) for step in steps) else type(steps[0].op)


def _pools(op: Op) -> bool:
    """Whether the op is spelled without a size and then takes the block's stride."""
    return op.pools(_size(op))


def _size(op: Op) -> int | None:
    """The KxK of the spelling. Where the size may be left out, it is when the op pools by its stride."""
    if op.sized is False:
        return None
    window: Any = op
    pools = op.sized is None and window.kernel == window.stride > 1 and not window.padding
    return None if pools else window.kernel


def _spell_column(column: list[tuple[Step, int]], places: list[Place], classes: int) -> list[str]:
    """One op of each run. An argument is left out where the language supplies it."""
    ops = [step.op for step, _ in column]
    cls = _spelled_as([step for step, _ in column])
    contexts = [Context(step.x, place.width, own, classes) for (step, own), place in zip(column, places)]
    given = _given(cls, ops, contexts, places)
    texts: dict[Argument, list[str]] = {}
    for argument in given:
        others = {other: values for other, values in given.items() if other is not argument}
        supplied = _said(cls, ops, others, contexts)
        if argument.field in RELATIVE and not all(supplied):
            supplied = [False] * len(ops)
        words = _values(argument, given[argument], places)
        texts[argument] = ["" if left_out else word for left_out, word in zip(supplied, words)]
    return [_text(cls, op, {a: words[index] for a, words in texts.items()}) for index, op in enumerate(ops)]


def _said(cls: type[Op], ops: list[Op], given: dict[Argument, list[Any]], contexts: list[Context]) -> list[bool]:
    """For each op whether the language, in its place, reads the arguments ``given`` as that op."""

    def reads(index: int) -> bool:
        values = {argument.field: values[index] for argument, values in given.items()}
        try:
            return cls.bind(_size(ops[index]), values, contexts[index]) == ops[index]
        except (ArchitectureError, TypeError):  # an argument that must be written is left out
            return False

    return [reads(index) for index in range(len(ops))]


def _given(cls: type[Op], ops: list[Op], contexts: list[Context], places: list[Place]) -> dict[Argument, list[Any]]:
    """The arguments that say these ops, with the value of each op."""
    given = {a: [getattr(op, a.field) for op in ops] for a in cls.arguments if hasattr(ops[0], a.field)}
    by_field = {argument.field: argument for argument in cls.arguments}
    if "ratio" in by_field:  # of the gated tensor's channels to those of the squeeze
        squeeze = by_field.get("squeeze")
        gates: list[Any] = ops
        ratios = [Fraction(context.shape.channels, gate.squeeze) for gate, context in zip(gates, contexts)]
        by_ratio = {by_field["ratio"]: ratios, **{a: values for a, values in given.items() if a is not squeeze}}
        related = squeeze in given and _relation(squeeze, given[squeeze], places)
        plain = len(set(ratios)) == 1 or not (related or any(ratio.denominator > 1 for ratio in ratios))
        if plain and all(_said(cls, ops, by_ratio, contexts)):
            return by_ratio
    return given


def _text(cls: type[Op], op: Op, given: dict[Argument, str]) -> str:
    shown = [text if a.field in UNNAMED else f"{a.name}={text}" for a, text in given.items() if text]
    size = _size(op)
    name = cls.spelling + (f"{size}x{size}" if size else "")
    return f"{name}({', '.join(shown)})" if shown else name


def _values(argument: Argument, values: list[Any], places: list[Place]) -> list[str]:
    """The texts of an argument's values: one for all where there is one, else each by itself."""
    if argument.kind == "activation":
        one = TensorShape(1, 1, 1)
        return [_spell_column([(Step(value, one, one), 1)], [Place()], 1)[0] for value in values]
    if argument.kind == "word":
        return list(values)
    if argument.field == "stride":
        return ["s" if value == place.stride > 1 else str(value) for value, place in zip(values, places)]
    shared = ""
    if argument.field in RELATIVE:
        shared = _relation(argument, values, places)
    elif len(set(values)) > 1 and argument.kind == "number":
        shared = _decay(values, places)
    return [shared or exact(value) for value in values]


def _relation(argument: Argument, values: list[int], places: list[Place]) -> str:
    """One text for numbers of channels: ``w/4``, ``6*in``, ``w*3/8``, 32; empty when there is none.
    Outputs are said in relation to the stage even where a number would do."""
    constant = str(values[0]) if len(set(values)) == 1 else ""
    w = _share(values, [place.width for place in places], "w")
    arriving = _share(values, [place.arriving for place in places], "in")
    texts = [text for text in (w, arriving) if text.count("*") + text.count("/") == 1] + [w, arriving]
    texts.insert(len(texts) - 2 if argument.field == "out" else 0, constant)
    return next(filter(None, texts), "")


def _share(values: list[int], wholes: list[int | None], name: str) -> str:
    """``w/4``, ``4*w`` or ``w*3/8`` when all values are that share of their wholes, else nothing."""
    shares = {Fraction(value, whole) for value, whole in zip(values, wholes) if whole}
    share = shares.pop() if shares else Fraction(0)
    if None in wholes or shares or max(share.numerator, share.denominator) > SIMPLE:
        return ""
    if share.denominator == 1:
        return f"{share.numerator}*{name}"
    return f"{name}/{share.denominator}" if share.numerator == 1 else f"{name}*{share.numerator}/{share.denominator}"


def _decay(values: list[float], places: list[Place]) -> str:
    """``0.2*i/n`` when the values grow linearly with the block's place in the network, else nothing."""
    known = [(value, p.block, p.blocks) for value, p in zip(values, places) if p.block and p.blocks]
    if len(known) < len(values):
        return ""
    value, block, blocks = max(known, key=lambda each: each[1])
    top = _simplest(value) * blocks / block
    fits = all(float(top * block / blocks) == value for value, block, blocks in known)
    return f"{exact(top)}*i/n" if fits and top.denominator <= SMALL else ""
