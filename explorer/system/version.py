"""The version of the explorer that runs: of the checkout that it is imported from, else of the installed distribution.

A wheel has the version that ``git describe`` gave when it was built (hatch-vcs, see ``pyproject.toml``). An editable
installation keeps the version of the day of its installation in its metadata, so a checkout is asked again.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from explorer.system.installation import DISTRIBUTION

UNKNOWN = "0.0"  # a copy without git, not installed; the fallback version of pyproject.toml
TAGS = "v[0-9]*"


@cache
def explorer_version() -> str:
    """Return the version, as PEP 440 writes it, for instance ``1.2.0`` or ``1.2.1.dev14+g1234abcde``."""
    if (found := checkout_version(Path(__file__).parents[2])) is not None:
        return found
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return UNKNOWN


def checkout_version(root: Path) -> str | None:
    """Return the version of a checkout of this project, as hatch-vcs computes it.

    At a tag ``v1.2.0`` it is ``1.2.0``. 14 commits later it is ``1.2.1.dev14+gCOMMIT``: on the way to the next version.
    Without a tag it is ``0.1.dev14+gCOMMIT`` for 14 commits. Files with changes add ``.dirty``, a build the date.

    Args:
        root: The folder that holds ``pyproject.toml``.

    Returns:
        None if the folder is no checkout of this project, or git cannot read it.
    """
    try:  # an installed package may be within another project's repository
        if not (root / ".git").exists() or f'name = "{DISTRIBUTION}"' not in (root / "pyproject.toml").read_text():
            return None
    except OSError:
        return None
    described = _git(root, "describe", "--tags", "--long", "--dirty", "--abbrev=9", "--match", TAGS)
    if described is None:  # no tag, or not readable
        commit = _git(root, "describe", "--always", "--dirty", "--abbrev=9", "--exclude", "*")
        count = _git(root, "rev-list", "--count", "HEAD")
        if commit is None or count is None:
            return None
        described = f"v0.0-{count}-g{commit}"
    found = re.fullmatch(r"v(.+)-(\d+)-(g\w+)(-dirty)?", described)
    if found is None:
        return None
    tag, distance, commit, dirty = found[1], int(found[2]), found[3], ".dirty" if found[4] else ""
    return f"{_next(tag)}.dev{distance}+{commit}{dirty}" if distance or dirty else tag


def base_version(version: str) -> str:
    """Return the release to which a version belongs or leads, for instance ``1.2.1`` of ``1.2.1.dev14+g1234abcde``."""
    from packaging.version import Version

    return Version(version).base_version


def _next(tag: str) -> str:
    """Return the version after that of a tag: its last number plus one."""
    return re.sub(r"\d+$", lambda last: str(int(last[0]) + 1), tag)


def _git(root: Path, *words: str) -> str | None:
    """Return what git prints about a checkout; None if it fails or is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
