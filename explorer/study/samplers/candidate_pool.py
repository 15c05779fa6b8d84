"""The networks that a sampler can propose. Each is derived and costed once in this process."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, count, repeat
from threading import Lock
from typing import Literal, NamedTuple

from explorer.analysis.quantities import COSTS
from explorer.costs.analytic import block_cost
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import OpCost
from explorer.networks.walk import PlacedBlock
from explorer.records import State
from explorer.space.choices import Choice, Derivation
from explorer.space.levels import Level
from explorer.space.search_space import SearchSpace
from explorer.study.candidates import Candidates
from explorer.study.samplers.features import FeatureTable
from explorer.study.samplers.graph_features import graph_numbers
from explorer.study.seeds import seed_for

# Costs that are functions of other costs.
REDUNDANT = tuple(name for name in COSTS if name not in OpCost._fields)
MAX_LISTED = 50_000  # derivations up to which all networks of a space become candidates; larger spaces are sampled
MAX_SHARED = 2  # spaces whose networks stay in memory for further studies


class PoolCandidate(NamedTuple):
    """A network with the properties that samplers use.

    Attributes:
        derivation: The choices.
        digest: Identity of the network.
        costs: Exact costs by name.
        row: Its row in the pool's table of features.
        layers: Number of ops.
        refusal: State of a trial that would end without training ("rejected", "failed"), or empty.
        predicted: Predictions of measured costs by name; empty without a predictor.
        ignores_input: Whether its output does not depend on its input, because a block has no path through it.
    """

    derivation: Derivation
    digest: str
    costs: Mapping[str, float]
    row: int
    layers: int
    refusal: State | Literal[""]
    predicted: Mapping[str, float]
    ignores_input: bool

    @property
    def allowed(self) -> bool:
        """Whether it satisfies the limits and all its costs are known."""
        return not self.refusal


class _Known:
    """Networks that were derived: choices -> candidate, None if it cannot be built; and their features."""

    def __init__(self) -> None:
        self.table = FeatureTable()
        self.candidates: dict[tuple[tuple[str, str], ...], PoolCandidate | None] = {}
        self.lock = Lock()  # studies in several threads share them


@lru_cache(maxsize=MAX_SHARED)
def _known(shared: tuple[str, ...]) -> _Known:
    """Return the networks that the studies of this process share for a space and its limits."""
    return _Known()


class CandidatePool:
    """The networks of a space, in a random order that depends on the seed alone.

    Attributes:
        table: Features of the networks: costs, costs of each stage, ``graph_numbers``, and the choices.

    Args:
        candidates: Makes the networks.
        seed: Seed of the study.
    """

    def __init__(self, candidates: Candidates, seed: int):
        self.candidates = candidates
        self.space = candidates.space
        shared = (self.space.digest, *map(str, candidates.limits)) if candidates.are_analytic else None
        self._known = _Known() if shared is None else _known(shared)
        self.table = self._known.table
        self._drawn: list[PoolCandidate] = []
        self.required: Level | None = None  # that a proposed network has, during one proposal
        self._order = _order(self.space, random.Random(seed_for("pool", seed, 0)))

    @property
    def known_costs(self) -> Container[str]:
        """The names of the costs that are known of every network before training."""
        return self.candidates.known_costs

    def candidate(self, derivation: Derivation) -> PoolCandidate | None:
        """Return the network of a derivation, None if it cannot be built; the search reports that."""
        key, known = tuple(derivation.choices.items()), self._known
        if key not in known.candidates:
            with known.lock:
                if key not in known.candidates:
                    try:
                        known.candidates[key] = self._make(derivation)
                    except ExplorerError:
                        known.candidates[key] = None
        return known.candidates[key]

    def is_worth_training(self, candidate: PoolCandidate) -> bool:
        """Return whether the output depends on the input, and the limits are satisfied, measured ones as expected.

        During a proposal with a ``required`` level the network also has to have this level, and may ignore its input.
        """
        level = self.required
        if level is None and candidate.ignores_input:
            return False
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
        then random ones. In a space that is not counted there is no last one.
        """
        while len(self._drawn) < count and (derivation := next(self._order, None)) is not None:
            candidate = self.candidate(derivation)
            if candidate is not None:
                self._drawn.append(candidate)
        return self._drawn[:count]

    def _make(self, derivation: Derivation) -> PoolCandidate:
        candidate = self.candidates.make(derivation)
        if not derivation.choices.keys() <= self.table.options.keys():
            self._read_options(derivation)
        architecture = candidate.architecture
        numbers = _numbers(architecture, candidate.costs)
        return PoolCandidate(
            derivation,
            architecture.digest,
            candidate.costs,
            self.table.add(numbers, derivation.choices),
            architecture.layer_count,
            candidate.refusal[0] if candidate.refusal else "",
            candidate.predicted,
            numbers["cut_blocks"] > 0,
        )

    def _read_options(self, derivation: Derivation) -> None:
        def replay(choice: Choice) -> str:
            self.table.options[choice.name] = choice.options
            return derivation.choices[choice.name]

        self.space.derive(replay)


def _order(space: SearchSpace, draw: random.Random) -> Iterator[Derivation]:
    if not space.is_counted:
        return chain((space.named({}),), map(space.draw, repeat(draw)))
    total = space.indices
    ends = dict.fromkeys((0, total - 1))
    if total <= MAX_LISTED:
        rest: Iterable[int] = draw.sample(range(1, total - 1), max(0, total - 2)) if total > 2 else ()
    else:
        rest = (draw.randrange(total) for _ in count())
    return map(space.unrank, chain(ends, rest))


def _numbers(architecture: Architecture, costs: Mapping[str, float]) -> dict[str, float]:
    """Return numeric features: all costs but redundant ones, MACs and activations of each stage, and the graph's."""
    sums = {name: value for name, value in costs.items() if name not in REDUNDANT} | graph_numbers(architecture)
    for segment in architecture.segments:
        if segment.stage == 0 or segment.stage > len(architecture.stages):  # stem and head
            continue
        if isinstance(segment, PlacedBlock):
            cost = block_cost(segment.block, segment.x)
            macs, activations = cost.macs, cost.activations
        else:
            made = [step.op.cost(step.x) for step in segment.steps]
            macs, activations = sum(each.macs for each in made), sum(each.activations for each in made)
        for name, value in (("macs", macs), ("activations", activations)):
            place = f"{name}@stage{segment.stage}"
            sums[place] = sums.get(place, 0) + value
    return sums
