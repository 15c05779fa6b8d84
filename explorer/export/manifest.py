"""Check of an exported folder against its manifest, and of the folder that an export writes to."""

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

FORMAT = 1  # version of manifest.json
ARCHITECTURE = "architecture.json"
MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
MAX_MANIFEST_BYTES = 1 << 20  # a manifest lists at most eight files
_CACHE = "__pycache__"  # Python creates it when it imports model.py
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Package:
    """An exported folder whose files match the manifest.

    Attributes:
        directory: The folder.
        architecture: The exported architecture.
        features: Stages whose feature maps a backbone returns; empty for a whole network.
        files: File name -> SHA-256.
        trained: False if the weights are an initialisation.
        accuracy: Accuracy of the network with these weights, 0 to 1; None if they are untrained or the head was
            removed or replaced.
        costs: Cost -> count, of the exported network.
        provenance: The origin of the network, as given to the export.
        max_abs_diff: Format -> largest difference between its outputs and the network's, measured at export.
        ops: Its ops that are extensions -> where each is from; earlier versions recorded none.
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
    ops: Mapping[str, str]


def check_package(directory: str | os.PathLike[str]) -> Package:
    """Read an exported folder and compare every file with its SHA-256 in the manifest.

    Args:
        directory: The folder. Files that the manifest does not list are ignored.

    Returns:
        The content of the folder.

    Raises:
        ExportError: A file is missing, changed, damaged, too large, or not a plain file of the folder.
    """
    folder = Path(directory)
    try:
        manifest = parse_json(_read(folder, MANIFEST, MAX_MANIFEST_BYTES))
        files, digest = dict(manifest["files"]), manifest["digest"]
        _ = files[ARCHITECTURE], files[PROVENANCE]  # every export has them
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
        raise ExportError(
            f"{folder}: {MANIFEST} describes the network {str(digest)[:60]!r}, the folder holds {found!r}"
        )
    max_bytes = _largest_file_bytes(architecture)
    for name in files.keys() - contents.keys():
        with _open(folder, name, max_bytes) as stream:
            _check_digest(folder, name, hashlib.file_digest(stream, "sha256").hexdigest(), files[name])
    try:
        fields = {"ops": {}, **parse_json(contents[PROVENANCE])}
        for name, (expected, is_valid) in _PROVENANCE_FIELDS.items():
            if not is_valid(fields[name]):
                raise ValueError(f"{name}: expected {expected}, found {str(fields[name])[:40]!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder}: {PROVENANCE} is damaged ({str(error)[:100]}); export the network again") from None
    values = {name: fields[name] for name in _PROVENANCE_FIELDS}
    return Package(folder, architecture, files=files, **{**values, "features": tuple(values["features"])})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# The fields of provenance.json: name -> (expected type for messages, predicate).
_PROVENANCE_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "features": ("a list of stages", lambda value: isinstance(value, list) and all(map(_is_count, value))),
    "trained": ("true or false", lambda value: isinstance(value, bool)),
    "accuracy": ("a number or null", lambda value: value is None or _is_number(value)),
    "costs": ("counts by name", lambda value: isinstance(value, dict) and all(map(_is_count, value.values()))),
    "provenance": ("a mapping", lambda value: isinstance(value, dict)),
    "max_abs_diff": (
        "numbers by format",
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    ),
    "ops": (
        "origins by name",
        lambda value: isinstance(value, dict) and all(isinstance(origin, str) for origin in value.values()),
    ),
}


def check_target(directory: str | os.PathLike[str]) -> Path:
    """Check that an export can write a folder.

    Args:
        directory: The folder.

    Returns:
        Its absolute path.

    Raises:
        ExportError: The path exists and is neither an empty folder nor an unchanged earlier export, or it is the
            working directory.
    """
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
            raise ExportError(f"{target} is the working directory, which cannot be replaced; name a folder inside it")
        found = {entry.name for entry in target.iterdir()}
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}") from error
    if not found:
        return target
    if MANIFEST not in found:
        raise ExportError(f"{target} is not empty and is not an earlier export; name another folder, or empty it")
    try:
        package = check_package(target)
    except ExportError as error:
        raise ExportError(f"{error}. It will not be overwritten: name another folder") from None
    unknown = sorted(found - set(package.files) - {MANIFEST, _CACHE})
    if unknown:
        raise ExportError(
            f"{target} also holds {unknown[0]!r}, which the export did not write; move it, or name another folder"
        )
    return target


def _largest_file_bytes(architecture: Architecture) -> int:
    """Return the size of the largest file that an export of this network can have.

    The largest files hold the state dict in float32, with a running mean and variance for each scale and bias, and a
    description of each layer.
    """
    return MAX_JSON_BYTES + 16 * count_cost(architecture).params


def _check_digest(folder: Path, name: str, found: str, expected: str) -> None:
    """Raise an ExportError unless the SHA-256 of a file is the expected one."""
    if found != expected:
        raise ExportError(f"{folder}: {name} is not the file that was exported; export the network again")


def _read(folder: Path, name: str, max_bytes: int) -> bytes:
    """Return the content of a file, opened by ``_open``."""
    with _open(folder, name, max_bytes) as stream:
        return stream.read(max_bytes)


@contextmanager
def _open(folder: Path, name: str, max_bytes: int) -> Iterator[BufferedReader]:
    """Open a regular file of at most ``max_bytes`` bytes in ``folder``, without following links.

    Raises:
        ExportError: The name is not a plain file name, or the file cannot be opened.
    """
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise ExportError(f"{folder}: {MANIFEST} lists {str(name)[:80]!r}, which is not a file of the folder")
    try:
        with open_regular(folder / name, max_bytes, follow_links=False) as stream:
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
