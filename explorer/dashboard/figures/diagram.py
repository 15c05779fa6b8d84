"""Diagrams of networks as graphviz DOT text, in the style of papers.

``block_dot`` draws one block: the branch on the right, the shortcut on the left, their merge, and the ops after it.
``network_dot`` draws the stages with their shapes. Colours show the role of an op and are readable on light and dark
backgrounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from explorer.dashboard.text import safe_text
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.nested.fork import Fork
from explorer.networks.ops.nested.nesting import Nested, leaves
from explorer.networks.ops.nested.taps import From, Tap, Tapped
from explorer.networks.ops.window import sides, spell_size

LINE = "#808080"
_FILL = {
    "conv": "#8DB9E8",
    "linear": "#8DB9E8",
    "norm": "#F2DE7E",
    "activation": "#A6D48F",
    "attention": "#F2A6B8",
    "pool": "#F0B27A",
}
_OTHER_FILL = "#D5D5D5"
PALE = f'shape=plaintext, style=solid, fontcolor="{LINE}", height=0.2, width=0, group=main'
SHORTCUT = "penwidth=2.6"  # thick, because it carries the signal past the branch
MAIN, BRANCH = "main", "branch"  # the two columns: graphviz aligns the nodes of a group
_GRAPH = f"""digraph {{
  graph [bgcolor=transparent, rankdir=TB, nodesep=0.35, ranksep=0.22, margin=0.05,
         fontname="Helvetica", fontsize=11, fontcolor="{LINE}", color="{LINE}"]
  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=12, fontcolor="#1A1A1A",
        color="{LINE}", height=0.32, width=1.5, margin="0.12,0.04"]
  edge [color="{LINE}", penwidth=1.4, arrowsize=0.7]
"""


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """Consecutive equal blocks of a stage.

    Attributes:
        stage: Number of the stage, counted from 1.
        first: Number of the first block in the stage, counted from 1.
        last: Number of the last block.
        block: The block.
        x: Input shape of each block.
        y: Output shape of each block.
    """

    stage: int
    first: int
    last: int
    block: Block
    x: TensorShape
    y: TensorShape

    @property
    def title(self) -> str:
        """Stage, blocks and kind of shortcut."""
        places = f"block {self.first}" if self.first == self.last else f"blocks {self.first}–{self.last}"
        return f"stage {self.stage}, {places} ({shortcut_kind(self.block)})"


def block_groups(architecture: Architecture) -> list[BlockGroup]:
    """The network's blocks, neighbours that are alike together."""
    groups: list[BlockGroup] = []
    for placed in architecture.blocks():
        last = groups[-1] if placed.number > 1 else None
        if last is not None and last.x == placed.x and last.block == placed.block:
            groups[-1] = replace(last, last=placed.number)
        else:
            groups.append(BlockGroup(placed.stage, placed.number, placed.number, placed.block, placed.x, placed.y))
    return groups


def shortcut_kind(block: Block) -> str:
    """Return "identity", "projection" (it contains a conv) or "changed" followed by "shortcut", or "no shortcut"."""
    if block.shortcut is None:
        return "no shortcut"
    if not block.shortcut:
        return "identity shortcut"
    has_conv = any(op.role == "conv" for op in leaves(block.shortcut))
    return "projection shortcut" if has_conv else "changed shortcut"


def op_label(op: Op) -> str:
    """Return an op as papers write it: ``3×3 conv, 32, /2``; other ops as the space language spells them."""
    if isinstance(op, Conv):
        parts = [f"{'×'.join(map(str, sides(op.kernel)))} {op.spelling}", str(op.out)]
        parts += [f"/{spell_size(op.stride)}"] if op.stride != 1 else []
        parts += [f"dilation {op.dilation}"] if op.dilation > 1 else []
        parts += [f"{op.groups} groups"] if op.groups > 1 else []
        parts += [f"padding {spell_size(op.padding)}"] if op.padding is not None else []
        return ", ".join(parts)
    if op.role == "activation":
        return type(op).__name__
    if op.role == "norm":
        return str(op).replace(op.spelling, op.spelling.strip("_").upper(), 1)
    return str(op)


def block_dot(group: BlockGroup) -> str:
    """Return the diagram of one block.

    A shared pre-activation is in a frame above the fork; a projection is labelled.
    """
    block, out = group.block, _Dot(repr(group))
    end = out.node(_shape(group.x), PALE)
    end = out.chain(end, MAIN, block.branch[: block.shared], frame="shared pre-activation")
    if block.shortcut is None:
        end = out.chain(end, MAIN, block.branch[block.shared :])
        end = out.join(end, out.node("no shortcut", PALE))
    else:
        fork = out.point()
        out.edge(end, fork, "arrowhead=none")
        # The shortcut comes first, so that graphviz puts it on the left.
        merge = out.merge(str(block.merge))
        arriving = out.chain(fork, MAIN, block.shortcut, heading=shortcut_kind(block).split()[0], line=SHORTCUT)
        # An identity is a straight line; the ops of a shortcut stay near the fork, above a long line.
        out.edge(arriving, merge, SHORTCUT if block.shortcut else f"{SHORTCUT}, weight=20")
        out.edge(out.chain(fork, BRANCH, block.branch[block.shared :]), merge)
        end = merge
    end = out.chain(end, MAIN, block.after)
    out.edge(end, out.node(_shape(group.y), PALE))
    return out.text()


def network_dot(architecture: Architecture) -> str:
    """Return the diagram of a network: input, stem, stages with shapes and numbers of blocks, head, classes."""
    out = _Dot(architecture.digest)
    shapes = architecture.stage_shapes()
    end = out.node(f"input {_shape(architecture.input)}", PALE)
    end = out.join(end, out.lines("stem: " + _listed(architecture.stem), _shape(shapes[0]), fill=_FILL["conv"]))
    for number, (stage, shape) in enumerate(zip(architecture.stages, shapes[1:]), 1):
        if stage.transition:
            end = out.join(end, out.lines("transition: " + _listed(stage.transition), fill=_FILL["pool"]))
        count = len(stage.blocks)
        kinds = [shortcut_kind(block) for block in stage.blocks]
        projected = [str(place) for place, kind in enumerate(kinds, 1) if kind == "projection shortcut"]
        texts = [f"stage {number}: {count} block{'s' if count > 1 else ''}", _shape(shape)]
        if projected:
            texts.append(f"projection in block{'s' if len(projected) > 1 else ''} {', '.join(projected)}")
        end = out.join(end, out.lines(*texts, fill=_OTHER_FILL))
    end = out.join(end, out.lines("head: " + _listed(architecture.head), fill=_FILL["linear"]))
    out.join(end, out.node(f"{architecture.classes} classes", PALE))
    return out.text()


def _shape(shape: TensorShape) -> str:
    return str(shape).replace("x", "×")


def _listed(ops: Iterable[Op]) -> str:
    return " – ".join(op_label(op) for op in ops) or "nothing"


class _Dot:
    """A DOT text under construction. Texts from the data are only labels; nodes are named by a hash and a number.

    The hash of ``content`` makes the names of two diagrams differ: a browser that replaces one by the other would
    otherwise keep the old shapes of nodes with equal names.
    """

    def __init__(self, content: str) -> None:
        self.prefix = f"n{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        self.parts: list[str] = []
        self.nodes = 0
        self.taps: dict[int, str] = {}  # the number of a tap -> the node of its tensor

    def text(self) -> str:
        return _GRAPH + "\n".join(f"  {part}" for part in self.parts) + "\n}\n"

    def _add(self, attributes: str) -> str:
        self.nodes += 1
        name = f"{self.prefix}_{self.nodes}"
        self.parts.append(f"{name} [{attributes}]")
        return name

    def node(self, label: str, attributes: str) -> str:
        return self._add(f'label="{safe_text(label, "dot", 60)}", {attributes}')

    def lines(self, *texts: str, fill: str, column: str = MAIN) -> str:
        label = "\\n".join(safe_text(text, "dot", 60) for text in texts)
        return self._add(f'label="{label}", fillcolor="{fill}", group={column}')

    def point(self, column: str = MAIN) -> str:
        return self._add(
            f'shape=point, width=0.07, height=0.07, label="", color="{LINE}", fillcolor="{LINE}", group={column}'
        )

    def merge(self, spelling: str, column: str = MAIN) -> str:
        shape = "circle, width=0.27, height=0.27, fixedsize=true" if spelling == "+" else "ellipse"
        return self.node(
            spelling, f'shape={shape}, style=filled, fillcolor="#FFFFFF", margin=0, penwidth=1.6, group={column}'
        )

    def fork(self, start: str, column: str, fork: Fork) -> str:
        """Draw the paths of a fork side by side; return the node of the join."""
        opening = self.point(column)
        self.edge(start, opening, "arrowhead=none")
        is_split = fork.is_split
        ends = [
            self.chain(opening, f"{column}_{number}", path[1:] if is_split else path)
            for number, path in enumerate(fork.paths)
        ]
        join = self.merge("split" if is_split else fork.spelling, column)
        for end in ends:
            self.edge(end, join)
        return join

    def read(self, op: From, column: str) -> str:
        """Draw a dashed line from the tensor of a tap; return its end."""
        end = self.point(column)
        self.edge(self.taps[op.number], end, "arrowhead=none, style=dashed")
        return end

    def edge(self, start: str, end: str, attributes: str = "") -> None:
        self.parts.append(f"{start} -> {end}" + (f" [{attributes}]" if attributes else ""))

    def join(self, start: str, end: str, attributes: str = "") -> str:
        self.edge(start, end, attributes)
        return end

    def chain(
        self, start: str, column: str, ops: Iterable[Op], *, frame: str = "", heading: str = "", line: str = ""
    ) -> str:
        """Draw ops below each other; return the last node, or ``start`` without ops.

        Args:
            start: The node above the ops.
            column: ``MAIN`` or ``BRANCH``.
            ops: The ops.
            frame: Name of a frame around the ops; no frame if empty.
            heading: First line of the first op's label.
            line: Attributes of the edges.
        """
        ops = tuple(ops)
        if not ops:
            return start
        if any(isinstance(op, Nested) for op in ops):
            for place, op in enumerate(ops):
                if isinstance(op, Fork):
                    start = self.fork(start, column, op)
                elif isinstance(op, Tap):
                    self.taps[op.number] = start
                elif isinstance(op, From):
                    start = self.read(op, column)
                else:
                    inner = op.inner() if isinstance(op, Tapped) else ((op,),)
                    named = "" if place else heading
                    start = self.chain(start, column, inner[0], heading=named, line=line)
            return start
        if frame:
            self.parts.append(f"subgraph cluster_{self.prefix} {{ style=dashed; margin=10;")
        made = []
        for place, op in enumerate(ops):
            lines = [heading, op_label(op)] if heading and not place else [op_label(op)]
            made.append(self.lines(*lines, fill=_FILL.get(op.role, _OTHER_FILL), column=column))
        if frame:
            note = self.node(frame, PALE.replace(f"group={MAIN}", "fontsize=11"))
            self.parts.append(f"{{ rank=same; {made[0]} -> {note} [style=invis] }}")
            self.parts.append("}")
        for end in made:
            start = self.join(start, end, f"{line}, weight=20" if line else "")
        return start
