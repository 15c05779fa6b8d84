"""The conditions of a space as data: what the key ``where`` of a file has.

``not`` and ``implies`` are resolved when a condition is read: a tree has comparisons, their opposites, ``and`` and
``or`` only. A comparison about a choice that a network does not have counts as satisfied, and so does its opposite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

# The opposite of each relation; ``>`` and ``>=`` are written as ``<`` and ``<=`` with the sides exchanged.
OPPOSITES = {"==": "!=", "!=": "==", "divides": "not divides", "not divides": "divides"}


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A number."""

    value: Fraction


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A choice or a number by its name.

    Attributes:
        name: The name of a choice point, of a rule of numbers, or of a number of a stage.
        at: The place that the file names, as in ``stage2``; empty for every place.
        place: Line and column in the file.
    """

    name: str
    at: str
    place: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name}@{self.at}" if self.at else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """An operation on two values, as in ``Arithmetic``; functions of one value do not read the second."""

    operator: str
    left: Value
    right: Value


Value = Constant | Named | Computed


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A relation of two numbers: ``==``, ``!=``, ``<``, ``<=``, ``divides`` or ``not divides``."""

    relation: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Whether a choice takes one of some alternatives, or none of them.

    Attributes:
        choice: The choice.
        options: The texts of the alternatives.
        negated: Whether it takes none of them.
    """

    choice: Named
    options: frozenset[str]
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """Whether two choices take the same alternative, or different ones."""

    left: Named
    right: Named
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Parts of which every one holds (``and``), or one at least (``or``)."""

    every: bool
    parts: tuple[Truth, ...]


Truth = Compared | Chosen | Same | Joined


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One condition.

    Attributes:
        text: Its text in the file, with single blanks.
        place: Line and column in the file.
        truth: What must hold.
    """

    text: str
    place: tuple[int, int]
    truth: Truth


def opposite(truth: Truth) -> Truth:
    """Return what holds if ``truth`` does not."""
    if isinstance(truth, Joined):
        return Joined(not truth.every, tuple(map(opposite, truth.parts)))
    if isinstance(truth, (Chosen, Same)):
        return replace(truth, negated=not truth.negated)
    if truth.relation in ("<", "<="):
        return Compared("<=" if truth.relation == "<" else "<", truth.right, truth.left)
    return replace(truth, relation=OPPOSITES[truth.relation])


def names_in(part: Truth | Value) -> list[Named]:
    """Return the names in a condition, in reading order."""
    if isinstance(part, Named):
        return [part]
    if isinstance(part, Joined):
        return [named for each in part.parts for named in names_in(each)]
    if isinstance(part, Chosen):
        return [part.choice]
    if isinstance(part, (Compared, Computed, Same)):
        return names_in(part.left) + names_in(part.right)
    return []
