"""The manifest: an exported folder's files with their SHA-256, and the folder as it is found to be."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from explorer.costs.analytic import count_cost
from explorer.errors import ArchitectureError, ExportError
from explorer.networks.architecture import MAX_JSON_BYTES, Architecture
from explorer.system.files import open_regular
from explorer.system.strict_json import parse_json

FORMAT = 1
ARCHITECTURE = "architecture.json"
MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
MAX_MANIFEST_BYTES = 1 << 20
_CACHE = "__pycache__"  # what importing model.py leaves beside it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Package:
    """An exported folder whose files are all as they were written.

    ``files``: name -> SHA-256. ``features``: the stages whose maps a backbone gives, empty for a whole network.
    ``costs``: name -> count, of what was exported. ``accuracy``: the fraction that the network reached with these
    weights, None where they are untrained or another head was put on.
    """

    directory: Path
    architecture: Architecture
    features: tuple[int, ...]
    files: Mapping[str, str]
    trained: bool
    accuracy: float | None
    costs: Mapping[str, int]
    provenance: Mapping[str, Any]
    max_abs_diff: Mapping[str, float]


def check_package(directory: str | os.PathLike[str]) -> Package:
    """The exported folder, every file compared with the manifest's SHA-256.

    Raises ExportError naming the first file that is missing, changed, or not a plain file of the folder.
    Files that the manifest does not list are left alone.
    """
    folder = Path(directory)
    try:
        manifest = parse_json(_read(folder, MANIFEST, MAX_MANIFEST_BYTES))
        files, digest = dict(manifest["files"]), manifest["digest"]
        _ = files[ARCHITECTURE], files[PROVENANCE]  # always there
        if manifest["format"] is True or manifest["format"] != FORMAT:
            found = str(manifest["format"])[:20]
            raise ExportError(f"{folder}: {MANIFEST} has the format {found}, this version reads {FORMAT}")
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder}: {MANIFEST} is damaged ({str(error)[:100]}); export the network again") from None
    contents = {name: _read(folder, name, MAX_JSON_BYTES) for name in (ARCHITECTURE, PROVENANCE)}
    for name, data in contents.items():
        _check_digest(folder, name, hashlib.sha256(data).hexdigest(), files[name])
    try:
        architecture = Architecture.from_json(contents[ARCHITECTURE])
    except ArchitectureError as error:
        raise ExportError(f"{folder}: {ARCHITECTURE}: {error}") from error
    if architecture.digest != digest:
        found = architecture.digest
        raise ExportError(f"{folder}: {MANIFEST} is of the network {str(digest)[:60]!r}, the folder holds {found!r}")
    most = _most_bytes(architecture)
    for name in files.keys() - contents.keys():
        with _open(folder, name, most) as stream:
            _check_digest(folder, name, hashlib.file_digest(stream, "sha256").hexdigest(), files[name])
    try:
        origin = parse_json(contents[PROVENANCE])
        for name, (wanted, fits) in _ORIGIN.items():
            if not fits(origin[name]):
                raise ValueError(f"{name}: expected {wanted}, found {str(origin[name])[:40]!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder}: {PROVENANCE} is damaged ({str(error)[:100]}); export the network again") from None
    values = {name: origin[name] for name in _ORIGIN}
    return Package(folder, architecture, files=files, **{**values, "features": tuple(values["features"])})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# What stands in provenance.json: name -> (in words, whether a value is it).
_ORIGIN: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "features": ("a list of stages", lambda value: isinstance(value, list) and all(map(_is_count, value))),
    "trained": ("true or false", lambda value: isinstance(value, bool)),
    "accuracy": ("a number or null", lambda value: value is None or _is_number(value)),
    "costs": ("counts by name", lambda value: isinstance(value, dict) and all(map(_is_count, value.values()))),
    "provenance": ("a mapping", lambda value: isinstance(value, dict)),
    "max_abs_diff": (
        "numbers by format",
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    ),
}


def check_target(directory: str | os.PathLike[str]) -> Path:
    """The folder to write, absent, empty or an unchanged earlier export. Raises ExportError."""
    if "\0" in os.fspath(directory):
        raise ExportError("the folder's name has a NUL character")
    target = Path(os.path.abspath(directory))
    try:
        if target.is_symlink():
            raise ExportError(f"{target} is a link; name the folder itself")
        if not target.exists():
            return target
        if not target.is_dir():
            raise ExportError(f"{target} is a file; name a folder that does not exist yet")
        if target.samefile(os.getcwd()):
            raise ExportError(f"{target} is the working folder, which cannot be replaced whole; name a folder in it")
        found = {entry.name for entry in target.iterdir()}
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}") from error
    if not found:
        return target
    if MANIFEST not in found:
        raise ExportError(f"{target} is not empty and no earlier export; name another folder, or empty it")
    try:
        package = check_package(target)
    except ExportError as error:
        raise ExportError(f"{error}. It will not be overwritten: name another folder") from None
    foreign = sorted(found - set(package.files) - {MANIFEST, _CACHE})
    if foreign:
        raise ExportError(f"{target} also holds {foreign[0]!r}, which no export wrote; move it, or name another folder")
    return target


def _most_bytes(architecture: Architecture) -> int:
    """How large a file of the folder can be. The largest hold the state dict, with a running mean and variance for each
    scale and bias, in float32, and a description of each layer."""
    return MAX_JSON_BYTES + 16 * count_cost(architecture).params


def _check_digest(folder: Path, name: str, found: str, expected: str) -> None:
    if found != expected:
        raise ExportError(f"{folder}: {name} is not the file that was exported; export the network again")


def _read(folder: Path, name: str, most: int) -> bytes:
    with _open(folder, name, most) as stream:
        return stream.read(most)


@contextmanager
def _open(folder: Path, name: str, most: int) -> Iterator[BufferedReader]:
    """A regular file of at most ``most`` bytes that lies in ``folder`` itself; no link is followed.

    Raises ExportError.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ExportError(f"{folder}: {MANIFEST} lists {str(name)[:80]!r}, which is not a file of the folder")
    try:
        with open_regular(folder / name, most, follow_links=False) as stream:
            yield stream
    except FileNotFoundError:
        if name != MANIFEST:
            suggestion = "; export the network again"
        elif folder.is_dir():
            suggestion = "; this is not an exported folder"
        else:
            suggestion = "; there is no such folder"
        raise ExportError(f"{folder}: {name} is missing{suggestion}") from None
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror or error
        raise ExportError(f"{folder}: {name} cannot be read as a plain file: {reason}") from None
