"""Random walks of a space that is not counted. They are kept, so that all estimates look at the same networks."""

from __future__ import annotations

import math
import random
from typing import NamedTuple, Protocol

from explorer.errors import SpaceError
from explorer.space.choices import Derivation

MIN_FOUND = 10
MAX_DRAWS = 100_000  # random indices among which one belongs to a derivation


class Walkable(Protocol):
    """The derivations of a space, as far as random walks need them."""

    @property
    def walk_work(self) -> int:
        """The work of all walks at an index so far."""

    def random_walk(self, source: random.Random) -> Found | None:
        """Return a derivation, each with the same probability; None if the walk is no derivation."""

    def not_found(self) -> SpaceError:
        """Return the error of ``MAX_DRAWS`` random indices without a derivation."""


class Found(NamedTuple):
    """A derivation with its index, its rank."""

    rank: int
    derivation: Derivation


class RandomWalks:
    """Random walks with seed 0: each derivation is equally likely.

    Args:
        decisions: Those of the space.

    Attributes:
        found: The derivations so far.
        tried: The number of walks so far, with those that belong to no derivation.
    """

    def __init__(self, decisions: Walkable):
        self.found: list[Found] = []
        self.tried = 0
        self._decisions = decisions
        self._source = random.Random(0)
        self._spent = 0  # work of these walks

    def up_to(self, count: int, work: float, least: int = MIN_FOUND, tried: float = math.inf) -> list[Found]:
        """Return the first derivations.

        Args:
            count: The largest number of them.
            work: The work of all walks from the first one, after which no further one is made.
            least: Their number even if it takes more work.
            tried: The largest number of walks.

        Raises:
            SpaceError: If ``MAX_DRAWS`` random indices belong to none.
        """
        decisions, failed = self._decisions, 0
        while len(self.found) < min(count, least if self._spent >= work else count) and self.tried < tried:
            before = decisions.walk_work
            found = decisions.random_walk(self._source)
            self.tried += 1
            self._spent += decisions.walk_work - before
            failed += 1
            if found is not None:
                self.found.append(found)
                failed = 0
            elif failed > MAX_DRAWS:
                raise decisions.not_found()
        return self.found[:count]
