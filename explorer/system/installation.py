"""The installed explorer: its optional dependencies, and the command that installs what is missing.

The explorer is on no package index, so hints name the packages themselves, with the versions that it requires.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version

DISTRIBUTION = "residual-explorer"  # as pip knows it; the package and the command are "explorer"


def install_command(extra: str) -> str:
    """Return the shell command that installs what is missing of an extra into this Python.

    Args:
        extra: The name of the extra, such as ``export``.
    """
    wanted = requirements(extra)
    return pip_command([each for each in wanted if not installed(each)[1]] or wanted)


def extra_names() -> list[str]:
    try:
        return [name for name in metadata(DISTRIBUTION).get_all("Provides-Extra") or [] if name != "all"]
    except PackageNotFoundError:
        return []


def requirements(extra: str) -> list[str]:
    """Return the requirements of an extra of the installed explorer, as pip spells them; of no extra if it is empty."""
    try:
        listed = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    of_extra = re.compile(r"""\s*;\s*extra\s*==\s*["']([\w-]+)["']\s*$""")
    found = []
    for line in listed:
        match = of_extra.search(line)
        if (match[1] if match else "") == extra:
            found.append(of_extra.sub("", line))
    return [requirement for requirement in found if package_name(requirement) != DISTRIBUTION]


def package_name(requirement: str) -> str:
    """Return the package name of a requirement."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def installed(requirement: str) -> tuple[str, bool]:
    """Return the installed version, or "missing", and whether it satisfies the requirement."""
    try:
        found = version(package_name(requirement))
    except PackageNotFoundError:
        return "missing", False
    try:
        from packaging.requirements import Requirement
    except ImportError:  # another check reports it as missing
        return found, True
    ok = Requirement(requirement).specifier.contains(found, prereleases=True)
    return found if ok else f"{found}, expected {requirement}", ok


def pip_command(requirements: list[str]) -> str:
    """Return the shell command that installs the requirements."""
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])
