"""Find extensions by their name: those that files and modules have registered, and those of installed packages.

A package adds extensions as entry points, one group for each kind. An entry point is loaded when its name is first
used; those of ops are loaded when ops are first used.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from explorer.errors import ExtensionError, did_you_mean, one_line
from explorer.extensions import registry
from explorer.extensions.files import load_from_environment
from explorer.extensions.installed import is_named
from explorer.extensions.registry import KINDS, Extension, Origin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_failed: dict[str, str] = {}  # installed op that could not be loaded -> why


def load_ops() -> None:
    """Load the files of EXPLORER_IMPORT and the ops of packages, once.

    The error of a package is the reason why its op is unknown; it does not prevent the use of others.
    """
    load_from_environment()
    for name in [name for name in _installed("op") if registry.lookup("op", name) is None and name not in _failed]:
        _failed[name] = "it is being loaded"
        try:
            find("op", name)
            del _failed[name]
        except ExtensionError as error:
            _failed[name] = str(error)


@cache
def _installed(kind: str) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a kind by their name."""
    found: dict[str, list[EntryPoint]] = {}
    if not is_named(KINDS[kind].group):
        return found
    from importlib.metadata import entry_points  # its import takes some 20 ms

    for each in entry_points(group=KINDS[kind].group):
        same = found.setdefault(each.name, [])
        if all(each.value != other.value or _package(each) != _package(other) for other in same):
            same.append(each)  # a package that sys.path has twice counts once
    return found


def names(kind: str) -> list[str]:
    """Return the names of all extensions of a kind, registered or installed."""
    load_from_environment()
    return sorted({*(each.name for each in registry.registered() if each.kind == kind), *_installed(kind)})


def find(kind: str, name: str) -> Extension | None:
    """Return an extension by its name; None if there is none.

    Args:
        kind: One of KINDS.
        name: The name.

    Raises:
        ExtensionError: Two packages, or a package and a file, have the name, or it cannot be loaded.
    """
    load_from_environment()
    installed, known = _installed(kind).get(name, []), registry.lookup(kind, name)
    if not installed or (known is not None and known.origin.name == _package(installed[0])):
        return known
    point, package, word = installed[0], _package(installed[0]), KINDS[kind].word
    if len(installed) > 1:
        raise ExtensionError(
            f"{word} {name!r} is in both {package} and {_package(installed[1])}; uninstall one of them"
        )
    try:
        value = point.load()
    except Exception as error:
        raise ExtensionError(
            f"{word} {name!r} of {package} cannot be loaded: {type(error).__name__}: {one_line(error)};"
            " update or uninstall the package"
        ) from error
    made = Extension(kind, name, value, Origin(package, module=point.module))
    known = registry.lookup(kind, name)
    is_same = known is not None and known.origin.module == point.module  # the module registers it as well
    (registry.replace if is_same else registry.add)(made)
    return made


def _package(point: EntryPoint) -> str:
    """Return the name and version of the package of an entry point."""
    return f"package {point.dist.name} {point.dist.version}" if point.dist is not None else "a package"


def why_unknown(kind: str, name: str) -> str:
    """Return what a message adds about an unknown name that a study used; empty if none did."""
    if kind == "op" and name in _failed:
        return f"; {_failed[name]}"
    origin = registry.needed(kind, name)
    return "" if origin is None else f"; {name!r} is from {origin}: {registry.how_to_add(origin)}"


def unknown_hint(kind: str, name: str, known: Iterable[str] = ()) -> str:
    """Return what a message adds about an unknown name: where it is from, a similar name, or how to load one's own.

    Args:
        kind: One of KINDS; empty if extensions add no such names.
        name: The name.
        known: The valid names, among which a similar one is sought.
    """
    found = why_unknown(kind, name) or did_you_mean(name, known)
    return found if found or not kind else own_hint(kind)


def own_hint(kind: str) -> str:
    """Return how an extension of a kind is loaded, for a message about a name that is like no known one."""
    word = KINDS[kind].word
    article = "an" if word[0] in "aeiou" else "a"
    return (
        f"; {article} {word} of your own is loaded by --import FILE.py, in Python by explorer.load_extension('FILE.py')"
    )
