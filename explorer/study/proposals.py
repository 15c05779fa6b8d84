"""From a derivation to what a trial is begun with, and where derivations come from when the sampler repeats itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from explorer.architecture import Architecture
from explorer.costing.analytic import Cost, count_cost
from explorer.errors import ExplorerError
from explorer.grammar.space import Derivation, SearchSpace
from explorer.limits import Limit
from explorer.records import State
from explorer.study.seeds import seed_for
from explorer.study.work import finite_number, reason_of

OwnCost = Callable[[Architecture, Mapping[str, str]], float]
LISTED = 20_000  # a space of no more derivations is gone through one by one, a larger one by drawing
DRAWS = 2_000  # from a larger one: draws in vain after which it counts as exhausted
BREATH = 50  # looks between two breaths, in which the caller sees to its other duties


class Candidate(NamedTuple):
    """A network with its exact costs. ``refusal``: the state and the reason to end it with before it
    begins, when it breaks a limit or an own cost cannot be had; ``foretold``: what a predictor says of costs that must
    be measured; ``latency``: how the latency among the costs was measured."""

    derivation: Derivation
    architecture: Architecture
    costs: Mapping[str, float]
    refusal: tuple[State, str] | None
    foretold: Mapping[str, float] = {}
    latency: Mapping[str, Any] = {}


def refused(costs: Mapping[str, float], limits: Sequence[Limit]) -> tuple[State, str] | None:
    """How a network of these costs ends before it begins; None when it keeps the limits."""
    broken = [f"{limit}, found {costs[limit.cost]:,g}" for limit in limits if not limit.allows(costs)]
    return ("rejected", f"limit {'; '.join(broken)}") if broken else None


class Candidates:
    """Makes candidates of a space: its networks with analytic and own costs, held against the limits.

    ``hopeful``: whether a candidate, or what stands for it, may keep limits on what must be measured; its answers may
    change. ``foretell``: what a predictor says of a network.
    """

    def __init__(
        self,
        space: SearchSpace,
        own_costs: Mapping[str, OwnCost],
        limits: Sequence[Limit],
        hopeful: Callable[[Any], bool] = lambda network: True,
        foretell: Callable[[Architecture], Mapping[str, float]] = lambda architecture: {},
    ):
        self.space = space
        self.limits = limits
        self.hopeful = hopeful
        self._foretell = foretell
        self._own_costs = own_costs

    @property
    def known_costs(self) -> frozenset[str]:
        """The names of the costs that every candidate has."""
        return frozenset((*Cost.__dataclass_fields__, *self._own_costs))

    def make(self, derivation: Derivation) -> Candidate:
        """The derivation's candidate. Raises ExplorerError when the network cannot be built."""
        architecture = self.space.architecture(derivation)
        costs: dict[str, float] = dict(count_cost(architecture).to_dict())
        for name, own in self._own_costs.items():
            try:
                costs[name] = finite_number(f"the cost {name}", own(architecture, dict(derivation.choices)))
            except (Exception, SystemExit) as error:
                return Candidate(derivation, architecture, costs, ("failed", reason_of(error)))
        return Candidate(
            derivation, architecture, costs, refused(costs, self.limits), foretold=self._foretell(architecture)
        )

    def unseen(self, seed: int, seen: Container[str]) -> Iterator[Candidate | None]:
        """Candidates in random order that keep the limits and whose network is not ``seen`` when it is drawn.

        None comes between them as a breath. In a listed space every derivation is looked at once, and the
        end means that it holds no more; in a larger one it means that DRAWS in a row brought nothing.
        """
        draw = random.Random(seed_for("unseen", seed, 0))
        total = self.space.count()
        listed = total <= LISTED
        indices = iter(draw.sample(range(total), total)) if listed else (draw.randrange(total) for _ in count())
        vain = 0
        for index in indices:
            candidate = self._buildable(self.space.unrank(index))
            if (
                candidate is not None
                and candidate.architecture.digest not in seen
                and (candidate.refusal is None or candidate.refusal[0] == "failed")
            ):
                vain = 0
                yield candidate
            else:
                vain += 1
                if not listed and vain == DRAWS:
                    return
                if vain % BREATH == 0:
                    yield None

    def _buildable(self, derivation: Derivation) -> Candidate | None:
        """The derivation's candidate, None where the network cannot be built."""
        try:
            return self.make(derivation)
        except ExplorerError:
            return None
