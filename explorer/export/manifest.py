"""The manifest: an exported folder's files with their SHA-256, and the folder as it is found to be."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.address import ARCHITECTURE
from explorer.architecture import Architecture
from explorer.errors import ArchitectureError, ExportError

FORMAT = 1
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
        manifest = json.loads(_read(folder, MANIFEST, MAX_MANIFEST_BYTES))
        files, digest = dict(manifest["files"]), manifest["digest"]
        _ = files[ARCHITECTURE], files[PROVENANCE]  # always there
        if manifest["format"] != FORMAT:
            found = str(manifest["format"])[:20]
            raise ExportError(f"{folder}: {MANIFEST} has the format {found}, this version reads {FORMAT}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExportError(f"{folder}: {MANIFEST} is damaged ({str(error)[:100]}); export the network again") from None
    contents = {}
    for name, expected in files.items():
        contents[name] = _read(folder, name)
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise ExportError(f"{folder}: {name} is not the file that was exported; export the network again")
        if name not in (ARCHITECTURE, PROVENANCE):
            del contents[name]
    try:
        architecture = Architecture.from_json(contents[ARCHITECTURE])
    except ArchitectureError as error:
        raise ExportError(f"{folder}: {ARCHITECTURE}: {error}") from error
    if architecture.digest != digest:
        found = architecture.digest
        raise ExportError(f"{folder}: {MANIFEST} is of the network {str(digest)[:60]!r}, the folder holds {found!r}")
    try:
        origin = json.loads(contents[PROVENANCE])
        return Package(
            folder,
            architecture,
            tuple(origin["features"]),
            files,
            **{name: origin[name] for name in ("trained", "accuracy", "costs", "provenance", "max_abs_diff")},
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExportError(f"{folder}: {PROVENANCE} is damaged ({str(error)[:100]}); export the network again") from None


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


def _read(folder: Path, name: str, most: int | None = None) -> bytes:
    """The bytes of a plain file that lies in ``folder`` itself; no link is followed. Raises ExportError."""
    if not _NAME.fullmatch(name):
        raise ExportError(f"{folder}: {MANIFEST} lists {name[:80]!r}, which is not a file of the folder")
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ExportError(f"{folder}: {name} is not a plain file")
            if most is not None and status.st_size > most:
                raise ExportError(f"{folder}: {name} has {status.st_size:,} bytes, at most {most:,} are read")
            return file.read()
    except FileNotFoundError:
        if name != MANIFEST:
            mend = "; export the network again"
        elif folder.is_dir():
            mend = "; this is not an exported folder"
        else:
            mend = "; there is no such folder"
        raise ExportError(f"{folder}: {name} is missing{mend}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportError(f"{folder}: {name} cannot be read as a plain file: {reason}") from None
