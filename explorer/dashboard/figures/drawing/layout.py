"""The layout of a block and of a network: columns of aligned boxes with straight lines that do not cross."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from difflib import SequenceMatcher

from explorer.dashboard.figures.drawing.canvas import (
    FILLS,
    LINE_HEIGHT,
    OTHER_FILL,
    Box,
    Drawing,
    Frame,
    Joint,
    Line,
    Note,
    text_width,
)
from explorer.dashboard.figures.drawing.groups import BlockGroup, block_groups
from explorer.dashboard.figures.drawing.labels import op_label, shape_after, shape_text, shortcut_kind
from explorer.dashboard.text import safe_text
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.nested.fork import Fork
from explorer.networks.ops.nested.nesting import Nested
from explorer.networks.ops.nested.taps import From, Tap, Tapped

GAP = 16.0  # between boxes, for an arrow
APART = 22.0  # between columns
LEAST_WIDTH = 84.0  # of a box
PAD = 20.0  # text and border of a box
RADIUS = 9.0  # of a joint
MAX_TEXT = 60


def block_drawing(group: BlockGroup, other: BlockGroup | None = None) -> Drawing:
    """Return the drawing of one block: the branch, the shortcut on its left, their merge, and the ops after it.

    A shared pre-activation is in a frame above the fork; a projection is labelled.

    Args:
        group: The block.
        other: A block to compare it with; boxes that differ are marked.
    """
    block, shared = group.block, group.block.shared
    out = _Layout(f"{group.title}, {shape_text(group.x)} to {shape_text(group.y)}")
    marks = _Marks(block.branch, other.block.branch if other else None)
    branch = block.branch[shared:]
    y = out.note(0.0, 0.0, shape_text(group.x))
    top = y
    width = out.width([op for op in branch if not isinstance(op, Nested)], group.x)
    y, shape = out.chain(block.branch[:shared], 0.0, y, group.x, marks.of(0, shared), width=width)
    if shared and block.shortcut is not None:
        out.frame(top + GAP / 2, y + 6, "shared pre-activation")
        y += 6
    if block.shortcut is None:
        y, shape = out.chain(branch, 0.0, y, shape, marks.of(shared, len(block.branch)))
        y = out.note(0.0, y, "no shortcut", arrow=True)
    else:
        fork = y + GAP * 0.75
        out.add(Line(((0.0, y), (0.0, fork))))
        out.add(Joint(0.0, fork, 2.5))
        ends = _Marks(block.shortcut, other.block.shortcut if other and other.block.shortcut is not None else None)
        heading = shortcut_kind(block).split()[0] if block.shortcut else ""
        half = max(out.width(branch, shape), 2 * RADIUS) / 2
        side = max(out.width(block.shortcut, shape, heading), 8.0) / 2
        left = -(half + APART + side)
        bottom, _ = out.chain(branch, 0.0, fork, shape, marks.of(shared, len(block.branch)))
        out.add(Line(((0.0, fork), (left, fork)), thick=True))
        low, _ = out.chain(
            block.shortcut, left, fork, shape, ends.of(0, len(block.shortcut)), heading=heading, thick=True
        )
        y = out.joint(0.0, max(bottom, low) + GAP, str(block.merge), [(0.0, bottom, False), (left, low, True)])
    after = _Marks(block.after, other.block.after if other else None)
    y, _ = out.chain(block.after, 0.0, y, group.y, after.of(0, len(block.after)))
    out.note(0.0, y, shape_text(group.y), arrow=True)
    return out.drawing


def network_drawing(architecture: Architecture) -> Drawing:
    """Return the drawing of a network: input, stem, stages with their blocks, head; equal blocks are folded."""
    out = _Layout(f"network of {len(architecture.stages)} stages")
    shapes = architecture.stage_shapes()
    y = out.note(0.0, 0.0, f"input {shape_text(architecture.input)}")
    y = out.box(0.0, y, ("stem", *_listed(architecture.stem, architecture.input)), FILLS["conv"])
    groups = block_groups(architecture)
    for number, (stage, shape) in enumerate(zip(architecture.stages, shapes[1:]), 1):
        if stage.transition:
            y = out.box(0.0, y, ("transition", *_listed(stage.transition, None)), FILLS["pool"])
        top = y
        texts = [
            (f"{group.places}: {shortcut_kind(group.block)}{f', {group.count} times' if group.count > 1 else ''}",
             *_listed(group.block.branch, group.x))
            for group in groups
            if group.stage == number
        ]  # fmt: skip
        width = max(text_width(line) + PAD for lines in texts for line in lines)
        for lines in texts:
            y = out.box(0.0, y, lines, OTHER_FILL, width)
        out.frame(top + GAP / 2, y + 6, f"stage {number}: {shape_text(shape)}")
        y += 6
    y = out.box(0.0, y, ("head", *_listed(architecture.head, shapes[-1])), FILLS["linear"])
    out.note(0.0, y, f"{architecture.classes} classes", arrow=True)
    return out.drawing


def _listed(ops: Sequence[Op], x: TensorShape | None) -> list[str]:
    """Return ops in lines of limited length."""
    lines = [""]
    for op in ops:
        text = op_label(op, x)
        x = shape_after(op, x)
        joined = f"{lines[-1]} – {text}" if lines[-1] else text
        if len(joined) <= 44 or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(text)
    return [line for line in lines if line]


class _Marks:
    """Which ops of a sequence differ from those of another one; none without another one."""

    def __init__(self, ops: Sequence[Op], others: Sequence[Op] | None) -> None:
        self.places: set[int] = set()
        if others is not None:
            own, theirs = [str(op) for op in ops], [str(op) for op in others]
            for tag, start, end, _, _ in SequenceMatcher(None, own, theirs, autojunk=False).get_opcodes():
                if tag != "equal":
                    self.places.update(range(start, end))

    def of(self, start: int, end: int) -> set[int]:
        """Return the places in a part of the sequence, counted from its start."""
        return {place - start for place in self.places if start <= place < end}


class _Layout:
    """A drawing under construction. Methods take the lower end of what is above, and return that of what they drew."""

    def __init__(self, title: str) -> None:
        self.drawing = Drawing(title)
        self.taps: dict[int, tuple[float, float]] = {}  # the number of a tap -> the place of its tensor

    def add(self, *parts: Box | Line | Joint | Note | Frame) -> None:
        """Add parts."""
        self.drawing.parts.extend(parts)

    def note(self, x: float, y: float, text: str, *, arrow: bool = False) -> float:
        """Draw a text, with an arrow to it from above."""
        if arrow:
            self.add(Line(((x, y), (x, y + GAP)), arrow=True))
            y += GAP
        self.add(Note(x, y + 11, safe_text(text, length=MAX_TEXT)))
        return y + 15

    def box(
        self, x: float, y: float, lines: Sequence[str], fill: str, width: float = 0.0, *,
        marked: bool = False, thick: bool = False,
    ) -> float:  # fmt: skip
        """Draw a box below an arrow."""
        shown = tuple(safe_text(line, length=MAX_TEXT) for line in lines)
        width = width or max(LEAST_WIDTH, *(text_width(line) + PAD for line in shown))
        height = LINE_HEIGHT * len(shown) + 9
        self.add(Line(((x, y), (x, y + GAP)), arrow=True, thick=thick))
        self.add(Box(x - width / 2, y + GAP, width, height, shown, fill, marked))
        return y + GAP + height

    def frame(self, top: float, bottom: float, text: str) -> None:
        """Draw a dashed frame around all boxes between two heights, with a text on its right."""
        boxes = [part for part in self.drawing.parts if isinstance(part, Box) and top <= part.y < bottom]
        left, right = min(box.x for box in boxes) - 8, max(box.x + box.width for box in boxes) + 8
        self.add(Frame(left, top, right - left, bottom - top))
        self.add(Note(right + 6, (top + bottom) / 2 + 3, safe_text(text, length=MAX_TEXT), centred=False))

    def width(self, ops: Sequence[Op], x: TensorShape | None, heading: str = "") -> float:
        """Return the width of ops below each other."""
        found = [text_width(heading) + PAD] if heading else []
        for op in ops:
            if isinstance(op, Fork):
                paths = [max(self.width(path, x), 10.0) for path in op.paths]
                found.append(sum(paths) + APART * (len(paths) - 1))
            elif isinstance(op, Tapped):
                found.append(max((self.width(path, x) for path in op.inner()), default=0.0))
            elif not isinstance(op, Nested):
                found.append(max(LEAST_WIDTH, text_width(op_label(op, x)[:MAX_TEXT]) + PAD))
            x = shape_after(op, x)
        return max(found, default=0.0)

    def chain(
        self, ops: Sequence[Op], x: float, y: float, shape: TensorShape | None, marks: Collection[int] = (), *,
        heading: str = "", thick: bool = False, width: float = 0.0,
    ) -> tuple[float, TensorShape | None]:  # fmt: skip
        """Draw ops below each other; return the lower end and the output shape.

        Args:
            ops: The ops.
            x: The centre of the column.
            y: The lower end of what is above.
            shape: The input shape; None if unknown.
            marks: Places of ops that are marked.
            heading: First line of the first op's label.
            thick: Whether the lines belong to a shortcut.
            width: Least width of the boxes.
        """
        plain = [op for op in ops if not isinstance(op, Nested)]
        width = max(width, self.width(plain, shape, heading))
        for place, op in enumerate(ops):
            if isinstance(op, Fork):
                y = self.fork(op, x, y, shape)
            elif isinstance(op, Tap):
                self.taps[op.number] = (x, y + 3)
                self.add(Joint(x, y + 3, 2.5))
            elif isinstance(op, From):
                y = self.read(op, x, y)
            elif isinstance(op, Nested):
                y, _ = self.chain(op.inner()[0] if op.inner() else (), x, y, shape)
            else:
                lines = [heading, op_label(op, shape)] if heading and not place else [op_label(op, shape)]
                fill = FILLS.get(op.role, OTHER_FILL)
                y = self.box(x, y, lines, fill, width, marked=place in marks, thick=thick)
            shape = shape_after(op, shape)
        return y, shape

    def fork(self, fork: Fork, x: float, y: float, shape: TensorShape | None) -> float:
        """Draw the paths of a fork side by side and their join."""
        opening = y + GAP * 0.75
        paths = sorted((path[1:] if fork.is_split else path for path in fork.paths), key=self._tap_height)
        widths = [max(self.width(path, shape), 10.0) for path in paths]
        left = x - (sum(widths) + APART * (len(widths) - 1)) / 2
        self.add(Line(((x, y), (x, opening))), Joint(x, opening, 2.5))
        ends = []
        for path, width in zip(paths, widths):
            if path and isinstance(path[0], From):
                left = max(left, self._right_edge(path[0], opening) + APART / 2)
            column = left + width / 2
            column = x if abs(column - x) < APART / 2 else column  # no kink in a line that is almost straight
            left += width + APART
            if not (path and isinstance(path[0], From)):
                self.add(Line(((x, opening), (column, opening))))
            end, _ = self.chain(path, column, opening, shape)
            ends.append((column, end, False))
        low = max(end for _, end, _ in ends) + GAP
        return self.joint(x, low, "split" if fork.is_split else fork.spelling, ends)

    def joint(self, x: float, y: float, text: str, ends: Sequence[tuple[float, float, bool]]) -> float:
        """Draw where columns meet: each column goes down, then sideways into the joint."""
        joint = Joint(x, y + RADIUS, RADIUS, {"sum": "+", "product": "×"}.get(text, safe_text(text, length=20)))
        for column, end, thick in ends:
            if abs(column - x) < 1:
                self.add(Line(((column, end), (column, y)), arrow=True, thick=thick))
            else:
                edge = x - joint.half_width if column < x else x + joint.half_width
                self.add(Line(((column, end), (column, joint.y), (edge, joint.y)), arrow=True, thick=thick))
        self.add(joint)
        return y + 2 * RADIUS

    def _tap_height(self, path: Sequence[Op]) -> float:
        """Return a key by which paths that read a tap are on the right, those of higher taps further right."""
        return -self.taps.get(path[0].number, (0.0, 0.0))[1] if path and isinstance(path[0], From) else -math.inf

    def _right_edge(self, op: From, low: float) -> float:
        """Return the right edge of the boxes between a tap and a place below."""
        x, y = self.taps.get(op.number, (0.0, low))
        boxes = [part for part in self.drawing.parts if isinstance(part, Box) and y <= part.y + part.height <= low + 1]
        return max([x, *(box.x + box.width for box in boxes if box.x + box.width > x)])

    def read(self, op: From, x: float, y: float) -> float:
        """Draw a dashed line from the tensor of a tap sideways, then down to a place below on its right."""
        start, low = self.taps.get(op.number, (x, y)), y + GAP / 2
        self.add(Line((start, (x, start[1]), (x, low)), dashed=True), Joint(x, low, 2.5))
        return low
