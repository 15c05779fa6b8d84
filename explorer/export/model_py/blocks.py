"""Residual blocks as classes: those that differ only in numbers share one, with the numbers as parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

from explorer.export.drawing import op_name, op_names
from explorer.export.model_py.calls import Column, Layer, Parameters, layers_of, write_layers
from explorer.export.model_py.printing import LINE_LENGTH, Written, docstring, lines_of, literal, method, sequential
from explorer.networks.block import Block, Parts
from explorer.networks.ops.base import Call, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.walk import PlacedBlock

Skeleton = tuple[Any, ...]


class Calls(NamedTuple):
    """A block's layers by the attribute that holds them; ``shortcut`` is None where there is none,
    ``merge`` where it is a plain sum."""

    pre: list[Layer]
    branch: list[Layer]
    shortcut: list[Layer] | None
    merge: Layer | None
    after: list[Layer]


def calls_of(parts: Parts) -> Calls:
    shortcut = None if parts.shortcut is None else layers_of(parts.shortcut)
    merge = None
    if parts.merge is not None:
        _, x, y = parts.merge
        call = parts.merge.op.module(x)
        merge = None if call is None else Layer(call, x, y, x.channels == y.channels)
    return Calls(layers_of(parts.pre), layers_of(parts.branch), shortcut, merge, layers_of(parts.after))


def skeleton(calls: Calls) -> Skeleton:
    """What two blocks must have in common to share a class: everything but numbers."""
    return tuple(
        None if part is None else tuple(_head(layer.call) for layer in ([part] if isinstance(part, Layer) else part))
        for part in calls
    )


def _head(call: Call) -> Skeleton:
    return (call.torch_class, *(_head(argument) if isinstance(argument, Call) else None for argument in call.args))


class BlockClass:
    """The class of blocks with one skeleton. ``uses``: those that it is for, of equal ones the first."""

    def __init__(self, name: str, uses: list[PlacedBlock]):
        self.name = name
        self.uses = uses
        self.places = {_use(placed): place for place, placed in enumerate(uses)}
        self.calls = [calls_of(placed.parts) for placed in uses]
        parameters = Parameters(
            tuple(placed.x.channels for placed in uses), tuple(placed.y.channels for placed in uses)
        )
        self.body = self._attributes(parameters)
        self.columns = parameters.columns()
        self.widths = parameters.widths

    def call(self, placed: PlacedBlock) -> Written:
        """How a block is made: channels by position, other numbers by name."""
        place = self.places[_use(placed)]
        values = {name: literal(column[place]) for name, column in self.columns.items()}
        arguments = [value if name in self.widths else f"{name}={value}" for name, value in values.items()]
        return Written(self.name, tuple(arguments))

    def _attributes(self, parameters: Parameters) -> list[str]:
        """The lines of ``__init__`` that make the layers."""
        lines: list[str] = []

        def write(attribute: str, arriving: str) -> str:
            """Writes one attribute; returns the channels that leave it."""
            columns = [list(column) for column in zip(*(getattr(calls, attribute) or () for calls in self.calls))]
            if not columns:
                return arriving
            written, leaving = write_layers(columns, arriving, parameters)
            lines.extend(lines_of(sequential(written), 8, f"self.{attribute} = "))
            return leaving

        start = write("pre", parameters.arriving())
        leaving = write("branch", start)
        arriving = write("shortcut", start)
        merges = [calls.merge for calls in self.calls if calls.merge]
        if merges:
            written, leaving = write_layers([merges], arriving, parameters)
            lines.extend(lines_of(written[0], 8, "self.merge = "))
        write("after", leaving)
        return lines

    def lines(self) -> list[str]:
        lines = [f"class {self.name}(nn.Module):", *docstring(*self._about()), ""]
        if self.body:
            types = {name: _type(column) for name, column in self.columns.items()}
            lines += method("__init__", types, "None", ["        super().__init__()", *self.body])
            lines.append("")
        return lines + method("forward", {"x": "Tensor"}, "Tensor", self._forward())

    def _forward(self) -> list[str]:
        """A step a line, with the layers that it takes in their order."""
        calls, block = self.calls[0], self.uses[0].block
        words = self._branch_words()
        shared, branch = words[: block.shared], words[block.shared :]
        lines = _step("x = self.pre(x)", shared) if shared else []
        if calls.shortcut is None and not block.after:
            return lines + _step("return self.branch(x)" if branch else "return x", branch)
        lines += _step("y = self.branch(x)", branch) if branch else []
        y = "y" if branch else "x"
        shortcut, after = (" ".join(map(op_name, ops or ())) for ops in (block.shortcut, block.after))
        if calls.shortcut is not None:
            x = "self.shortcut(x)" if shortcut else "x"
            y = f"{y} + {x}" if calls.merge is None else f"self.merge({y}, {x})"
            if shortcut and after:
                lines += _step(f"y = {y}", [shortcut])
                y, shortcut = "y", ""
        return lines + _step(f"return self.after({y})" if after else f"return {y}", [after or shortcut])

    def _branch_words(self) -> list[str]:
        """The ops of the branch without their numbers; ``convKxK`` where the blocks differ in the size."""
        branches = (op_names((*placed.parts.pre, *placed.parts.branch)) for placed in self.uses)
        return [words[0] if len(set(words)) == 1 else _any_size(words[0]) for words in zip(*branches)]

    def _about(self) -> tuple[str, str]:
        """The block as the space language draws it, without its numbers, and where the shortcut leaves."""
        block = self.uses[0].block
        words = self._branch_words()
        drawn = " ".join([*words, block.merge.spelling, *map(op_name, block.after)])
        if block.shortcut is None:
            return drawn, "Without a shortcut."
        if not block.shared:
            return drawn, ""
        shared = " ".join(words[: block.shared])
        return drawn, f"The shortcut leaves after {shared} (He et al. 2016, arXiv:1603.05027, appendix)."


def _step(statement: str, words: list[str]) -> list[str]:
    """A statement with the layers that it runs as a comment behind it, or above where they are too many."""
    comment = " ".join(words)
    line = f"        {statement}  # {comment}" if comment else f"        {statement}"
    if len(line) <= LINE_LENGTH:
        return [line]
    above = textwrap.wrap(comment, LINE_LENGTH - 10, break_on_hyphens=False)
    return [*(f"        # {part}" for part in above), f"        {statement}"]


def _type(column: Column) -> str:
    kinds = {type(value) for value in column}
    return kinds.pop().__name__ if len(kinds) == 1 else "float"


def _any_size(word: str) -> str:
    return word.rstrip("0123456789x") + "KxK"


def name_of(block: Block) -> str:
    """A class name that says what a reader would: SEProjectionBottleneck."""
    attention = next((op.spelling.upper() for op in block.branch if op.role == "attention"), "")
    kernels = [op.kernel for op in block.branch if isinstance(op, Conv)]
    base = "Bottleneck" if len(kernels) > 2 and kernels[0] == kernels[-1] == 1 else "Block"
    if block.merge.spelling == "cat":
        base = "DenseLayer"
    if block.shortcut is None:
        return f"{attention}Plain{base}"
    if not block.shortcut:
        return f"{attention}{'Opening' if block.shared else ''}{base}"
    if any(isinstance(op, Conv) for op in block.shortcut):
        return f"{attention}Projection{base}"
    words = block.shortcut[0].spelling.removeprefix("shortcut_").split("_")
    return f"{attention}{''.join(map(str.capitalize, words))}Shortcut{base}"


def distinct_blocks(blocks: Iterable[PlacedBlock]) -> list[PlacedBlock]:
    """The blocks, of those that are equal and have equal arriving shapes the first."""
    first: dict[tuple[Block, TensorShape], PlacedBlock] = {}
    for placed in blocks:
        first.setdefault(_use(placed), placed)
    return list(first.values())


def _use(placed: PlacedBlock) -> tuple[Block, TensorShape]:
    return placed.block, placed.x


def block_classes(blocks: Iterable[PlacedBlock], taken: set[str]) -> dict[Skeleton, BlockClass]:
    """The classes that blocks need, by skeleton, in the order in which they are first used.
    ``taken``: names that other classes of the file bear."""
    groups: dict[Skeleton, list[PlacedBlock]] = {}
    for placed in distinct_blocks(blocks):
        groups.setdefault(skeleton(calls_of(placed.parts)), []).append(placed)
    classes: dict[Skeleton, BlockClass] = {}
    names = set(taken)
    for key, members in groups.items():
        wanted = name = name_of(members[0].block)
        number = 1
        while name in names:
            number += 1
            name = f"{wanted}{number}"
        names.add(name)
        classes[key] = BlockClass(name, members)
    return classes
