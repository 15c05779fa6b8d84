"""The names that users add, and where each is from.

An extension is registered by ``explorer.register`` in a file (``explorer.extensions.files``), in a module that the
user's script imports, or in the script itself. A package adds extensions as entry points (``lookup``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from explorer.errors import ExtensionError, did_you_mean
from explorer.system.source_text import code_digest

T = TypeVar("T")


class Kind(NamedTuple):
    """A kind of extensions.

    Attributes:
        group: The group of its entry points.
        word: What one is called in messages.
    """

    group: str
    word: str


KINDS = {
    "op": Kind("explorer.ops", "op"),
    "data": Kind("explorer.data", "data set"),
    "sampler": Kind("explorer.samplers", "sampler"),
    "stopping": Kind("explorer.stopping", "stopping rule"),
    "recipe": Kind("explorer.recipes", "recipe"),
    "cost": Kind("explorer.costs", "cost"),
    "tracker": Kind("explorer.trackers", "tracker"),
}
SESSION = "this session"  # where an extension is from that was typed at a prompt or in a notebook


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an extension is from.

    Attributes:
        name: The name of a file, or of a package with its version; SESSION for a prompt or a notebook.
        digest: A digest of the file's code without comments; empty for a package.
        module: The module by which other processes import it; empty if none can.
    """

    name: str
    digest: str = ""
    module: str = ""

    def __str__(self) -> str:
        return f"{self.name} (code {self.digest})" if self.digest else self.name


@dataclass(frozen=True, slots=True)
class Extension:
    """A name that a user added.

    Attributes:
        kind: One of KINDS.
        name: The name.
        value: What it stands for: a class, a function or a value.
        origin: Where it is from.
    """

    kind: str
    name: str
    value: Any
    origin: Origin


_registered: dict[tuple[str, str], Extension] = {}
_users: dict[str, Callable[[str, Any], None]] = {}  # kind -> called with each name and value when it is registered
_needed: dict[tuple[str, str], str] = {}  # extensions of studies that this process has opened -> where they are from
_own: dict[str, tuple[str, ...]] = {}  # kind -> the explorer's own names


def register(kind: str, name: str = "", value: Any = None) -> Any:
    """Add an op, a data set, a sampler, a stopping rule, a recipe, a cost or a tracker under a name.

    Used as a decorator of a class or function, or with the value as last argument. docs/everyday/extending.md has a
    complete example of each kind.

    Args:
        kind: "op", "data", "sampler", "stopping", "recipe", "cost" or "tracker".
        name: The name; an op is named by its ``spelling``, and a recipe by its ``name`` if none is given.
        value: The value, instead of a decorated one.

    Returns:
        The value; without one a decorator, which returns what it decorates.

    Raises:
        ExtensionError: The kind is unknown, or the name is taken.

    Example:
        >>> explorer.register("recipe", value=explorer.Recipe("slow", "cosine", lr=0.05, batch_size=64))
    """
    if kind not in KINDS:
        raise ExtensionError(
            f"unknown kind {kind!r} of extensions; known: {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
        )
    origin = _origin(sys._getframe(1).f_globals)

    def decorate(given: T) -> T:
        add(Extension(kind, _name_of(kind, name, given), given, origin))
        return given

    return decorate if value is None else decorate(value)


def _name_of(kind: str, name: str, value: Any) -> str:
    """Return the name of an extension. Raises ExtensionError if it has none that can be written on a command line."""
    found = name or getattr(value, "spelling", "") or getattr(value, "name", "")
    if not isinstance(found, str) or not found.strip() or not found.isprintable() or "," in found:
        raise ExtensionError(
            f"a {KINDS[kind].word} needs a name of printable characters without commas, as in"
            f" @explorer.register({kind!r}, 'mine'); found {found!r}"
        )
    return found


def _origin(names: dict[str, Any]) -> Origin:
    """Return the origin of what a module registers, given its globals."""
    module, file = str(names.get("__name__", "")), names.get("__file__")
    shown = Path(file).name if file else SESSION
    try:
        digest = code_digest(Path(file).read_text("utf-8")) if file else ""
    except (OSError, UnicodeDecodeError):
        digest = ""
    return Origin(shown, names.get("__code_digest__", digest), "" if module == "__main__" else module)


def add(extension: Extension) -> None:
    """Add an extension; one of the same module replaces an earlier one."""
    key = (extension.kind, extension.name)
    word, before = KINDS[extension.kind].word, _registered.get(key)
    if before is not None and (before.origin.module, before.origin.name) != (
        extension.origin.module,
        extension.origin.name,
    ):
        raise ExtensionError(
            f"{word} {extension.name!r} is registered by both {before.origin.name} and {extension.origin.name};"
            " rename one of them, or use only one"
        )
    if extension.name in _own.get(extension.kind, ()):
        raise ExtensionError(
            f"{extension.origin.name}: {word} {extension.name!r} is the explorer's own; choose another name"
        )
    if extension.kind in _users:
        _users[extension.kind](extension.name, extension.value)
    _registered[key] = extension


def forget_module(module: str) -> None:
    """Remove what a module has registered, after an error of its code."""
    for key in [key for key, each in _registered.items() if each.origin.module == module]:
        del _registered[key]


def serve(kind: str, own: Iterable[str], user: Callable[[str, Any], None] | None = None) -> None:
    """Declare the explorer's own names of a kind, which no extension may have, and who uses the extensions.

    Args:
        kind: One of KINDS.
        own: The explorer's own names.
        user: Called with the name and value of each extension, now and whenever one is registered.
    """
    _own[kind] = tuple(own)
    for each in [each for each in _registered.values() if each.kind == kind]:
        if each.name in _own[kind]:
            raise ExtensionError(
                f"{each.origin.name}: {KINDS[kind].word} {each.name!r} is the explorer's own; choose another name"
            )
        if user is not None:
            user(each.name, each.value)
    if user is not None:
        _users[kind] = user


def lookup(kind: str, name: str) -> Extension | None:
    """Return a registered extension; None if there is none."""
    return _registered.get((kind, name))


def replace(extension: Extension) -> None:
    """Add an extension in place of one of the same name, which its module has registered."""
    _registered.pop((extension.kind, extension.name), None)
    add(extension)


def needed(kind: str, name: str) -> str | None:
    """Return where an extension is from that a study used; None if none did."""
    return _needed.get((kind, name))


def registered() -> list[Extension]:
    """Return the extensions that this process has loaded."""
    return list(_registered.values())


def need(extensions: Mapping[str, str]) -> None:
    """Remember which extensions a study used, so that an unknown name can be explained.

    Args:
        extensions: "KIND NAME" -> where it is from, as a study's fingerprint records it.
    """
    for entry, origin in extensions.items():
        kind, _, name = entry.partition(" ")
        _needed[kind, name] = str(origin)


def how_to_restore(origin: str) -> str:
    """Return what to do if an extension has changed, by the text of its origin before."""
    return how_to_add(origin) if origin.startswith("package ") else f"restore the earlier {origin.partition(' (')[0]}"


def how_to_add(origin: str) -> str:
    """Return what to do if an extension is missing, by the text of its origin."""
    if origin.startswith("package "):
        name, version = origin.split()[1:3]
        return f"install the package {name}=={version}"
    if origin.startswith(SESSION):
        return "register it in this session too"
    file = origin.partition(" (")[0]
    return f"add --import {file}, or name the file in EXPLORER_IMPORT; in Python call explorer.load_extension({file!r})"
