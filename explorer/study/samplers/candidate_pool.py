"""The networks that a sampler can propose. Each is derived and costed once in this process."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping
from itertools import chain, count
from typing import Literal, NamedTuple

from explorer.analysis.quantities import COSTS
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import OpCost
from explorer.records import State
from explorer.space.choices import Choice, Derivation
from explorer.space.levels import Level
from explorer.study.candidates import Candidates
from explorer.study.samplers.graph_features import graph_numbers
from explorer.study.seeds import seed_for

# Costs that are functions of other costs.
REDUNDANT = tuple(name for name in COSTS if name not in OpCost._fields)
MAX_SHUFFLED = 2_000  # derivations up to which a space is sampled without replacement; larger spaces with replacement


class PoolCandidate(NamedTuple):
    """A network with the properties that samplers use.

    Attributes:
        derivation: The choices.
        digest: Identity of the network.
        costs: Exact costs by name.
        numbers: Numeric features, known without training: costs, costs of each stage, and ``graph_numbers``.
        layers: Number of ops.
        refusal: State of a trial that would end without training ("rejected", "failed"), or empty.
        predicted: Predictions of measured costs by name; empty without a predictor.
    """

    derivation: Derivation
    digest: str
    costs: Mapping[str, float]
    numbers: Mapping[str, float]
    layers: int
    refusal: State | Literal[""]
    predicted: Mapping[str, float]

    @property
    def allowed(self) -> bool:
        """Whether it satisfies the limits and all its costs are known."""
        return not self.refusal


class CandidatePool:
    """The networks of a space, in a random order that depends on the seed alone.

    Args:
        candidates: Makes the networks.
        seed: Seed of the study.
    """

    def __init__(self, candidates: Candidates, seed: int):
        self.candidates = candidates
        self.space = candidates.space
        self.options: dict[str, tuple[str, ...]] = {}  # of every choice point derived so far
        self._candidates: dict[tuple[tuple[str, str], ...], PoolCandidate | None] = {}
        self._drawn: list[PoolCandidate] = []
        self.required: Level | None = None  # that a proposed network has, during one proposal
        self._indices = _indices(self.space.count(), random.Random(seed_for("pool", seed, 0)))

    @property
    def known_costs(self) -> Container[str]:
        """The names of the costs that are known of every network before training."""
        return self.candidates.known_costs

    def candidate(self, derivation: Derivation) -> PoolCandidate | None:
        """Return the network of a derivation, None if it cannot be built; the search reports that."""
        key = tuple(derivation.choices.items())
        if key not in self._candidates:
            try:
                self._candidates[key] = self._make(derivation)
            except ExplorerError:
                self._candidates[key] = None
        return self._candidates[key]

    def may_satisfy_limits(self, candidate: PoolCandidate) -> bool:
        """Return whether the network satisfies the limits, and is expected to satisfy those on measured costs.

        During a proposal with a ``required`` level the network also has to have this level.
        """
        level = self.required
        if level is not None and candidate.derivation.choices.get(level.choice) != level.option:
            return False
        return candidate.allowed and self.candidates.may_satisfy_limits(candidate)

    def breaks_limits(self, derivation: Derivation) -> bool:
        if not self.candidates.limits:
            return False  # without deriving the network
        candidate = self.candidate(derivation)
        return candidate is not None and candidate.refusal == "rejected"

    def first(self, count: int) -> list[PoolCandidate]:
        """Return the networks among the first ``count`` derivations of the pool's order.

        The order is the same in every process of a study: the first and the last derivation, which are often extreme,
        then random ones.
        """
        while len(self._drawn) < count and (index := next(self._indices, None)) is not None:
            candidate = self.candidate(self.space.unrank(index))
            if candidate is not None:
                self._drawn.append(candidate)
        return self._drawn[:count]

    def _make(self, derivation: Derivation) -> PoolCandidate:
        candidate = self.candidates.make(derivation)
        if not set(derivation.choices) <= set(self.options):
            self._read_options(derivation)
        architecture = candidate.architecture
        return PoolCandidate(
            derivation,
            architecture.digest,
            candidate.costs,
            _numbers(architecture, candidate.costs),
            architecture.layer_count,
            candidate.refusal[0] if candidate.refusal else "",
            candidate.predicted,
        )

    def _read_options(self, derivation: Derivation) -> None:
        def replay(choice: Choice) -> str:
            self.options[choice.name] = choice.options
            return derivation.choices[choice.name]

        self.space.derive(replay)


def _indices(total: int, draw: random.Random) -> Iterator[int]:
    ends = dict.fromkeys((0, total - 1))
    if total <= MAX_SHUFFLED:
        return chain(ends, draw.sample(range(1, total - 1), max(0, total - 2)) if total > 2 else ())
    return chain(ends, (draw.randrange(total) for _ in count()))


def _numbers(architecture: Architecture, costs: Mapping[str, float]) -> dict[str, float]:
    """Return numeric features: all costs but redundant ones, MACs and activations of each stage, and the graph's."""
    sums = {name: value for name, value in costs.items() if name not in REDUNDANT} | graph_numbers(architecture)
    for placed in architecture.layers():
        unit = placed.path.partition(".")[0]
        if unit.startswith("stage"):
            cost = placed.op.cost(placed.x)
            for name, value in (("macs", cost.macs), ("activations", cost.activations)):
                sums[f"{name}@{unit}"] = sums.get(f"{name}@{unit}", 0) + value
    return sums
