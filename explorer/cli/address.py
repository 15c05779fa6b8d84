"""How users name an architecture, and what the name means.

preact_variants.yaml#1234                        a derivation of a space by its index
preact_variants.yaml#order=full_preact,depth=3   by choices; those left out take their first alternative
STUDY:17                                         a trial of a study
path/to/architecture.json                        an exported one, as is the folder that holds it
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.errors import ArchitectureError, ExplorerError, did_you_mean
from explorer.export.manifest import ARCHITECTURE
from explorer.networks.architecture import MAX_JSON_BYTES, Architecture
from explorer.networks.ops.base import TensorShape
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace, load_space
from explorer.space.shipped import shipped_spaces
from explorer.system.files import read_regular

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
    study, colon, number = address.rpartition(":")
    is_trial = bool(colon) and number.isascii() and number.isdigit() and len(number) < 12
    if "#" in address and not (is_trial and study in _studies(storage)):
        path, _, which = address.partition("#")
        space = load_space(path)
        if override is not None:
            space = override.applied(space)
        derivation = space.derivation(which)
        return Addressed(space.architecture(derivation), space, derivation)
    if (path := _exported(address)) is not None:
        return Addressed(_overridden(_read(path), override, address))
    if is_trial:
        from explorer.store import open_study  # no database is needed for the others

        record = open_study(storage, study).trial(int(number))
        if not record.architecture:
            raise ExplorerError(
                f"trial {number} of study {study!r} has no architecture: {record.state}, {record.reason}"
            )
        architecture = _overridden(Architecture.from_json(record.architecture, record.digest), override, address)
        return Addressed(architecture, study=study, trial=record)
    raise ExplorerError(_no_architecture(address, storage))


def _no_architecture(address: str, storage: str) -> str:
    """Why ``address`` names no architecture, and what is likely meant."""
    shown = repr(address[:200])
    space = address if address.endswith(SPACES) else f"{address}.yaml"
    if address.endswith(SPACES) or space in shipped_spaces():
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
    """The names of the studies in the storage; none where it cannot be read."""
    from explorer.store import list_studies

    try:
        return [study.name for study in list_studies(storage)]
    except ExplorerError:
        return []


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
