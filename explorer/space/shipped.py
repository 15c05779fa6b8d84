"""Finding of space files: by a path, or by the name of one that comes with the package."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import explorer
from explorer.errors import Problem, SpaceError, did_you_mean

MAX_SUGGESTED = 3  # names that begin with what was typed


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
    if "\n" in str(path):
        raise SpaceError([Problem("<space>", 1, 1, "the text of a space, expected its path; write parse_space(text)")])
    if os.path.isdir(path):
        raise SpaceError([Problem(str(path), 1, 1, f"a folder, expected a file, as in {given / 'space.yaml'}")])
    message = f"no such file, and no shipped space of that name; shipped: {shipped_names()}{_near(given, shipped)}"
    raise SpaceError([Problem(str(path), 1, 1, message)])


def shipped_names() -> str:
    """Return the shipped spaces in words: those at the top by name, and the number of published networks."""
    names = sorted(shipped_spaces())
    top = [name for name in names if "/" not in name]
    return f"{', '.join(top)} and {len(names) - len(top)} more in published/, as published/resnet.yaml"


def _near(given: Path, shipped: Iterable[str]) -> str:
    """Return a suggestion for a name: a similar one, else those that begin with it or have it after ``published/``."""
    name = given.as_posix() if given.suffix else f"{given.as_posix()}.yaml"
    if similar := did_you_mean(name, shipped):
        return similar
    stem = given.stem.lower()
    begun = [each for each in sorted(shipped) if stem and each.rpartition("/")[2].startswith(stem)][:MAX_SUGGESTED]
    return f"; did you mean {' or '.join(map(repr, begun))}?" if begun else ""
