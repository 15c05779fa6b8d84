"""Checks that a run has the extensions that a study was created with."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from explorer.errors import StudyError
from explorer.extensions.lookup import find, names
from explorer.extensions.registry import KINDS, Extension, how_to_add, how_to_restore
from explorer.networks.architecture import Architecture
from explorer.store.study import Study

ENTRY = "extensions"  # of the fingerprint: "KIND NAME" -> where it is from
# Kinds that may change: no result depends on them, and the values of a recipe are compared themselves.
MAY_CHANGE = ("sampler", "stopping", "tracker", "recipe")
_log = logging.getLogger(__name__)


def extension_entries(used: Sequence[Extension]) -> dict[str, str]:
    """Return the entries of a fingerprint: "KIND NAME" -> where the extension is from, with its code or version."""
    return {f"{each.kind} {each.name}": str(each.origin) for each in used}


def require_present(study: Study) -> None:
    """Raise StudyError if this process lacks an extension that the trials of a study depend on, or has another version.

    Args:
        study: The study.
    """
    entries = study.fingerprint.get(ENTRY, {})
    _require_equal(study, entries, _present(entries))


def require_ops(study: Study, architecture: Architecture | None = None) -> None:
    """Raise StudyError if this process has another version of an op than the study was created with.

    The study's results, costs and weights belong to the version that it records.

    Args:
        study: The study.
        architecture: A network of the study, whose ops are compared; None for all ops of the study.
    """
    entries = {entry: origin for entry, origin in study.fingerprint.get(ENTRY, {}).items() if entry.startswith("op ")}
    if entries and architecture is not None:
        used = {f"op {layer.op.spelling}" for part in architecture.segments for layer in part.layers()}
        entries = {entry: origin for entry, origin in entries.items() if entry in used}
    _require_equal(study, entries, _present(entries))


def require_data(study: Study) -> None:
    """Raise StudyError if the data set of a study is an extension that this process lacks.

    Args:
        study: The study.
    """
    name = study.fingerprint["data"]
    entry = f"data {name}"
    origin = study.fingerprint.get(ENTRY, {}).get(entry)
    if origin is not None and not _present([entry]):
        raise _missing(study, "data", name, origin)


def _present(entries: Iterable[str]) -> dict[str, str]:
    """Return those of the entries that this process has, each with where it is from here."""
    split = [entry.partition(" ")[::2] for entry in entries]
    found = [find(kind, name) for kind, name in split if name in names(kind)]
    return extension_entries([each for each in found if each is not None])


def _missing(study: Study, kind: str, name: str, origin: str) -> StudyError:
    return StudyError(
        f"study {study.name!r} uses the {KINDS[kind].word} {name!r} of {origin}, which this run does not have:"
        f" {how_to_add(origin)}"
    )


def require_same_extensions(study: Study, found: Mapping[str, str], *, changed_code: str = "refuse") -> None:
    """Check that a run has the extensions that a study was created with.

    Args:
        study: The study.
        found: The extensions of this run, as ``extension_entries`` returns them.
        changed_code: "continue": changes of code and versions are only logged.

    Raises:
        StudyError: An extension is missing, or is from elsewhere or has changed; the message says what to do.
    """
    _require_equal(study, study.fingerprint.get(ENTRY, {}), found, changed_code)


def _require_equal(
    study: Study, entries: Mapping[str, str], found: Mapping[str, str], changed_code: str = "refuse"
) -> None:
    """Raise StudyError if an extension among these entries of the study is missing or differs in ``found``."""
    for entry, before in entries.items():
        kind, _, name = entry.partition(" ")
        now, word = found.get(entry), KINDS[kind].word
        if now == before or (now is None and kind in MAY_CHANGE):
            continue
        if now is None:
            raise _missing(study, kind, name, before)
        message = f"study {study.name!r} was created with the {word} {name!r} of {before}, found that of {now}"
        if kind in MAY_CHANGE or changed_code == "continue":
            _log.warning("%s; its trials keep their results", message)
            continue
        raise StudyError(f"{message}; {how_to_restore(before)}, or create another study with --study NAME")
