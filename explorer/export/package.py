"""The exported folder: written whole or not at all, checked before it appears, checkable afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from explorer.architecture import Architecture
from explorer.errors import ArchitectureError, ExportError, did_you_mean
from explorer.export.card import model_card
from explorer.export.check import check_code, fresh_logits, max_abs_difference
from explorer.export.code import write_code
from explorer.export.space_file import space_text
from explorer.export.weights import loaded_network, weight_bytes
from explorer.files import sweep, whole_folder, write_atomically

FORMAT = 1
FORMATS = ("yaml", "python", "safetensors")
MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
ARCHITECTURE = "architecture.json"
WEIGHTS = "model.safetensors"
MAX_MANIFEST_BYTES = 1 << 20
STALE_SECONDS = 3600
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_CACHE = "__pycache__"  # what importing model.py leaves beside it


@dataclass(frozen=True, slots=True)
class ExportResult:
    """``files``: the names in ``directory``. ``max_abs_diff``: format -> the largest difference between
    its logits and the network's, for the formats that can be run."""

    directory: Path
    files: tuple[str, ...]
    max_abs_diff: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Package:
    """An exported folder whose files are all as they were written. ``files``: name -> SHA-256."""

    directory: Path
    architecture: Architecture
    files: Mapping[str, str]
    provenance: Mapping[str, Any]
    max_abs_diff: Mapping[str, float]


def export_architecture(
    architecture: Architecture,
    directory: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None = None,
    formats: Iterable[str] = FORMATS,
    provenance: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Writes ``directory`` with the network in each of the ``formats``, its model card and a manifest.

    ``state_dict``: the weights, keyed as ``build_network``'s; without them the initialisation of seed 0 is
    exported, and the card says so. ``provenance``: what is to be remembered (study, trial, accuracy, data,
    seeds, recipe, environment): anything that JSON can hold; it goes to the card and ``provenance.json`` alone.

    The folder appears when all of it is written and checked: ``model.py`` is parsed, and run in a fresh
    process. A folder that is an earlier export, unchanged, is replaced.

    Raises ExportError when the target holds anything else, the weights are not the network's, the logits
    differ by more than 1e-5, or a file cannot be written.
    """
    wanted = check_formats(formats)
    target = check_target(directory)
    network = loaded_network(architecture, state_dict)
    space = space_text(architecture) if "yaml" in wanted else ""
    remembered = _plain(provenance or {})
    differences: dict[str, float] = {}
    digests: dict[str, str] = {}
    try:
        with whole_folder(target) as folder:

            def write(name: str, data: str | bytes) -> None:
                digests[name] = write_atomically(folder / name, data.encode() if isinstance(data, str) else data)

            write(ARCHITECTURE, _lines(json.loads(architecture.to_json())))
            if space:
                write("architecture.yaml", space)
            write(WEIGHTS, weight_bytes(network))
            if "python" in wanted:
                code = write_code(architecture)
                check_code(code)
                write("model.py", code.text)
                logits = fresh_logits({folder: architecture.input})[0]
                differences["python"] = max_abs_difference(logits, network, architecture.input)
            if "safetensors" not in wanted:
                (folder / WEIGHTS).unlink()
                del digests[WEIGHTS]
            write("README.md", model_card(architecture, space, remembered, differences, trained=state_dict is not None))
            write(PROVENANCE, _lines({"max_abs_diff": differences, "provenance": remembered}))
            manifest = {"format": FORMAT, "digest": architecture.digest, "files": digests}
            write_atomically(folder / MANIFEST, _lines(manifest).encode())
        sweep(target.parent, older_than=time.time() - STALE_SECONDS)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror or error}") from error
    return ExportResult(target, (*digests, MANIFEST), differences)


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
    for name, expected in files.items():
        if hashlib.sha256(_read(folder, name)).hexdigest() != expected:
            raise ExportError(f"{folder}: {name} is not the file that was exported; export the network again")
    try:
        architecture = Architecture.from_json(_read(folder, ARCHITECTURE))
    except ArchitectureError as error:
        raise ExportError(f"{folder}: {ARCHITECTURE}: {error}") from error
    if architecture.digest != digest:
        found = architecture.digest
        raise ExportError(f"{folder}: {MANIFEST} is of the network {str(digest)[:60]!r}, the folder holds {found!r}")
    origin = json.loads(_read(folder, PROVENANCE))
    return Package(folder, architecture, files, origin["provenance"], origin["max_abs_diff"])


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
        hint = "; this is not an exported folder" if name == MANIFEST else "; export the network again"
        raise ExportError(f"{folder}: {name} is missing{hint}") from None
    except OSError as error:
        raise ExportError(f"{folder}: {name} cannot be read as a plain file: {error.strerror}") from None


def check_formats(formats: Iterable[str]) -> frozenset[str]:
    """The formats as a set. Raises ExportError for one there is not."""
    wanted = frozenset([formats] if isinstance(formats, str) else formats)
    for name in sorted(wanted):
        if name not in FORMATS:
            near = did_you_mean(name, FORMATS)
            raise ExportError(f"unknown export format {name[:40]!r}; known: {', '.join(FORMATS)}{near}")
    return wanted


def _lines(data: Any) -> str:
    return json.dumps(data, indent=1) + "\n"


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ExportError(f"the provenance must be what JSON can hold: {str(error)[:100]}") from None


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
