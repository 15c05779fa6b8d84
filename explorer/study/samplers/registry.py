"""The samplers by name, and the interface by which a search uses one.

The samplers frontier, evolution and random are part of the explorer: they use the exact costs of every network before
it is trained. The samplers tpe, nsga2 and gp are Optuna's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from explorer.extensions.lookup import find
from explorer.extensions.registry import serve
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.levels import Level
from explorer.study.candidates import Candidates
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.evolution import EvolutionSampler
from explorer.study.samplers.random import UniformSampler


class Sampler(Protocol):
    """Proposes networks.

    A proposal depends only on the study's seed, the trials so far and the number of the new trial, so that a resumed
    study gets the same proposals as an uninterrupted one.

    Args:
        pool: The networks to choose from.
        objectives: Name to "max" or "min".
        seed: Seed of the study.
    """

    def __init__(self, pool: CandidatePool, objectives: Mapping[str, str], seed: int): ...

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """Return the proposed derivation, and notes on it.

        Args:
            trials: All trials of the study in order of their numbers, running ones included.
            number: Number of the new trial.

        Returns:
            The derivation, and notes that can be written as JSON.
        """
        ...


def _frontier(pool: CandidatePool, objectives: Mapping[str, str], seed: int) -> Sampler:
    from explorer.study.samplers.frontier import FrontierSampler  # imports scipy, which other samplers do not need

    return FrontierSampler(pool, objectives, seed)


MakeSampler = Callable[[CandidatePool, Mapping[str, str], int], Sampler]
OWN_SAMPLERS: dict[str, MakeSampler] = {"frontier": _frontier, "evolution": EvolutionSampler, "random": UniformSampler}
SAMPLERS = (*OWN_SAMPLERS, "tpe", "nsga2", "gp")
serve("sampler", SAMPLERS)


class SamplerAdapter(Protocol):
    """A sampler with the trials that were reported to it.

    Attributes:
        needs_notes: Whether ``learn`` needs the notes that were stored with a trial.
    """

    needs_notes: bool

    def ask(self, number: int, level: Level | None = None) -> tuple[Derivation, dict[str, Any]]:
        """Return the sampler's proposal for trial ``number``, and its notes on it.

        Args:
            number: Number of the trial.
            level: A level that the network should have; the sampler may fail to find one.
        """
        ...

    def adopt(self, number: int, derivation: Derivation) -> dict[str, Any]:
        """Return the sampler's notes on a network that the search chose for trial ``number`` itself."""
        ...

    def forget(self, number: int) -> None:
        """Withdraw the proposal for trial ``number``, whose number another worker has used."""
        ...

    def __contains__(self, number: int) -> bool:
        """Return whether the sampler has trial ``number`` as running."""
        ...

    def learn(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        """Add or update a trial.

        Args:
            record: The trial.
            notes: The sampler's notes that were stored with it.
        """
        ...


def make_sampler(candidates: Candidates, objectives: Mapping[str, str], sampler: str, seed: int) -> SamplerAdapter:
    """Return the sampler of this name, without trials.

    Args:
        candidates: Makes the networks of the space.
        objectives: Name to "max" or "min".
        sampler: One of ``SAMPLERS``, or the name of an extension.
        seed: Seed of the study.
    """
    made = OWN_SAMPLERS.get(sampler) or _of_extension(sampler)
    if made is not None:
        return RecordAdapter(candidates, objectives, made, seed)
    from explorer.study.samplers.optuna import OptunaAdapter

    return OptunaAdapter(candidates.space, objectives, sampler, seed, candidates.limits)


def _of_extension(name: str) -> MakeSampler | None:
    """Return the class of an extension's sampler; None if there is none of that name."""
    found = find("sampler", name)
    return None if found is None else found.value


class RecordAdapter:
    """Passes all trial records to a sampler of the explorer or of an extension at each proposal."""

    needs_notes = False

    def __init__(self, candidates: Candidates, objectives: Mapping[str, str], sampler: MakeSampler, seed: int):
        self._pool = CandidatePool(candidates, seed)
        self._sampler = sampler(self._pool, objectives, seed)
        self._records: dict[int, TrialRecord] = {}

    def ask(self, number: int, level: Level | None = None) -> tuple[Derivation, dict[str, Any]]:
        self._pool.required = level
        try:
            return self._sampler.propose([self._records[known] for known in sorted(self._records)], number)
        finally:
            self._pool.required = None

    def adopt(self, number: int, derivation: Derivation) -> dict[str, Any]:
        return {}

    def forget(self, number: int) -> None:
        """Do nothing: proposals are not stored."""

    def __contains__(self, number: int) -> bool:
        return number in self._records

    def learn(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        self._records[record.number] = record
