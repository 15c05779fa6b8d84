"""What a sampler knows: every trial of the study, filled from the store, its own trials included.

The store is the only record, so a resumed search is not a special case, and there is no second
database to disagree with the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.pool import Pool
from explorer.study.proposals import Candidates
from explorer.study.samplers import OWN_SAMPLERS


class Memory(Protocol):
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


def make_memory(candidates: Candidates, objectives: Mapping[str, str], sampler: str, seed: int) -> Memory:
    """An empty memory for the sampler of this name."""
    if sampler in OWN_SAMPLERS:
        return RecordMemory(candidates, objectives, sampler, seed)
    from explorer.study.optuna_memory import OptunaMemory

    return OptunaMemory(candidates.space, objectives, sampler, seed, candidates.limits)


class RecordMemory:
    """The memory of our own samplers: the records themselves."""

    def __init__(self, candidates: Candidates, objectives: Mapping[str, str], sampler: str, seed: int):
        self._sampler = OWN_SAMPLERS[sampler](Pool(candidates, seed), objectives, seed)
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
