"""The folders of the user's that the explorer keeps its own files in, where the system's conventions put them."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path, user_data_path


def user_cache(name: str) -> Path:
    """Return the folder for files that can be made again: ``$XDG_CACHE_HOME/explorer/NAME`` on Linux, where
    XDG_CACHE_HOME is ``~/.cache`` unless it is set."""
    return user_cache_path("explorer", appauthor=False) / name


def user_data(name: str) -> Path:
    """Return the folder for files to keep: ``$XDG_DATA_HOME/explorer/NAME`` on Linux, where XDG_DATA_HOME is
    ``~/.local/share`` unless it is set."""
    return user_data_path("explorer", appauthor=False) / name
