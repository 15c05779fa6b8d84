"""The database of studies: their trials, the costs of the networks and the results.

The package does not import torch, optuna or pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Study": "study",
    "StudySummary": "studies",
    "open_study": "studies",
    "list_studies": "studies",
    "StudyWriter": "writer",
    "open_writer": "writer",
    "Proposal": "rows",
    "Ending": "rows",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
