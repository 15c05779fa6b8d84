"""The error tree: everything a user can cause.

    ExplorerError
    ├── SpaceError           a search-space file or a choice in it (located: file, line, column)
    ├── ArchitectureError    an architecture that cannot exist: shapes that do not meet, unknown ops
    ├── CostError            a count that cannot be made or that disagrees with another counter
    ├── MeasurementError     a device that is not there, a measurement that cannot be made
    ├── DataError            a data set that is missing, damaged or unknown
    ├── TrainingError        a training that cannot start or that ended without a usable result
    ├── StudyError           a search that cannot be run as it was asked for
    │   └── SearchFailed     a search that gave up; its study is in the attribute study
    ├── StoreError           a database or a study that is missing, unreadable or different
    └── ExportError          a file set that cannot be written or that fails its own check

Each message says where, what was found, what was expected and the likely mend. The command line
prints it and exits with status 2; ``assert`` is kept for what only a bug can cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

MANY_NAMES = 200


class ExplorerError(Exception):
    """The root of all errors that a user can cause."""


class Problem(NamedTuple):
    """One fault in a space file. ``line`` and ``column`` count from 1."""

    source: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}"


class SpaceError(ExplorerError):
    """One or more located faults of a search space, all that one reading found."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.source, p.line, p.column)))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self):
        return (type(self), (self.problems,))


class ArchitectureError(ExplorerError):
    """An architecture that cannot exist."""


class CostError(ExplorerError):
    """A count that cannot be made, or that disagrees with another counter."""


class MeasurementError(ExplorerError):
    """A device that is not there, or a measurement that cannot be made."""


class DataError(ExplorerError):
    """A data set that is missing, damaged or unknown."""


class TrainingError(ExplorerError):
    """A training that cannot start, or that ended without a usable result."""


class StudyError(ExplorerError):
    """A search that cannot be run as it was asked for: an unknown objective or sampler, a budget of nothing."""


class SearchFailed(StudyError):
    """A search that gave up: trial after trial failed, or its record could not be written.

    Attributes:
        study: The study with all trials that had ended.
    """

    def __init__(self, message: str, study: Any = None):
        super().__init__(message)
        self.study = study


class StoreError(ExplorerError):
    """A database or a study that is missing, unreadable or different from what was asked."""


class ExportError(ExplorerError):
    """A file set that cannot be written, or that fails its own check."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'conv3x3'?`` for the nearest known names, or an empty string."""
    names = sorted(set(known))
    if len(names) > MANY_NAMES:  # among very many, only names that begin alike are compared
        names = [name for name in names if name[:1] == word[:1] and abs(len(name) - len(word)) <= 3][:MANY_NAMES]
    near = get_close_matches(word[:64], names, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def one_line(error: BaseException) -> str:
    """What another package's error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
