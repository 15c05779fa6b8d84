"""Read studies and trials from a storage, without writing to it.

Every function raises StoreError if the storage cannot be read. A database is checked and opened once, and again if its
file was replaced. A study's trials are read once and cached; later only those that changed are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from explorer.analysis.frontier_certainty import FrontierCertainty, all_trainings, frontier_certainty
from explorer.analysis.latency_environments import mixed_environments
from explorer.analysis.quantities import LATENCY
from explorer.dashboard.data.columns import (
    TrialTable,
    UnusualRow,
    merged,
    no_trials,
    table_of_columns,
    table_of_records,
)
from explorer.errors import StoreError
from explorer.records import ConfirmationRecord, Curve, Environment, GradientFlow, Lease, TrialRecord
from explorer.store import Study, StudySummary
from explorer.store.database import Database, open_for_reading
from explorer.store.schema import trials
from explorer.store.storage_url import database_file
from explorer.store.studies import find_study, revisions_in, summaries_in
from explorer.store.study import TRAINING_SETTINGS
from explorer.store.trials import read_trials
from explorer.store.views.columns import read_columns

T = TypeVar("T")
MAX_DATABASES = 16  # kept open

_databases: dict[str, tuple[object, Database]] = {}  # storage -> (identity of its file, the open database)


@dataclass
class StudyCache:
    """What was read of one study so far. All browser sessions share it.

    Attributes:
        trials: Trial number -> its record, without architecture and training curve.
        confirmations: (digest, epochs, seed) -> a training from a fresh seed.
        revision: The study's revision up to which the cache is complete; 0 before the first read.
    """

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    confirmations: dict[tuple[str, int, int], ConfirmationRecord] = field(default_factory=dict)
    revision: int = 0
    _curves: dict[int, Curve] = field(default_factory=dict, repr=False)
    _curves_revision: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def update(self, study: Study) -> bool:
        """Read what changed between the last update and the moment when ``study`` was opened.

        Returns:
            Whether anything was read.
        """
        with self._lock:
            if self.revision and self.revision >= study.revision:
                return False
            since = self.revision
            trials = _read(lambda: [_checked(record) for record in study.trials(since, full=False)])
            confirmations = _read(lambda: study.confirmations(since))
            self.trials |= {record.number: record for record in trials}
            self.confirmations |= {(record.digest, record.epochs, record.seed): record for record in confirmations}
            # Changes become visible in the order of their revisions: none before the latest one read is missing.
            self.revision = max(since, study.revision, *(record.revision for record in trials))
            return bool(trials or confirmations)

    def all_trials(self) -> list[TrialRecord]:
        """Return the trials in the order of their numbers."""
        with self._lock:
            return [self.trials[number] for number in sorted(self.trials)]

    def confirmed(self) -> list[ConfirmationRecord]:
        """Return the complete trainings from fresh seeds."""
        with self._lock:
            return [record for record in self.confirmations.values() if record.state == "complete"]

    def curves(self, study: Study) -> dict[int, Curve]:
        """Return trial number -> training curve. Curves that changed since the last call are read."""
        with self._lock:
            if self._curves_revision < self.revision:
                revision = self.revision
                self._curves |= _read(lambda: study.curves(self._curves_revision))
                self._curves_revision = revision
            return dict(self._curves)


@dataclass
class TableCache:
    """The trials of a study as arrays. All browser sessions share it."""

    table: TrialTable = field(default_factory=no_trials)
    confirmations: dict[tuple[str, int, int], ConfirmationRecord] = field(default_factory=dict)
    revision: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def update(self, study: Study) -> TrialTable:
        """Read what changed up to the moment when ``study`` was opened; return all trials."""
        with self._lock:
            if not self.revision or self.revision < study.revision:
                new = _read(lambda: self._changed(study))
                again = _read(lambda: study.confirmations(self.revision))
                self.table = merged(self.table, new)
                self.confirmations |= {(record.digest, record.epochs, record.seed): record for record in again}
                self.revision = max(self.revision, study.revision, new.revision)
            return self.table

    def confirmed(self, study: Study) -> list[ConfirmationRecord]:
        """Return the complete trainings from fresh seeds, brought up to date."""
        self.update(study)
        return [record for record in self.confirmations.values() if record.state == "complete"]

    def _changed(self, study: Study) -> TrialTable:
        try:
            return table_of_columns(read_columns(study, self.revision), study.objectives)
        except UnusualRow:
            return table_of_records(_checked(record) for record in study.trials(self.revision, full=False))


def open_database(storage: str) -> Database:
    """Return an open database of a storage. Its tables are checked when it is opened, not at each read."""
    file = database_file(storage)
    try:
        status = None if file is None else file.stat()
    except OSError:
        status = None
    identity = None if status is None else (status.st_dev, status.st_ino)
    known = _databases.get(storage)
    if known is not None and known[0] == identity and (file is None or status is not None):
        return known[1]
    database = open_for_reading(storage)
    while len(_databases) >= MAX_DATABASES:
        _databases.pop(next(iter(_databases)), None)
    _databases[storage] = identity, database
    return database


def _in_database(storage: str, query: Callable[[Database], T]) -> T:
    """Return an answer of the database of a storage. After an error, it is opened and checked again at the next use."""
    try:
        return _read(lambda: query(open_database(storage)))
    except StoreError:
        _databases.pop(storage, None)
        raise


def read_revisions(storage: str) -> dict[str, int]:
    """Return study name -> revision of its last change."""
    return _in_database(storage, revisions_in)


def read_studies(storage: str) -> list[StudySummary]:
    """Return the studies of a storage, the one that changed last first."""
    return sorted(_in_database(storage, summaries_in), key=lambda study: -study.changed)


def read_study(storage: str, name: str) -> Study:
    """Return the study of this name."""
    return _in_database(storage, lambda database: find_study(database, name))


def read_numbered(study: Study, numbers: Sequence[int]) -> list[TrialRecord]:
    """Return the trials of these numbers in this order, without architecture and training curve."""
    wanted = trials.c.number.in_([int(number) for number in numbers])
    found = _read(lambda: read_trials(study, study.objectives, wanted, full=False))
    known = {record.number: _checked(record) for record in found}
    return [known[number] for number in numbers if number in known]


def read_trial(study: Study, number: int) -> TrialRecord:
    """Return one trial with its architecture and training curve."""
    return _read(lambda: _checked(study.trial(number)))


def read_confirmations(study: Study) -> list[ConfirmationRecord]:
    """Return the complete trainings from fresh seeds."""
    return [record for record in _read(study.confirmations) if record.state == "complete"]


def certainty_of(study: Study, records: Iterable[TrialRecord], x: str, y: str) -> FrontierCertainty | None:
    """Return the probability of each complete trial's network to stay on the front in another run.

    The result is None if no repeated trainings tell the noise.
    """
    epochs = study.fingerprint.get("epochs")
    return _read(
        lambda: frontier_certainty(all_trainings(records, study.confirmations(), x, y, -study.sign(y), epochs), y)
    )


def latency_environments(records: Iterable[TrialRecord]) -> str:
    """Describe the environments of the complete trials' latencies: how many, and how they differ; empty for one."""
    return _read(lambda: mixed_environments(record for record in records if record.state == "complete"))


