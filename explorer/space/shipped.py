"""Finding of space files: by a path, or by the name of one that comes with the package."""

from __future__ import annotations

import os
from pathlib import Path

import explorer
from explorer.errors import Problem, SpaceError, did_you_mean


def shipped_spaces() -> dict[str, Path]:
    """Return the spaces that come with the package: path below ``search_spaces/`` -> file."""
    folder = spaces_folder()
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*.yaml"))}


def spaces_folder() -> Path:
    """Return the folder of the shipped spaces: in a wheel inside the package, in a checkout ``search_spaces/``."""
    package = Path(explorer.__file__).parent
    packed = package / "search_spaces"
    return packed if packed.is_dir() else package.parent / "search_spaces"


def find_space(path: str | os.PathLike[str]) -> Path:
    """Return the file of a path or of a shipped space's name.

    Raises:
        SpaceError: If there is none.
    """
    given = Path(path)
    if os.path.exists(path) and (given.suffix or not os.path.isdir(path)):  # a folder may have a shipped space's name
        return given
    shipped = shipped_spaces()
    for name in (given.as_posix(), f"{given.as_posix()}.yaml"):
        if name in shipped:
            return shipped[name]
    near = did_you_mean(given.as_posix() if given.suffix else f"{given.as_posix()}.yaml", shipped)
    message = f"no such file, and no shipped space of that name; shipped: {', '.join(sorted(shipped))}{near}"
    raise SpaceError([Problem(str(path), 1, 1, message)])
