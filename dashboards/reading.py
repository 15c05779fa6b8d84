"""What the pages know of a storage, read only. An error is a sentence that says what to do.

A study's trials are read once and kept; after that only those that changed are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from explorer.errors import StoreError
from explorer.latency_environments import mixed_environments
from explorer.noise import trial_probabilities
from explorer.records import ConfirmationRecord, Curve, Environment, GradientFlow, Lease, TrialRecord
from explorer.store import Study, StudySummary, list_studies, open_study
from explorer.store.studies import study_revisions
from explorer.store.study import LATENCY, TERMS

T = TypeVar("T")


@dataclass
class Known:
    """What was read of one study so far: its trials, without architectures and curves, and the trainings from fresh
    seeds. Sessions of several browsers share it. ``revision``: of the last change that is in it."""

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    confirmations: dict[tuple, ConfirmationRecord] = field(default_factory=dict)
    revision: int = 0
    _curves: dict[int, Curve] = field(default_factory=dict, repr=False)
    _curves_revision: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def update(self, study: Study) -> bool:
        """Reads what changed since the last time, if anything did when ``study`` was opened; returns whether anything
        was read. Raises StoreError."""
        with self._lock:
            if self.revision and self.revision >= study.revision:
                return False
            since = self.revision
            trials = _read(lambda: [_checked(record) for record in study.trials(since, full=False)])
            again = _read(lambda: study.confirmations(since))
            self.trials |= {record.number: record for record in trials}
            self.confirmations |= {(record.digest, record.epochs, record.seed): record for record in again}
            # Changes become visible in the order of their revisions: none before the last one seen is missing.
            self.revision = max(since, study.revision, *(record.revision for record in trials))
            return bool(trials or again)

    def all_trials(self) -> list[TrialRecord]:
        """In order of their numbers."""
        with self._lock:
            return [self.trials[number] for number in sorted(self.trials)]

    def confirmed(self) -> list[ConfirmationRecord]:
        """The trainings from fresh seeds that are complete."""
        with self._lock:
            return [record for record in self.confirmations.values() if record.state == "complete"]

    def curves(self, study: Study) -> dict[int, Curve]:
        """Trial number -> the course of its training; those that changed since the last time are read. Raises
        StoreError."""
        with self._lock:
            if self._curves_revision < self.revision:
                revision = self.revision
                self._curves |= _read(lambda: study.curves(self._curves_revision))
                self._curves_revision = revision
            return dict(self._curves)


def read_revisions(storage: str) -> dict[str, int]:
    """The studies in a storage and the revision of each one's last change. Raises StoreError."""
    return _read(lambda: study_revisions(storage))


def read_studies(storage: str) -> list[StudySummary]:
    """The studies in a storage, the one that changed last first. Raises StoreError."""
    return sorted(_read(lambda: list_studies(storage)), key=lambda study: -study.changed)


def read_study(storage: str, name: str) -> Study:
    """The study of this name. Raises StoreError."""
    return _read(lambda: open_study(storage, name))


def read_trial(study: Study, number: int) -> TrialRecord:
    """One trial with all that is kept of it. Raises StoreError."""
    return _read(lambda: _checked(study.trial(number)))


def read_confirmations(study: Study) -> list[ConfirmationRecord]:
    """The trainings from fresh seeds that are complete. Raises StoreError."""
    return [record for record in _read(study.confirmations) if record.state == "complete"]


def frontier_chances(study: Study, records: Iterable[TrialRecord], x: str, y: str) -> dict[int, float]:
    """Trial number -> probability that its network is on the frontier of the complete trials among ``records``;
    empty where nothing is known of the noise. Raises StoreError."""
    complete = [record for record in records if record.state == "complete"]
    epochs = study.fingerprint.get("epochs")
    return _read(lambda: trial_probabilities(study.confirmations(), complete, x, y, -study.sign(y), epochs))


def latency_environments(records: Iterable[TrialRecord]) -> str:
    """In how many environments the latencies of the complete trials among ``records`` were measured, and in what
    these differ; empty for one. Raises StoreError."""
    return _read(lambda: mixed_environments(record for record in records if record.state == "complete"))


def not_comparable(studies: Sequence[Study], records: Iterable[Iterable[TrialRecord]], x: str, y: str) -> str:
    """Why ``x`` and ``y`` of these studies, whose trials are ``records``, do not compare. Empty where they were trained
    alike and their latencies, if those are asked for, measured in one environment. Raises StoreError."""
    reasons = []
    differing = [name for name in TERMS if len({json.dumps(each.fingerprint.get(name)) for each in studies}) > 1]
    if differing:
        told = [
            f"{name} ({', '.join(dict.fromkeys(str(each.fingerprint.get(name)) for each in studies))})"
            if name in ("data", "epochs")
            else name
            for name in differing
        ]
        reasons.append(f"these studies were trained otherwise: they differ in {', '.join(told)}")
    if LATENCY in (x, y) and (found := latency_environments(record for own in records for record in own)):
        reasons.append(f"latencies were measured in {found}: such numbers compare machines, not networks")
    return "; ".join(reasons)


def read_gradient_flow(study: Study, digest: str) -> GradientFlow | None:
    """What was recorded of a network's gradients at its initialisation. Raises StoreError."""
    return _read(lambda: study.gradient_flow(digest))


def read_environments(study: Study) -> dict[int, Environment]:
    """Trial number -> on what it was trained, where that is known. Raises StoreError."""
    return _read(study.environments)


def read_leases(study: Study) -> list[Lease]:
    """The trials that are held or wait to be taken up again. Raises StoreError."""
    return _read(study.leases)


def _checked(record: TrialRecord) -> TrialRecord:
    """The record, unless it holds what no search writes: pages reckon with its quantities. Raises ValueError."""
    quantities = [*record.costs.values(), *record.objectives.values()]
    if not all(isinstance(value, (int, float)) for value in quantities):
        raise ValueError(f"trial {record.number} has a quantity that is no number")
    if not all(isinstance(text, str) for text in record.choices.values()):
        raise ValueError(f"trial {record.number} has a choice that is no text")
    return record


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
