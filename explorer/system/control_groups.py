"""The control groups (cgroups) of this process: the limits that Linux and containers set.

Version 2 has one tree of groups, version 1 one tree for each controller. A limit holds for a group and all groups
inside it, so the limits of every group around the process count, up to the root.
"""

from __future__ import annotations

from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # where the control groups are mounted
OWN = Path("/proc/self/cgroup")  # states the groups of this process


def group_folders(controller: str, groups: Path = GROUPS, own: Path = OWN) -> list[Path]:
    """Return the folders of the process's group and of the groups around it, for both versions.

    Args:
        controller: "cpu" or "memory".
        groups: The folder that the control groups are mounted on.
        own: The file that states the process's group in each tree. Where it cannot be read, or names a group of the
            host that a container does not see, the limits of the root count.
    """
    places = {groups: "", groups / controller: ""}
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    for _, controllers, place in (line for line in lines if len(line) == 3):
        if not controllers:  # version 2
            places[groups] = place
        elif controller in controllers.split(","):
            places[groups / controller] = place
    found = []
    for root, place in places.items():
        folder = root / place.lstrip("/")
        for group in (folder, *folder.parents):
            found.append(group)
            if group == root:
                break
    return found
