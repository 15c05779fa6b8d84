"""What the pages know of a storage, read only. An error is a sentence that says what to do.

A study's trials are read once and kept; after that only those that changed are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from explorer.errors import StoreError
from explorer.records import ConfirmationRecord, GradientFlow, Lease, TrainingResult, TrialRecord
from explorer.store import Study, StudySummary, list_studies, open_study

T = TypeVar("T")


@dataclass
class Trials:
    """The trials of one study as last read, without architectures and curves. Sessions of several browsers share it."""

    records: dict[int, TrialRecord] = field(default_factory=dict)
    revision: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def update(self, study: Study) -> bool:
        """Reads what changed since the last time; returns whether anything did. Raises StoreError."""
        with self._lock:
            changed = _read(lambda: study.trials(self.revision, full=False))
            for record in changed:
                self.records[record.number] = record
                self.revision = max(self.revision, record.revision)
            return bool(changed)

    def all(self) -> list[TrialRecord]:
        """In order of their numbers."""
        with self._lock:
            return [self.records[number] for number in sorted(self.records)]


def read_studies(storage: str) -> list[StudySummary]:
    """The studies in a storage, the one that changed last first. Raises StoreError."""
    return sorted(_read(lambda: list_studies(storage)), key=lambda study: -study.changed)


def read_study(storage: str, name: str) -> Study:
    """The study of this name. Raises StoreError."""
    return _read(lambda: open_study(storage, name))


def read_trial(study: Study, number: int) -> TrialRecord:
    """One trial with all that is kept of it. Raises StoreError."""
    return _read(lambda: study.trial(number))


def read_results(study: Study) -> dict[int, TrainingResult]:
    """Trial number -> its training with the whole curve. Raises StoreError."""
    return _read(study.results)


def read_confirmations(study: Study) -> list[ConfirmationRecord]:
    """The trainings from fresh seeds that are complete. Raises StoreError."""
    return [record for record in _read(study.confirmations) if record.state == "complete"]


def read_probabilities(study: Study, x: str, y: str) -> dict[int, float]:
    """Trial number -> probability that its network is on the frontier. Raises StoreError."""
    return _read(lambda: study.frontier_probabilities(x, y, mix_environments=True))


def read_gradient_flow(study: Study, digest: str) -> GradientFlow | None:
    """What was recorded of a network's gradients at its initialisation. Raises StoreError."""
    return _read(lambda: study.gradient_flow(digest))


def read_leases(study: Study) -> list[Lease]:
    """The trials that are held or wait to be taken up again. Raises StoreError."""
    return _read(study.leases)


def _read(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except StoreError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Rows that no explorer wrote: the store trusts what it wrote itself, a reader of any file cannot.
        raise StoreError(
            f"the database holds a row that cannot be read ({type(error).__name__}: {error}); it may be damaged"
        ) from error
