"""Whether installed packages name a group of entry points: a look at their files.

``importlib.metadata`` would take as long as loading a small space, most of it for its import.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

SUFFIXES = (".dist-info", ".egg-info")


def is_named(group: str) -> bool:
    """Return whether a package may have entry points of a group; True if that takes more than a look at folders.

    Args:
        group: The group, such as "explorer.ops".
    """
    others = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_distributions")]
    return bool(others) or any(_is_named_in(folder or os.curdir, f"[{group}]".encode()) for folder in sys.path)


def _is_named_in(folder: str, section: bytes) -> bool:
    """Return whether a package in a folder of ``sys.path`` may have a section of entry points."""
    if folder.endswith(".egg"):
        return True
    try:
        with os.scandir(folder) as entries:
            packages = [entry.path for entry in entries if entry.name.endswith(SUFFIXES)]
    except NotADirectoryError:  # an archive
        return True
    except OSError:
        return False
    return any(section in _read(os.path.join(package, "entry_points.txt")) for package in packages)


def _read(path: str) -> bytes:
    """Return the content of a file, which most packages do not have."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
