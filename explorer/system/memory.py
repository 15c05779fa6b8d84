"""The memory that this process may use: the machine's, limited by its control groups."""

from __future__ import annotations

from pathlib import Path

import psutil

from explorer.system.control_groups import GROUPS, OWN, group_folders

# Limit and use of a group, and the key of memory.stat for file cache that the kernel frees first: version 2 and 1.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def total_memory(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Return the bytes of memory that this process may use: the least of the machine's and its groups' limits.

    Args:
        groups: The folder that the control groups are mounted on.
        own: The file that states the process's own groups.
    """
    limits = [_read(folder / limit) for folder in group_folders("memory", groups, own) for limit, _, _ in _FILES]
    return min([machine_memory(), *(limit for limit in limits if limit is not None)])


def available_memory(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Return the bytes of ``total_memory`` that are free or can be freed at once.

    For a control group this is its limit less its use, plus the file cache that the kernel frees first
    (``inactive_file``). So only what container runtimes call the working set counts as used.

    Args:
        groups: As for ``total_memory``.
        own: As for ``total_memory``.
    """
    found = [psutil.virtual_memory().available]
    for folder in group_folders("memory", groups, own):
        for limit_file, use_file, cache_line in _FILES:
            limit, use = _read(folder / limit_file), _read(folder / use_file)
            if limit is not None and use is not None:
                found.append(max(0, limit - use + _file_cache(folder, cache_line)))
    return min(found)


def machine_memory() -> int:
    """Return the bytes of memory of the whole machine."""
    return int(psutil.virtual_memory().total)


def _read(path: Path) -> int | None:
    """Return the number in a file; None where it holds none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _file_cache(folder: Path, line: str) -> int:
    """Return the bytes that a line of memory.stat states; 0 if there is none."""
    try:
        stated = dict(each.split() for each in (folder / "memory.stat").read_text().splitlines())
        return int(stated[line])
    except (OSError, ValueError, KeyError):
        return 0
