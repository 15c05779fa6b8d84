"""The user's folders for the explorer's own files, by the XDG conventions on Linux and macOS."""

from __future__ import annotations

from pathlib import Path

# platformdirs chooses ~/Library on macOS. Command-line tools there use the XDG folders, and earlier versions did too.
from platformdirs.unix import Unix

_FOLDERS = Unix("explorer", appauthor=False)


def user_cache(name: str) -> Path:
    """Return the folder ``$XDG_CACHE_HOME/explorer/NAME``, for files that can be made again.

    Args:
        name: Name of the folder.

    Returns:
        The folder, which may not exist yet. ``XDG_CACHE_HOME`` defaults to ``~/.cache``.
    """
    return _FOLDERS.user_cache_path / name


def user_data(name: str) -> Path:
    """Return the folder ``$XDG_DATA_HOME/explorer/NAME``, for files to keep.

    Args:
        name: Name of the folder.

    Returns:
        The folder, which may not exist yet. ``XDG_DATA_HOME`` defaults to ``~/.local/share``.
    """
    return _FOLDERS.user_data_path / name
