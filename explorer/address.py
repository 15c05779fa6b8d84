"""How users name an architecture, and what the name means.

preact_variants.yaml#1234                        a derivation of a space by its index
preact_variants.yaml#order=full_preact,depth=3   by choices; those left out take their first alternative
STUDY:17                                         a trial of a study
path/to/architecture.json                        an exported one, as is the folder that holds it
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.architecture import MAX_JSON_BYTES, Architecture
from explorer.errors import ArchitectureError, ExplorerError
from explorer.files import read_regular
from explorer.grammar.parse import load_space
from explorer.grammar.space import Derivation, SearchSpace
from explorer.ops.base import TensorShape
from explorer.records import TrialRecord

ARCHITECTURE = "architecture.json"  # in an exported folder
SPACES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Input:
    """An input that replaces the space file's own: shape and number of classes; what is None stays as it is."""

    shape: TensorShape | None = None
    classes: int | None = None

    def applied(self, space: SearchSpace) -> SearchSpace:
        return space.with_input(self.shape or space.input, self.classes or space.classes)


@dataclass(frozen=True, slots=True)
class Addressed:
    """An architecture with where it came from; what does not apply is None."""

    architecture: Architecture
    space: SearchSpace | None = None
    derivation: Derivation | None = None
    study: str | None = None
    trial: TrialRecord | None = None


def find_architecture(address: str, storage: str, override: Input | None = None) -> Addressed:
    """What an address means. Raises an ExplorerError that says which part of it was not found."""
    if "#" in address:
        path, _, which = address.partition("#")
        space = load_space(path)
        if override is not None:
            space = override.applied(space)
        derivation = space.derivation(which)
        return Addressed(space.architecture(derivation), space, derivation)
    if (path := _exported(address)) is not None:
        return Addressed(_overridden(_read(path), override, address))
    study, colon, number = address.rpartition(":")
    if colon and number.isascii() and number.isdigit() and len(number) < 12:
        from explorer.store import open_study  # no database is needed for the others

        record = open_study(storage, study).trial(int(number))
        if not record.architecture:
            raise ExplorerError(
                f"trial {number} of study {study!r} has no architecture: {record.state}, {record.reason}"
            )
        architecture = _overridden(Architecture.from_json(record.architecture, record.digest), override, address)
        return Addressed(architecture, study=study, trial=record)
    if address.endswith(SPACES):
        raise ExplorerError(f"{address[:200]!r} is a space; name a network of it, as in {address[:200]}#0")
    raise ExplorerError(
        f"{address[:200]!r} names no architecture; write SPACE.yaml#INDEX, SPACE.yaml#choice=alternative,...,"
        " STUDY:TRIAL or the path of an exported folder or its architecture.json"
    )


def _exported(address: str) -> Path | None:
    """The architecture.json that the address means: the file itself, or the one in the folder."""
    inside = os.path.join(address, ARCHITECTURE)  # os.path takes any text for a path; too long a one is none
    if os.path.isfile(inside):
        return Path(inside)
    exists = os.path.exists(address) and not os.path.isdir(address)
    is_file = address.endswith(".json") or (exists and not address.endswith(SPACES))
    return Path(address) if is_file else None


def _read(path: Path) -> Architecture:
    try:
        data = read_regular(path, MAX_JSON_BYTES)
    except OSError as error:
        raise ArchitectureError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return Architecture.from_json(data)
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}") from None


def _overridden(architecture: Architecture, override: Input | None, address: str) -> Architecture:
    """The same layers on another input. The number of classes is part of the layers and cannot change."""
    if override is None:
        return architecture
    if override.classes not in (None, architecture.classes):
        raise ArchitectureError(
            f"{address}: its head is made for {architecture.classes} classes and cannot become one for"
            f" {override.classes}; take the network from its space, as in SPACE.yaml#INDEX"
        )
    try:
        return replace(architecture, input=override.shape or architecture.input)
    except ArchitectureError as error:
        raise ArchitectureError(f"{address}: {error}") from None
