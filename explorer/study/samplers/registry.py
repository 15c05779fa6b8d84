"""The samplers by name: Optuna's, and our own, which know every network's exact costs before it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from explorer.errors import StudyError, did_you_mean
from explorer.grammar.space import Derivation
from explorer.records import TrialRecord
from explorer.study.candidates import Candidates
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.evolution import EvolutionSampler
from explorer.study.samplers.random import UniformSampler


class Sampler(Protocol):
    """What proposes networks: a function of the study's seed, the trials so far and the new trial's number, so
    that a resumed study asks what an uninterrupted one would have asked."""

    def __init__(self, pool: CandidatePool, objectives: Mapping[str, str], seed: int): ...

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """The derivation to try as trial ``number``, and the sampler's notes on it, for JSON. ``trials``: all there
        are, in order of their numbers, running ones included."""
        ...


def _frontier(pool: CandidatePool, objectives: Mapping[str, str], seed: int) -> Sampler:
    from explorer.study.samplers.frontier import FrontierSampler  # numpy and scipy, for whom asks for it

    return FrontierSampler(pool, objectives, seed)


OWN_SAMPLERS = {"frontier": _frontier, "evolution": EvolutionSampler, "random": UniformSampler}
SAMPLERS = (*OWN_SAMPLERS, "tpe", "nsga2", "gp")


def check_sampler(name: str) -> str:
    """The name itself. Raises StudyError when no sampler bears it."""
    if name not in SAMPLERS:
        raise StudyError(f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}{did_you_mean(name, SAMPLERS)}")
    return name


class SamplerAdapter(Protocol):
    """The sampler with what it has learnt."""

    def ask(self, number: int) -> tuple[Derivation, dict[str, Any]]:
        """The sampler's proposal for trial ``number`` and its notes on it."""
        ...

    def adopt(self, number: int, derivation: Derivation) -> dict[str, Any]:
        """The sampler's notes on a network that the loop has chosen for trial ``number`` in its stead."""
        ...

    def forget(self, number: int) -> None:
        """Takes back what was asked for trial ``number``: another worker's trial bears that number."""
        ...

    def __contains__(self, number: int) -> bool:
        """Whether trial ``number`` is known here as running."""
        ...

    def learn(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        """Takes in a trial as the store has it now; ``notes`` are the sampler's, for a trial not known here."""
        ...


def make_sampler(candidates: Candidates, objectives: Mapping[str, str], sampler: str, seed: int) -> SamplerAdapter:
    """An empty memory for the sampler of this name."""
    if sampler in OWN_SAMPLERS:
        return RecordAdapter(candidates, objectives, sampler, seed)
    from explorer.study.samplers.optuna import OptunaAdapter

    return OptunaAdapter(candidates.space, objectives, sampler, seed, candidates.limits)


class RecordAdapter:
    """The memory of our own samplers: the records themselves."""

    def __init__(self, candidates: Candidates, objectives: Mapping[str, str], sampler: str, seed: int):
        self._sampler = OWN_SAMPLERS[sampler](CandidatePool(candidates, seed), objectives, seed)
        self._records: dict[int, TrialRecord] = {}

    def ask(self, number: int) -> tuple[Derivation, dict[str, Any]]:
        return self._sampler.propose([self._records[known] for known in sorted(self._records)], number)

    def adopt(self, number: int, derivation: Derivation) -> dict[str, Any]:
        return {}

    def forget(self, number: int) -> None:
        """Nothing was kept of the proposal."""

    def __contains__(self, number: int) -> bool:
        return number in self._records  # its notes are not asked for

    def learn(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        self._records[record.number] = record
