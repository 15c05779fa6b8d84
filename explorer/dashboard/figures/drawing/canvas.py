"""The parts of a drawing, with their places in points; y grows downwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

CHARACTER = 6.3  # width of a character of 11.5 points Helvetica, on average
FONT_SIZE = 11.5
SMALL = 10.0
LINE_HEIGHT = 14.0
FILLS = {
    "conv": "#8DB9E8",
    "linear": "#8DB9E8",
    "norm": "#F2DE7E",
    "activation": "#A6D48F",
    "attention": "#F2A6B8",
    "pool": "#F0B27A",
}
OTHER_FILL = "#D5D5D5"
INK, LINE, MARK = "#1A1A1A", "#6B6B6B", "#C4320A"  # of texts in boxes; of lines; of what differs


@dataclass(frozen=True, slots=True)
class Box:
    """A rounded box with centred lines of text.

    Attributes:
        x: Its left edge.
        y: Its upper edge.
        width: Its width.
        height: Its height.
        lines: Its text.
        fill: Its colour.
        is_marked: Whether it differs from the drawing that it is compared with.
    """

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    fill: str
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points.

    Attributes:
        points: Its points.
        arrow: Whether it ends in an arrow.
        dashed: Whether it is dashed.
        thick: Whether it is a shortcut, which is drawn thick.
    """

    points: tuple[tuple[float, float], ...]
    arrow: bool = False
    dashed: bool = False
    thick: bool = False


@dataclass(frozen=True, slots=True)
class Joint:
    """Where paths meet: a circle with a sign or a word; a dot without text is where they part.

    Attributes:
        x: Its centre.
        y: Its centre.
        radius: Half its height.
        text: The sign.
    """

    x: float
    y: float
    radius: float
    text: str = ""

    @property
    def half_width(self) -> float:
        """Half its width, which a word makes larger."""
        return max(self.radius, len(self.text) * CHARACTER / 2 + 6) if len(self.text) > 1 else self.radius


@dataclass(frozen=True, slots=True)
class Note:
    """A text without a box.

    Attributes:
        x: Its centre, or its left end.
        y: Its baseline.
        text: The text.
        centred: Whether ``x`` is its centre.
    """

    x: float
    y: float
    text: str
    centred: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """A dashed frame around some parts."""

    x: float
    y: float
    width: float
    height: float


Part = Box | Line | Joint | Note | Frame


@dataclass
class Drawing:
    """A drawing.

    Attributes:
        title: What it shows, in words.
        parts: Its parts; later ones are above earlier ones.
    """

    title: str = ""
    parts: list[Part] = field(default_factory=list)

    def extent(self, margin: float = 6.0) -> tuple[float, float, float, float]:
        """Return left, top, width and height with a margin."""
        xs, ys = [0.0], [0.0]
        for part in self.parts:
            for x, y in _corners(part):
                xs.append(x)
                ys.append(y)
        xs, ys = (xs[1:], ys[1:]) if len(xs) > 1 else (xs, ys)
        left, top = min(xs) - margin, min(ys) - margin
        return left, top, max(xs) + margin - left, max(ys) + margin - top


def text_width(text: str, size: float = FONT_SIZE) -> float:
    """Return the width of a text, on average."""
    return len(text) * CHARACTER * size / FONT_SIZE


def _corners(part: Part) -> Sequence[tuple[float, float]]:
    if isinstance(part, Line):
        return part.points
    if isinstance(part, Joint):
        return (part.x - part.half_width, part.y - part.radius), (part.x + part.half_width, part.y + part.radius)
    if isinstance(part, Note):
        width = text_width(part.text, SMALL)
        left = part.x - width / 2 if part.centred else part.x
        return (left, part.y - SMALL), (left + width, part.y + 3)
    return (part.x, part.y), (part.x + part.width, part.y + part.height)
