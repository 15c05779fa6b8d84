"""Settings files: YAML mappings of the names of settings to their values."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from explorer.errors import ExplorerError, SettingError, did_you_mean
from explorer.settings.settings import Setting
from explorer.system.files import read_regular

MAX_BYTES = 1 << 20  # a settings file has a few kilobytes; the limit guards against reading another file by mistake
MAX_DEPTH = 8  # settings need two levels, as a recipe's fields; the limit guards against endless recursion
NULL = "tag:yaml.org,2002:null"
TIME = "tag:yaml.org,2002:timestamp"  # YAML's type of 2026-11-30, which is text here
SCALARS = (NULL, TIME, *(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "str")))


def read_settings(path: str | Path, settings: Iterable[Setting]) -> dict[str, Any]:
    """Read a settings file.

    A single value is read as its option on the command line is: ``trials: 1k``, ``study: 123``. A key is the name of a
    setting or of its option. A key whose value is ``null`` counts as left out.

    Args:
        path: Path of the file.
        settings: The settings that the file may contain.

    Returns:
        The values in the file by the names of the settings.

    Raises:
        SettingError: The file cannot be read, a key is unknown or repeated, or a value is invalid; the message begins
            with file, line and column.
    """
    try:
        text = read_regular(Path(path), MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SettingError(f"{str(path) or repr('')}: the settings file cannot be read: {reason}") from error
    known = {each.name: each for each in settings}
    entries = _entries(path, _compose(path, text), known)
    return {name: _read(path, known[name], node) for name, node in entries.items() if node.tag != NULL}


def write_settings(values: Mapping[str, Any], settings: Iterable[Setting]) -> str:
    """Return the text of a settings file that holds these values. None is written as ``null``, the default.

    Args:
        values: Values by the names of the settings.
        settings: The settings to write, in this order.
    """
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump({each.name: each.kind.write(values[each.name]) for each in settings}, text)
    return text.getvalue()


def _compose(path: str | Path, text: str) -> Node | None:
    """Return the root node of a YAML text; None if the text is empty. Raises SettingError if it is not YAML."""
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SettingError(f"{place}: not YAML: {' '.join(str(error.problem or error.context).split())}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise SettingError(f"{path}: not YAML: {' '.join(str(error).split())[:200]}") from error
    return node


def _entries(path: str | Path, node: Node | None, known: Mapping[str, Setting]) -> dict[str, Node]:
    """Return the values of the file's mapping by setting. Raises SettingError for an unknown or repeated key."""
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        raise _problem(path, node, f"a settings file is a mapping of {', '.join(known)}")
    options = {_plain(each.flag): each.name for each in known.values() if each.flag}
    entries: dict[str, Node] = {}
    keys: dict[str, str] = {}  # setting -> its key in the file: its name, or the name of its option
    for key, value in _pairs(path, node):
        name = key if key in known else options.get(_plain(key))
        if name is None:
            near = did_you_mean(key, known) or f"; known: {', '.join(known)}"
            raise _problem(path, node, f"unknown setting {key!r}{near}", key)
        if name in entries:
            first = f"{keys[name]!r} in line {_key(node, keys[name]).start_mark.line + 1}"
            raise _problem(path, node, f"{key!r} repeats the setting {first}", key)
        entries[name], keys[name] = value, key
    return entries


def _plain(flag: str) -> str:
    """Return an option without its dashes, with underscores as in Python names."""
    return flag.lstrip("-").replace("-", "_")


def _read(path: str | Path, setting: Setting, node: Node) -> Any:
    """Return the checked value of a setting. Raises SettingError with line and column."""
    value = _value(path, node, 1)
    if isinstance(node, ScalarNode):
        value = node.value  # as typed, since the type that YAML gives it may be another than the setting's
    try:
        return setting.kind.read(setting.name, value)
    except (ValueError, ExplorerError) as error:
        raise _problem(path, node, str(error)) from error


def _value(path: str | Path, node: Node, depth: int) -> Any:
    """Return a node as plain data. Raises SettingError for anchors, tags and deep nesting."""
    if depth > MAX_DEPTH:
        raise _problem(path, node, f"nested deeper than {MAX_DEPTH} levels")
    if node.anchor:
        raise _problem(path, node, f"anchor '&{node.anchor}'; write the value out")
    if isinstance(node, MappingNode):
        return {key: _value(path, value, depth + 1) for key, value in _pairs(path, node)}
    if isinstance(node, SequenceNode):
        return [_value(path, each, depth + 1) for each in node.value]
    if not isinstance(node, ScalarNode) or node.tag not in SCALARS:
        raise _problem(path, node, f"tag {str(node.tag)[:60]!r}; a settings file has text, numbers, true, false, null")
    if node.tag == TIME:
        return node.value
    try:
        return SafeConstructor(loader=YAML(typ="safe", pure=True)).construct_object(node)
    except (YAMLError, ValueError) as error:
        raise _problem(path, node, f"{node.value[:60]!r} cannot be read: {error}") from error


def _pairs(path: str | Path, node: MappingNode) -> list[tuple[str, Node]]:
    """Return keys and values of a mapping. Raises SettingError for a key that is not a word or is repeated."""
    pairs: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise _problem(path, key, "a key must be a word")
        if key.value in pairs:
            raise _problem(path, key, f"the key {key.value[:80]!r} is repeated")
        pairs[key.value] = value
    return list(pairs.items())


def _problem(path: str | Path, node: Node, message: str, key: str | None = None) -> SettingError:
    """Return an error with the line and column of a node, or of one of its keys."""
    if key is not None:
        node = _key(node, key)
    return SettingError(f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}: {message}")


def _key(mapping: Node, key: str) -> Node:
    """Return the node of a key of a mapping."""
    found: Node = next(each for each, _ in mapping.value if each.value == key)
    return found