def why_not_comparable(studies: Sequence[Study], records: Iterable[Iterable[TrialRecord]], x: str, y: str) -> str:
    """Return why studies are not comparable in a plane, or an empty string if they are.

    They are comparable if data, split, recipe, epochs and the user's function are the same, and if latencies, where
    ``x`` or ``y`` is a latency, were measured in one environment.

    Args:
        studies: The studies.
        records: The trials of each study.
        x: Name of the quantity on the x axis.
        y: Name of the quantity on the y axis.
    """
    reasons = []
    differing = [
        name for name in TRAINING_SETTINGS if len({json.dumps(each.fingerprint.get(name)) for each in studies}) > 1
    ]
    if differing:
        named = [
            f"{name} ({', '.join(dict.fromkeys(str(each.fingerprint.get(name)) for each in studies))})"
            if name in ("data", "epochs")
            else name
            for name in differing
        ]
        reasons.append(f"these studies trained with different settings: {', '.join(named)}")
    if functions := _different_functions(studies):
        reasons.append(functions)
    if LATENCY in (x, y) and (found := latency_environments(record for own in records for record in own)):
        reasons.append(f"latencies were measured in {found}; they compare machines, not networks")
    return "; ".join(reasons)


def _different_functions(studies: Iterable[Study]) -> str:
    """Describe the users' functions that evaluated the studies if there are several; empty for one.

    A function without recorded code, as in old studies, does not differ; neither does code that was read in different
    ways, as source and as bytecode.
    """
    known = [each.fingerprint["code"]["evaluate"] for each in studies if "evaluate" in each.fingerprint.get("code", {})]
    names = list(dict.fromkeys(each["name"] for each in known))
    if len(names) > 1:
        return f"these studies evaluated their networks with different functions: {', '.join(names)}"
    digests: dict[str, set[str]] = {}  # form of the code -> digests
    for each in known:
        form, _, digest = each["code"].rpartition(" ")
        digests.setdefault(form, set()).add(digest)
    if any(len(own) > 1 for own in digests.values()):
        return f"these studies evaluated their networks with different versions of the function {names[0]}"
    return ""


def read_gradient_flow(study: Study, digest: str) -> GradientFlow | None:
    """Return the gradient statistics of a network at initialisation; None if they were not recorded."""
    flow: GradientFlow | None = _read(lambda: study.gradient_flow(digest))
    return flow


def read_environments(study: Study) -> dict[int, Environment]:
    """Return trial number -> the environment of its training, where it is known."""
    return _read(study.environments)


def read_leases(study: Study) -> list[Lease]:
    """Return the leases of running trials and of trials that wait to be resumed."""
    return _read(study.leases)


def _checked(record: TrialRecord) -> TrialRecord:
    """Return the record. Raises ValueError if a value has a type that no search writes."""
    quantities = [*record.costs.values(), *record.objectives.values()]
    if not all(isinstance(value, (int, float)) for value in quantities):
        raise ValueError(f"trial {record.number} has a quantity that is not a number")
    if not all(isinstance(text, str) for text in record.choices.values()):
        raise ValueError(f"trial {record.number} has a choice that is not text")
    return record


def _read(query: Callable[[], T]) -> T:
    try:
        return query()
    except StoreError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The store trusts rows that it wrote; the file of a dashboard may come from anywhere.
        raise StoreError(
            f"the database holds a row that cannot be read ({type(error).__name__}: {error}); it may be damaged"
        ) from error
