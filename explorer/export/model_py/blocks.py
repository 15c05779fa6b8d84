"""Generated classes of residual blocks; blocks that differ only in numbers share a class with parameters."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

from explorer.export.model_py.calls import Column, Layer, Parameters, layers_of, write_layers
from explorer.export.model_py.printing import LINE_LENGTH, Written, docstring, lines_of, literal, method, sequential
from explorer.networks.block import Block, Parts
from explorer.networks.drawing import op_name, op_names
from explorer.networks.ops.base import Call, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.walk import PlacedBlock

Structure = tuple[Any, ...]


class Calls(NamedTuple):
    """The layers of a block by the attribute that holds them.

    Attributes:
        pre: Layers that branch and shortcut share.
        branch: Layers of the residual branch.
        shortcut: Layers of the shortcut, empty for the identity; None without a shortcut.
        merge: The module of the merge; None for a plain sum.
        after: Layers after the merge.
    """

    pre: list[Layer]
    branch: list[Layer]
    shortcut: list[Layer] | None
    merge: Layer | None
    after: list[Layer]


def calls_of(parts: Parts) -> Calls:
    """Return the layers of a block.

    Args:
        parts: The ops of the block with their shapes.
    """
    shortcut = None if parts.shortcut is None else layers_of(parts.shortcut)
    merge = None
    if parts.merge is not None:
        _, x, y = parts.merge
        call = parts.merge.op.module(x)
        merge = None if call is None else Layer(call, x, y, x.channels == y.channels)
    return Calls(layers_of(parts.pre), layers_of(parts.branch), shortcut, merge, layers_of(parts.after))


def structure_of(calls: Calls) -> Structure:
    """Return the key of blocks that share a class: everything but numbers.

    Args:
        calls: The layers of a block.
    """
    return tuple(
        None if part is None else tuple(_classes(layer.call) for layer in ([part] if isinstance(part, Layer) else part))
        for part in calls
    )


def _classes(call: Call) -> Structure:
    """Return the class that a call constructs, and those of the calls among its arguments."""
    return (call.torch_class, *(_classes(argument) if isinstance(argument, Call) else None for argument in call.args))


class BlockClass:
    """The generated class of blocks with one structure.

    Args:
        name: Name of the class.
        uses: The blocks that the class is for; of equal blocks only the first.
    """

    def __init__(self, name: str, uses: list[PlacedBlock]):
        self.name = name
        self.uses = uses
        self.positions = {_identity(placed): position for position, placed in enumerate(uses)}
        self.calls = [calls_of(placed.parts) for placed in uses]
        parameters = Parameters(
            tuple(placed.x.channels for placed in uses), tuple(placed.y.channels for placed in uses)
        )
        self.body = self._attributes(parameters)
        self.columns = parameters.columns()
        self.widths = parameters.widths

    def call(self, placed: PlacedBlock) -> Written:
        """Write the constructor call of a block: channels by position, other numbers by name.

        Args:
            placed: The block.
        """
        position = self.positions[_identity(placed)]
        values = {name: literal(column[position]) for name, column in self.columns.items()}
        arguments = [value if name in self.widths else f"{name}={value}" for name, value in values.items()]
        return Written(self.name, tuple(arguments))

    def _attributes(self, parameters: Parameters) -> list[str]:
        """Write the lines of ``__init__`` that construct the layers."""
        lines: list[str] = []

        def write(attribute: str, in_channels: str) -> str:
            """Write one attribute; return the code for its output channels."""
            columns = [list(column) for column in zip(*(getattr(calls, attribute) or () for calls in self.calls))]
            if not columns:
                return in_channels
            written, out_channels = write_layers(columns, in_channels, parameters)
            lines.extend(lines_of(sequential(written), 8, f"self.{attribute} = "))
            return out_channels

        start = write("pre", parameters.in_channels())
        out_channels = write("branch", start)
        merged = write("shortcut", start)
        merges = [calls.merge for calls in self.calls if calls.merge]
        if merges:
            written, out_channels = write_layers([merges], merged, parameters)
            lines.extend(lines_of(written[0], 8, "self.merge = "))
        write("after", out_channels)
        return lines

    def lines(self) -> list[str]:
        """Return the lines of the class."""
        lines = [f"class {self.name}(nn.Module):", *docstring(*self._about()), ""]
        if self.body:
            types = {name: _type(column) for name, column in self.columns.items()}
            lines += method("__init__", types, "None", ["        super().__init__()", *self.body])
            lines.append("")
        return lines + method("forward", {"x": "Tensor"}, "Tensor", self._forward())

    def _forward(self) -> list[str]:
        """Write the lines of ``forward``, one step a line, each with its layers as a comment."""
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
        """Return the ops of the branch without numbers; ``convKxK`` if the blocks differ in kernel size."""
        branches = (op_names((*placed.parts.pre, *placed.parts.branch)) for placed in self.uses)
        return [words[0] if len(set(words)) == 1 else _any_size(words[0]) for words in zip(*branches)]

    def _about(self) -> tuple[str, str]:
        """Write the docstring: the block in the space language without numbers, and where the shortcut leaves."""
        block = self.uses[0].block
        words = self._branch_words()
        text = " ".join([*words, block.merge.spelling, *map(op_name, block.after)])
        if block.shortcut is None:
            return text, "Without a shortcut."
        if not block.shared:
            return text, ""
        shared = " ".join(words[: block.shared])
        return text, f"The shortcut leaves after {shared} (He et al. 2016, arXiv:1603.05027, appendix)."


def _step(statement: str, words: list[str]) -> list[str]:
    """Write a statement with its layers as a comment: after it, or above if the line is too long."""
    comment = " ".join(words)
    line = f"        {statement}  # {comment}" if comment else f"        {statement}"
    if len(line) <= LINE_LENGTH:
        return [line]
    above = textwrap.wrap(comment, LINE_LENGTH - 10, break_on_hyphens=False)
    return [*(f"        # {part}" for part in above), f"        {statement}"]


def _type(column: Column) -> str:
    """Return the type annotation of a parameter."""
    kinds = {type(value) for value in column}
    if tuple in kinds:
        return "int | tuple[int, int]"
    return kinds.pop().__name__ if len(kinds) == 1 else "float"


def _any_size(word: str) -> str:
    """Replace the sizes in the name of an op by ``KxK``."""
    return re.sub(r"(?<!\d)\d+x\d+", "KxK", word)


def name_of(block: Block) -> str:
    """Return a class name that describes a block: SEProjectionBottleneck.

    Args:
        block: The block.
    """
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
    """Remove duplicates: of equal blocks with equal input shapes only the first remains.

    Args:
        blocks: The blocks of a network.
    """
    first: dict[tuple[Block, TensorShape], PlacedBlock] = {}
    for placed in blocks:
        first.setdefault(_identity(placed), placed)
    return list(first.values())


def _identity(placed: PlacedBlock) -> tuple[Block, TensorShape]:
    """Return the key of blocks that construct equal layers."""
    return placed.block, placed.x


def block_classes(blocks: Iterable[PlacedBlock], taken: set[str]) -> dict[Structure, BlockClass]:
    """Return the classes of the blocks of a network.

    Args:
        blocks: The blocks.
        taken: Names of other classes in the file.

    Returns:
        Structure -> class, in the order of first use.
    """
    groups: dict[Structure, list[PlacedBlock]] = {}
    for placed in distinct_blocks(blocks):
        groups.setdefault(structure_of(calls_of(placed.parts)), []).append(placed)
    classes: dict[Structure, BlockClass] = {}
    names = set(taken)
    for key, members in groups.items():
        base = name = name_of(members[0].block)
        number = 1
        while name in names:
            number += 1
            name = f"{base}{number}"
        names.add(name)
        classes[key] = BlockClass(name, members)
    return classes
