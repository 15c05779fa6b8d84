"""How much memory this process may use: the machine's, or that of its control groups where it is less."""

from __future__ import annotations

from pathlib import Path

import psutil

from explorer.system.control_groups import GROUPS, OWN, group_folders

# A group's limit and use, in version 2 and in version 1, and the line of memory.stat with the file cache that the
# kernel gives back first.
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

    Of a control group these are its limit less its use, and the file cache that the kernel gives back first
    (``inactive_file``): what container runtimes call the working set is not available.

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
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _file_cache(folder: Path, line: str) -> int:
    try:
        stated = dict(each.split() for each in (folder / "memory.stat").read_text().splitlines())
        return int(stated[line])
    except (OSError, ValueError, KeyError):
        return 0
