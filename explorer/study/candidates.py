"""Candidates: networks of a space with their costs, and a generator of untried ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from explorer.analysis.limits import Limit
from explorer.analysis.quantities import COSTS
from explorer.costs.analytic import count_cost
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.records import State
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace
from explorer.study.seeds import seed_for
from explorer.study.workers.jobs import finite_number, reason_of

OwnCost = Callable[[Architecture, dict[str, str]], float]  # a dict, so that a caller may write dict or Mapping
MAX_ENUMERATED = 20_000  # derivations up to which a space is enumerated; larger spaces are sampled
MAX_REPEATS = 2_000  # samples in a row without an untried network after which a space counts as exhausted
YIELD_EVERY = 50  # derivations between two returns to the caller, so that a search stays responsive


class Candidate(NamedTuple):
    """A network with its exact costs.

    Attributes:
        derivation: The choices.
        architecture: The network.
        costs: Costs by name.
        refusal: State and reason of a trial that ends without training, if the network violates a limit or a cost
            function of the caller failed.
        predicted: Predictions of measured costs by name.
        latency: How the latency among the costs was measured; empty without one.
    """

    derivation: Derivation
    architecture: Architecture
    costs: Mapping[str, float]
    refusal: tuple[State, str] | None
    predicted: Mapping[str, float] = {}
    latency: Mapping[str, Any] = {}


def limit_violation(costs: Mapping[str, float], limits: Sequence[Limit]) -> tuple[State, str] | None:
    """Return the state and reason to reject a network with these costs, None if it satisfies the limits."""
    broken = [f"{limit}, found {costs[limit.cost]:,g}" for limit in limits if not limit.allows(costs)]
    return ("rejected", f"limit {'; '.join(broken)}") if broken else None


def no_prediction(architecture: Architecture) -> Mapping[str, float]:
    """Return no predictions."""
    return {}


class Candidates:
    """Makes candidates: networks of a space with their analytic and own costs, checked against the limits.

    Args:
        space: The space that the networks come from.
        own_costs: The caller's cost functions by name.
        limits: Limits on costs that are known before measurement.
        may_satisfy_limits: Whether a network is expected to keep the limits on measured costs; the result for a network
            may change when more latencies are measured. None if there are no such limits.
        predict: Predictions of measured costs, by name; empty by default.
    """

    def __init__(
        self,
        space: SearchSpace,
        own_costs: Mapping[str, OwnCost],
        limits: Sequence[Limit],
        may_satisfy_limits: Callable[[Any], bool] | None = None,
        predict: Callable[[Architecture], Mapping[str, float]] = no_prediction,
    ):
        self.space = space
        self.limits = limits
        self.may_satisfy_limits = may_satisfy_limits
        self._predict = predict
        self._own_costs = own_costs

    @property
    def are_analytic(self) -> bool:
        """Whether candidates depend on the space and the limits alone, and are therefore equal in other studies."""
        return not self._own_costs and self._predict is no_prediction

    @property
    def known_costs(self) -> frozenset[str]:
        """The names of the costs that are known of every candidate."""
        return frozenset((*COSTS, *self._own_costs))

    def make(self, derivation: Derivation) -> Candidate:
        """Return the candidate of a derivation.

        Raises:
            ExplorerError: The network cannot be built.
        """
        architecture = self.space.architecture(derivation)
        costs: dict[str, float] = dict(count_cost(architecture).to_dict())
        for name, own in self._own_costs.items():
            try:
                costs[name] = finite_number(f"the cost {name}", own(architecture, dict(derivation.choices)))
            except (Exception, SystemExit) as error:
                return Candidate(derivation, architecture, costs, ("failed", reason_of(error)))
        return Candidate(
            derivation, architecture, costs, limit_violation(costs, self.limits), predicted=self._predict(architecture)
        )

    def untried(self, seed: int, seen: Container[str]) -> Iterator[Candidate | None]:
        """Yield untried candidates that keep the limits, in random order.

        Every ``YIELD_EVERY`` derivations without a result it yields None, so that the caller can do other work. An
        enumerated space ends after its last derivation, a sampled one after ``MAX_REPEATS`` samples in a row without
        a result.

        Args:
            seed: Seed of the study.
            seen: Digests of tried networks; it may grow during the iteration.
        """
        draw = random.Random(seed_for("unseen", seed, 0))
        space = self.space
        enumerated = space.is_counted and space.indices <= MAX_ENUMERATED
        if enumerated:
            derivations = map(space.unrank, draw.sample(range(space.indices), space.indices))
        else:
            derivations = map(space.draw, repeat(draw))
        repeats = 0
        for derivation in derivations:
            candidate = self._buildable(derivation)
            if (
                candidate is not None
                and candidate.architecture.digest not in seen
                and (candidate.refusal is None or candidate.refusal[0] == "failed")
            ):
                repeats = 0
                yield candidate
            else:
                repeats += 1
                if not enumerated and repeats == MAX_REPEATS:
                    return
                if repeats % YIELD_EVERY == 0:
                    yield None

    def _buildable(self, derivation: Derivation) -> Candidate | None:
        """Return the candidate of a derivation, None if the network cannot be built."""
        try:
            return self.make(derivation)
        except ExplorerError:
            return None
