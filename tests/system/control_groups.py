"""Trees of control groups as Linux shows them, made of files."""

from __future__ import annotations

from pathlib import Path


def group_tree(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """The folder that groups are mounted on, with ``files`` in it, and the file that states the process's ``own``."""
    groups = folder / "groups"
    groups.mkdir()
    for name, text in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return groups, folder / "own"
