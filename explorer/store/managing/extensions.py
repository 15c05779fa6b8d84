"""Checks that a run has the extensions that a study was created with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from explorer.errors import StudyError
from explorer.extensions.lookup import find, names
from explorer.extensions.registry import KINDS, Extension, how_to_add
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
    entries = [entry.partition(" ")[::2] for entry in study.fingerprint.get(ENTRY, {})]
    found = [find(kind, name) for kind, name in entries if name in names(kind)]
    require_same_extensions(study, extension_entries([each for each in found if each is not None]))


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
    for entry, before in study.fingerprint.get(ENTRY, {}).items():
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
        package = before.startswith("package ")
        fix = how_to_add(before) if package else f"restore the earlier {before.partition(' (')[0]}"
        raise StudyError(f"{message}; {fix}, or create another study with --study NAME")
