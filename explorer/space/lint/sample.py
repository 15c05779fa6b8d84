"""Networks of a space that warnings look at, and the alternatives that give the same network in all of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from itertools import chain, combinations
from typing import NamedTuple

from explorer.errors import SpaceError
from explorer.networks.architecture import Architecture
from explorer.space.choices import Choice, Derivation
from explorer.space.count.decisions import Decisions
from explorer.space.grammar import Grammar, Point

MAX_CONTEXTS = 40  # derivations in which the alternatives of a choice are compared
MIN_CONTEXTS = 8  # of them, unless the space has fewer; a choice may have an effect in some networks only
MAX_WALKED_WORK = 3_000  # of random walks in a space that is not counted
MAX_WORK = 25_000  # ops of the networks derived, some 0.2 s
WORK_PER_NETWORK = 100  # the fixed part of the time to derive a network, in ops


class Example(NamedTuple):
    """A network with its choices.

    Attributes:
        choices: Choice name -> alternative.
        network: The network.
    """

    choices: Mapping[str, str]
    network: Architecture


Pair = tuple[str, str]  # two alternatives of one point, in the order of the file


class NetworkSample:
    """Some networks of a space: one for each alternative, if that takes little time.

    Args:
        grammar: The space.
        decisions: Its derivations.
        architecture: Returns the network of a derivation.

    Attributes:
        examples: The networks.
        alike: Points with the pairs of alternatives that were compared in many networks and never made a difference.
    """

    def __init__(self, grammar: Grammar, decisions: Decisions, architecture: Callable[[Derivation], Architecture]):
        self.examples: list[Example] = []
        self.alike: dict[Point, list[Pair]] = {}
        self._decisions = decisions
        self._architecture = architecture
        self._work = 0
        self._open = {point: set(combinations(point.options, 2)) for point in grammar.points}
        self._points = {point.name: point for point in grammar.points}
        self._compared: Counter[tuple[Point, Pair]] = Counter()
        self._compare()

    def _compare(self) -> None:
        """Compare the alternatives in one network after the other, until each pair has made a difference."""
        draw = random.Random(0)
        contexts = 0
        for derivation in self._contexts(draw):
            self._make(derivation)
            contexts += 1
            self._compare_in(derivation, draw)
            if not any(self._open.values()):
                return
            if self._work > MAX_WORK:
                break
        is_all = self._decisions.is_counted and contexts == self._decisions.indices
        for point, pairs in self._open.items():
            known = [pair for pair in pairs if self._compared[point, pair] >= (1 if is_all else MIN_CONTEXTS)]
            if known:
                self.alike[point] = sorted(known, key=lambda pair: [point.options.index(option) for option in pair])

    def _contexts(self, draw: random.Random) -> Iterator[Derivation]:
        """Yield distinct derivations: all of a small space, else the first one and random ones."""
        decisions = self._decisions
        if decisions.is_counted and decisions.indices <= MAX_CONTEXTS:
            yield from decisions.all()
            return
        seen = set()
        with suppress(SpaceError):  # the conditions exclude nearly all random derivations
            drawn = (decisions.draw(draw) for _ in range(MAX_CONTEXTS - 1))
            if not decisions.is_counted:
                walks = decisions.random_walks.up_to(MAX_CONTEXTS - 1, MAX_WALKED_WORK)
                drawn = (found.derivation for found in walks)
            for derivation in chain((decisions.find(0),), drawn):
                if derivation is not None and (key := tuple(derivation.choices.items())) not in seen:
                    seen.add(key)
                    yield derivation

    def _compare_in(self, derivation: Derivation, draw: random.Random) -> None:
        """Compare the alternatives of each point at one of its places in a network."""
        places: dict[Point, list[Choice]] = defaultdict(list)
        for choice in self._choices_of(derivation):
            point = self._points.get(choice.name.partition("@")[0])
            if point is not None and self._open[point]:
                places[point].append(choice)
        for point, choices in places.items():
            choice = draw.choice(choices)
            open_options = {option for pair in self._open[point] for option in pair} & {*choice.allowed}
            digests = {option: self._digest_with(derivation, choice.name, option) for option in sorted(open_options)}
            for pair in sorted(self._open[point]):
                if all(digests.get(option) for option in pair):
                    self._compared[point, pair] += 1
                    if digests[pair[0]] != digests[pair[1]]:
                        self._open[point].discard(pair)

    def _choices_of(self, derivation: Derivation) -> Collection[Choice]:
        found: list[Choice] = []
        self._decisions.replay(derivation, found.append)
        return found

    def _digest_with(self, derivation: Derivation, name: str, option: str) -> str:
        """Return the digest of the network with one choice changed; empty if there is none."""

        def choose(choice: Choice) -> str:
            if choice.name == name:
                return option
            return derivation.choices.get(choice.name) or (choice.allowed or choice.options)[0]

        if self._work > MAX_WORK:
            return ""
        try:
            made = self._make(self._decisions.walk(choose))
        except SpaceError:  # the conditions exclude it
            return ""
        return "" if made is None else made.digest

    def _make(self, derivation: Derivation) -> Architecture | None:
        """Return the network of a derivation, and add it to the examples; None if it cannot be built."""
        try:
            made = self._architecture(derivation)
        except SpaceError:
            return None
        self._work += WORK_PER_NETWORK + made.layer_count
        self.examples.append(Example(derivation.choices, made))
        return made


def groups_of(options: tuple[str, ...], pairs: Collection[Pair]) -> list[list[str]]:
    """Return the groups of alternatives in which each is paired with the first one.

    Args:
        options: The alternatives.
        pairs: Pairs of them.
    """
    groups: list[list[str]] = []
    for option in options:
        group = next((group for group in groups if (group[0], option) in pairs), None)
        if group is None:
            groups.append([option])
        else:
            group.append(option)
    return [group for group in groups if len(group) > 1]
