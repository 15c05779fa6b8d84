"""Where a walk through the open questions of a space stands: all that its future depends on."""

from __future__ import annotations

from typing import NamedTuple

from explorer.grammar.asks import Pending
from explorer.grammar.derive import StageNumbers
from explorer.ops.base import TensorShape

Answers = tuple[tuple[int, int, int], ...]  # (point number, occurrence, option), sorted


class State(NamedTuple):
    """``kind`` and ``stage`` say which unit; ``left`` counts the stage's blocks from this one on.

    ``answers`` are those that may still matter. ``place``: the blocks passed, 0 where nothing follows it. ``shape``,
    the arriving shape, and ``numbers``, the stage's with no number of blocks, stand where the walk needs them to
    know its questions: which shortcut a block takes depends on the shapes.
    """

    kind: str
    stage: int
    left: int
    place: int
    shape: TensorShape | None
    numbers: StageNumbers | None
    pending: Pending | None
    answers: Answers


BLOCK_KINDS = ("first", "first's shortcut", "block", "block's shortcut")
END = State("end", 0, 0, 0, None, None, None, ())
