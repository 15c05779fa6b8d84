"""Control groups of Linux, simulated by files."""

from __future__ import annotations

from pathlib import Path


def group_tree(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Return the mount folder of the groups with ``files`` in it, and the file that names the process's ``own``
    group."""
    groups = folder / "groups"
    groups.mkdir()
    for name, text in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return groups, folder / "own"
