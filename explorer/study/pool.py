"""The networks a sampler chooses among, each derived and costed once in this process."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping
from itertools import chain, count
from typing import Literal, NamedTuple

from explorer.architecture import Architecture
from explorer.errors import ExplorerError
from explorer.records import State
from explorer.space.choices import Choice, Derivation
from explorer.study.proposals import Candidates
from explorer.study.seeds import seed_for

REDUNDANT = ("flops", "weight_layers", "receptive_field", "peak_memory_bytes")
LISTED = 2_000  # derivations of a space that is gone through without repeating one


class Member(NamedTuple):
    """A network as a sampler sees it. ``numbers``: what is known of it without training, by name, its costs
    and more; ``layers``: how many ops it has; ``refusal``: how it would end before it begins, or empty; ``foretold``:
    what a predictor says of costs that must be measured."""

    derivation: Derivation
    digest: str
    costs: Mapping[str, float]
    numbers: Mapping[str, float]
    layers: int
    refusal: State | Literal[""]
    foretold: Mapping[str, float]

    @property
    def allowed(self) -> bool:
        """It keeps the limits, and its costs can be had."""
        return not self.refusal


class Pool:
    """Members of the space of ``candidates``. What is asked of it depends on the study's ``seed`` alone."""

    def __init__(self, candidates: Candidates, seed: int):
        self.candidates = candidates
        self.space = candidates.space
        self.options: dict[str, tuple[str, ...]] = {}  # of every choice point met so far
        self._members: dict[tuple, Member | None] = {}
        self._drawn: list[Member] = []
        self._indices = _indices(self.space.count(), random.Random(seed_for("pool", seed, 0)))

    @property
    def known_costs(self) -> Container[str]:
        """The names of what is known of every network before training."""
        return self.candidates.known_costs

    def member(self, derivation: Derivation) -> Member | None:
        """The derivation's network, None when it cannot be built: to report that is the loop's affair."""
        key = tuple(derivation.choices.items())
        if key not in self._members:
            try:
                self._members[key] = self._make(derivation)
            except ExplorerError:
                self._members[key] = None
        return self._members[key]

    def hopeful(self, member: Member) -> bool:
        """Whether it is allowed, and by what was measured so far may keep the limits on that, too."""
        return member.allowed and self.candidates.hopeful(member)

    def breaks_limits(self, derivation: Derivation) -> bool:
        if not self.candidates.limits:
            return False  # known without making it
        member = self.member(derivation)
        return member is not None and member.refusal == "rejected"

    def drawn(self, looks: int) -> list[Member]:
        """The members among the first ``looks`` derivations of an order that is the same in every process of a
        study: the first and the last, which are often extreme, then at random."""
        while len(self._drawn) < looks and (index := next(self._indices, None)) is not None:
            member = self.member(self.space.unrank(index))
            if member is not None:
                self._drawn.append(member)
        return self._drawn[:looks]

    def _make(self, derivation: Derivation) -> Member:
        candidate = self.candidates.make(derivation)
        if not set(derivation.choices) <= set(self.options):
            self._read_options(derivation)
        architecture = candidate.architecture
        return Member(
            derivation,
            architecture.digest,
            candidate.costs,
            _numbers(architecture, candidate.costs),
            architecture.layer_count,
            candidate.refusal[0] if candidate.refusal else "",
            candidate.foretold,
        )

    def _read_options(self, derivation: Derivation) -> None:
        def replay(choice: Choice) -> str:
            self.options[choice.name] = choice.options
            return derivation.choices[choice.name]

        self.space.derive(replay)


def _indices(total: int, draw: random.Random) -> Iterator[int]:
    ends = dict.fromkeys((0, total - 1))
    if total <= LISTED:
        return chain(ends, draw.sample(range(1, total - 1), max(0, total - 2)) if total > 2 else ())
    return chain(ends, (draw.randrange(total) for _ in count()))


def _numbers(architecture: Architecture, costs: Mapping[str, float]) -> dict[str, float]:
    """The costs that say most about accuracy, and where in the network they lie: macs and activations of each
    stage. What follows from them (flops, memory) would count them twice. The caller's own costs all stand."""
    sums = {name: value for name, value in costs.items() if name not in REDUNDANT}
    for placed in architecture.layers():
        unit = placed.path.partition(".")[0]
        if unit.startswith("stage"):
            cost = placed.op.cost(placed.x)
            for name, value in (("macs", cost.macs), ("activations", cost.activations)):
                sums[f"{name}@{unit}"] = sums.get(f"{name}@{unit}", 0) + value
    return sums
