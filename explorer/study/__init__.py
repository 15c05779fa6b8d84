"""Search of a space: trials are proposed by a sampler, run in child processes and stored in the database."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "run_search": "search",
    "join_search": "joining",
    "SearchResult": "search",
    "SAMPLERS": "samplers.registry",
    "RULES": "stopping.rules",
    "Event": "events",
    "Progress": "events",
    "Status": "events",
    "show_progress": "display",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
