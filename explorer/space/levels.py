"""The levels of a space's choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from explorer.space.search_space import SearchSpace


class Level(NamedTuple):
    """One alternative of a choice.

    Attributes:
        choice: The name of the choice point, such as ``attn@stage2``.
        option: The text of the alternative.
    """

    choice: str
    option: str

    def __str__(self) -> str:
        return f"{self.choice}={self.option}"


def levels_of(space: SearchSpace) -> list[Level]:
    """Return the levels of all choices with several alternatives, in the order of the derivation.

    In a space that is not counted they are those of the choices of random networks.

    Args:
        space: The space.
    """
    choices = dict(space.choices())
    return [Level(name, option) for name, options in choices.items() if len(options) > 1 for option in options]


def missing_levels(levels: Iterable[Level], tried: Iterable[Mapping[str, str]]) -> Iterator[Level]:
    """Yield the levels that none of some networks has.

    Args:
        levels: The levels.
        tried: The choices of the networks.
    """
    known = {Level(*item) for choices in tried for item in choices.items()}
    return (level for level in levels if level not in known)
