"""A module that is imported on first use, for annotations of functions that are often imported without being called."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """A module that is imported when one of its attributes is first used.

    ``typing.get_type_hints`` then resolves the annotations of a function that names the module.

    Args:
        name: Name of the module.
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
