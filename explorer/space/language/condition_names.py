"""Checks of the names in conditions and of the places after ``@``."""

from __future__ import annotations

import re
from collections.abc import Container

from explorer.analysis.quantities import BEFORE_TRAINING
from explorer.errors import Edit, did_you_mean, similar_names
from explorer.space.conditions.names import Meaning, Meanings
from explorer.space.language.foreign.keys import COSTS
from explorer.space.language.foreign.words import plain
from explorer.space.language.tokens import ExpressionError


def resolve(meanings: Meanings, name: str, offset: int) -> Meaning:
    """Return what a name means. Raises ExpressionError for a name that no condition can have."""
    if variable := meanings.lacking(name):
        reads = f"{name!r} depends on {variable!r}" if variable != name else f"{name!r} differs within a block"
        fix = "write tap(a) before the layers whose input it is, and a.c here" if variable == "c" else "write a number"
        raise ExpressionError(offset, f"{reads}, which a condition does not know; {fix}")
    means = meanings.meaning(name)
    if means is None:
        if name in meanings.grammar.rules:
            unused = "no network uses it" if not meanings.is_used(name) else "it has no alternatives"
            raise ExpressionError(offset, f"the rule {name!r} is no choice: {unused}")
        if name in BEFORE_TRAINING or plain(name) in COSTS:
            cost = name if name in BEFORE_TRAINING else COSTS[plain(name)]
            raise ExpressionError(
                offset,
                f"{name!r} is a cost, which no condition knows; write a bound under 'limits', as in {cost}: <= 2M",
            )
        known = meanings.known()
        if placed := _with_place(name, known, len(meanings.grammar.stages)):
            edit = Edit(offset, offset + len(name), placed)
            raise ExpressionError(offset, f"unknown name {name[:64]!r} in a condition; write {placed!r}", edit)
        near = similar_names(name, known)
        edits = [Edit(offset, offset + len(name), near[0])] if near else []
        hint = did_you_mean(name, known) or f"; the names here: {', '.join(known[:20])}"
        raise ExpressionError(offset, f"unknown name {name[:64]!r} in a condition{hint}", *edits)
    if means.scope == "use":
        raise ExpressionError(offset, f"{name!r} varies by use, and a condition cannot name a use; vary it by block")
    return means


def _with_place(name: str, known: Container[str], last: int) -> str:
    """Return ``width@stage2`` for ``width2``, ``width_2`` and ``stage2.width``; "" for another name."""
    found = re.fullmatch(r"([A-Za-z][\w-]*?)_?([1-9][0-9]?)", name)
    base, stage = (found[1], found[2]) if found else ("", "")
    if found := re.fullmatch(r"stages?_?([1-9][0-9]?)[._]([A-Za-z][\w-]*)", name):
        stage, base = found[1], found[2]
    return f"{base}@stage{stage}" if base in known and int(stage or 0) <= last else ""


def check_place(meanings: Meanings, means: Meaning, text: str, at: str, offset: int) -> None:
    """Check the place of a name. Raises ExpressionError.

    Args:
        meanings: The names of the space.
        means: What the name means.
        text: The name with its place.
        at: The place; empty for none.
        offset: The offset of the name.
    """
    if "@" not in text:
        return
    name = text.split("@")[0]
    last = len(meanings.grammar.stages)
    if means.scope == "network":
        edit = Edit(offset, offset + len(text), name)
        vary = f"write {name!r}, or 'vary: {{{name}: stage}}' for one choice for each stage"
        raise ExpressionError(offset, f"{name!r} is one choice for the network; {vary}", edit)
    place = offset + len(name) + 1
    found = re.fullmatch(r"stage([0-9]{1,4})(\.block[0-9]{1,4}|\.transition)?", at)
    if found is None and (at not in ("stem", "head") or means.kind in ("stage", "block")):
        places = [f"stage{k}" for k in range(1, last + 1)]
        near = [f"stage{int(at)}"] if at.isdigit() and 1 <= int(at) <= last else similar_names(at, places)
        edits = [Edit(place, place + len(at), near[0])] if near else []
        raise ExpressionError(place, f"unknown place {at[:40]!r} of {name!r}; a place is stage1 to stage{last}", *edits)
    if found is not None and not 1 <= int(found[1]) <= last:
        raise ExpressionError(place, f"the space has {last} stages, found {at!r}")
    if found is not None and found[2] and means.scope != "block":
        edit = Edit(offset, offset + len(text), f"{name}@stage{found[1]}")
        raise ExpressionError(offset, f"{name!r} has one value for a stage; write '{name}@stage{found[1]}'", edit)
