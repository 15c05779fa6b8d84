"""Addresses: how users name an architecture on the command line.

preact_variants.yaml#1234                        a derivation of a space by its index
preact_variants.yaml#order=full_preact,depth=3   a derivation by its choices; the others take their first alternative
STUDY:17                                         a trial of a study
path/to/architecture.json                        an exported architecture, or the folder that holds it
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ArchitectureError, ExplorerError, did_you_mean
from explorer.export.manifest import ARCHITECTURE
from explorer.export.own_ops import require_unchanged_ops
from explorer.networks.architecture import MAX_JSON_BYTES, Architecture
from explorer.networks.ops.base import TensorShape
from explorer.networks.resize import resized
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace, load_space
from explorer.space.shipped import shipped_spaces
from explorer.system.files import read_regular

if TYPE_CHECKING:  # a network of a space needs no records
    from explorer.records import TrialRecord

SPACE_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Input:
    """An input that replaces that of a space file.

    Attributes:
        shape: Input shape; None keeps the space's own.
        classes: Number of classes; None keeps the space's own.
    """

    shape: TensorShape | None = None
    classes: int | None = None

    def apply(self, space: SearchSpace) -> SearchSpace:
        """Return the space with this input."""
        return space.with_input(self.shape or space.input, self.classes or space.classes)


@dataclass(frozen=True, slots=True)
class Addressed:
    """An architecture and its origin.

    Attributes:
        architecture: The architecture.
        space: The space that it is derived from, for an address in a space.
        derivation: Its derivation, for an address in a space.
        study: Name of the study, for a trial.
        trial: The trial, for a trial.
    """

    architecture: Architecture
    space: SearchSpace | None = None
    derivation: Derivation | None = None
    study: str | None = None
    trial: TrialRecord | None = None


def find_architecture(address: str, storage: str, override: Input | None = None) -> Addressed:
    """Return the architecture at an address.

    Args:
        address: The address, in one of the forms above.
        storage: URL of the database with the studies.
        override: Input that replaces that of the space; None keeps it.

    Raises:
        ExplorerError: A part of the address does not exist; the message names it.
    """
    study, colon, number = address.rpartition(":")
    is_trial = bool(colon) and number.isascii() and number.isdigit() and len(number) < 12
    if "#" in address and not (is_trial and study in _studies(storage)):
        space_name, _, which = address.partition("#")
        space = load_space(space_name)
        if override is not None:
            space = override.apply(space)
        derivation = space.derivation(which)
        return Addressed(space.architecture(derivation), space, derivation)
    if (path := _exported_file(address)) is not None:
        return Addressed(_overridden(_read(path), override, address))
    if is_trial:
        from explorer.store import open_study  # the other addresses need no database
        from explorer.store.managing.extensions import require_ops

        opened = open_study(storage, study)
        record = opened.trial(int(number))
        if not record.architecture_json:
            raise ExplorerError(
                f"trial {number} of study {study!r} has no architecture: {record.state}, {record.reason}"
            )
        require_ops(opened, record.architecture)
        architecture = _overridden(record.architecture, override, address)
        return Addressed(architecture, study=study, trial=record)
    raise ExplorerError(_no_architecture(address, storage))


def _no_architecture(address: str, storage: str) -> str:
    """Return the message for an address that names no architecture, with a suggested fix."""
    shown = repr(address[:200])
    space = address if address.endswith(SPACE_SUFFIXES) else f"{address}.yaml"
    if address.endswith(SPACE_SUFFIXES) or space in shipped_spaces():
        return f"{shown} is a space; name a network of it, as in {space[:200]}#0"
    study, colon, number = address.rpartition(":")
    if (name := study if colon else address) in _studies(storage):
        found = f"{number[:40]!r} is not the number of a trial" if colon else f"{shown} is a study"
        return f"{found}; name a trial of the study, as in {shlex.quote(f'{name}:0')}"
    return (
        f"{shown} names no architecture; write SPACE.yaml#INDEX, SPACE.yaml#choice=alternative,...,"
        " STUDY:TRIAL or the path of an exported folder or its architecture.json"
        f"{did_you_mean(space, shipped_spaces())}"
    )


def _studies(storage: str) -> list[str]:
    """Return the names of the studies in the storage; an empty list if it cannot be read."""
    from explorer.store import list_studies

    try:
        return [study.name for study in list_studies(storage)]
    except ExplorerError:
        return []


def _exported_file(address: str) -> Path | None:
    """Return the path of the architecture.json at the address, a file or a folder; None if it is not a path."""
    inside = os.path.join(address, ARCHITECTURE)  # os.path, because pathlib raises for a text too long for a path
    if os.path.isfile(inside):
        return Path(inside)
    exists = os.path.exists(address) and not os.path.isdir(address)
    is_file = address.endswith(".json") or (exists and not address.endswith(SPACE_SUFFIXES))
    return Path(address) if is_file else None


def _read(path: Path) -> Architecture:
    """Read an exported architecture. Raises ArchitectureError with the path of the file."""
    try:
        data = read_regular(path, MAX_JSON_BYTES)
    except OSError as error:
        raise ArchitectureError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        architecture = Architecture.from_json(data)
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}") from None
    require_unchanged_ops(path, architecture)
    return architecture


def _overridden(architecture: Architecture, override: Input | None, address: str) -> Architecture:
    """Return the same layers with another input shape.

    Raises ArchitectureError for another number of classes, which would change the layers.
    """
    if override is None:
        return architecture
    if override.classes not in (None, architecture.classes):
        raise ArchitectureError(
            f"{address}: its head is made for {architecture.classes} classes and cannot become one for"
            f" {override.classes}; take the network from its space, as in SPACE.yaml#INDEX"
        )
    try:
        return resized(architecture, override.shape or architecture.input)
    except ArchitectureError as error:
        raise ArchitectureError(f"{address}: {error}") from None
