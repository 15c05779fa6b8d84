"""The samplers by name: Optuna's, and our own, which know every network's exact costs before it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from explorer.grammar.space import Derivation
from explorer.records import TrialRecord
from explorer.study.evolution import EvolutionSampler
from explorer.study.pool import Pool
from explorer.study.uniform import UniformSampler


class Sampler(Protocol):
    """What proposes networks: a function of the study's seed, the trials so far and the new trial's number, so
    that a resumed study asks what an uninterrupted one would have asked."""

    def __init__(self, pool: Pool, objectives: Mapping[str, str], seed: int): ...

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """The derivation to try as trial ``number``, and the sampler's notes on it, for JSON. ``trials``: all there
        are, in order of their numbers, running ones included."""
        ...


def _frontier(pool: Pool, objectives: Mapping[str, str], seed: int) -> Sampler:
    from explorer.study.frontier_sampler import FrontierSampler  # numpy and scipy, for whom asks for it

    return FrontierSampler(pool, objectives, seed)


OWN_SAMPLERS = {"frontier": _frontier, "evolution": EvolutionSampler, "random": UniformSampler}
SAMPLERS = (*OWN_SAMPLERS, "tpe", "nsga2", "gp")
