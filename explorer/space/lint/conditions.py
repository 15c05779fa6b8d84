"""Warnings of conditions: those that exclude nothing, and alternatives that they leave out of every network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from explorer.space.count.constrained import ConstrainedDecisions
from explorer.space.grammar import WHOLE, Grammar, Place, Point

MAX_SHOWN = 8  # alternatives in one warning


def without_effect(decisions: ConstrainedDecisions) -> Iterator[tuple[Place, str, str]]:
    """Find conditions that exclude no network: place, message and fix."""
    where = decisions.grammar.where
    others = " that the other conditions allow" if len(where) > 1 else ""
    for number, condition in enumerate(where):
        if number not in decisions.excluding:
            message = f"the condition '{condition.text}' excludes no network{others}"
            yield condition.place, message, "remove it, or correct it"


def unused_alternatives(decisions: ConstrainedDecisions) -> Iterator[tuple[Place, str, str]]:
    """Find alternatives that no network takes: place, message and fix."""
    taken: dict[Point, set[int]] = {}
    decisions.count()
    for decision in decisions.counted:
        decisions.measure(decision)
        if decision.point is not None:
            sizes = (end - start for start, end in pairwise(decision.starts))
            taken.setdefault(decision.point, set()).update(number for number, size in enumerate(sizes) if size)
    grammar = decisions.grammar
    for point in grammar.points:
        left = [text for number, text in enumerate(point.options) if number not in taken.get(point, range(number + 1))]
        if left:
            shown = " | ".join(left[:MAX_SHOWN]) + (f" and {len(left) - MAX_SHOWN} more" if left[MAX_SHOWN:] else "")
            message = f"the conditions allow no network that takes {shown} of {point.name!r}"
            yield place_of(grammar, point), message, "remove the alternative, or correct the conditions"


def place_of(grammar: Grammar, point: Point) -> Place:
    """Return the place of the rule or section that owns a choice point."""
    owner = point.name.split(".")[0]
    return grammar.places.get(f"grammar.{owner}") or grammar.places.get(owner, WHOLE)
