"""Merge studies that were created with the same settings, such as parts of one search on several machines."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.errors import StoreError
from explorer.store.managing.extensions import ENTRY, MAY_CHANGE
from explorer.store.managing.merging import Merged, append_trials
from explorer.store.study import Study
from explorer.study.fingerprint.fingerprint import code_differences, fingerprint_differences


def merge_studies(study: Study, *sources: Study) -> list[Merged]:
    """Add the trials of other studies to a study, from the same or from other databases.

    Trials that have not ended are left out, and so are those that the study has already: the same network, seed and
    state. Weights and confirmations are added too. Seeds, limits and budgets of the studies may differ.

    Args:
        study: The study that grows. No worker may run a training of it.
        *sources: The other studies; they do not change.

    Returns:
        What was added, for each source.

    Raises:
        StoreError: A source was created with other settings, so that its trials are not comparable; the message names
            the differences, and nothing was added. Or a database or file cannot be read or written to.
    """
    require_alike(study, sources)
    return [append_trials(study, source) for source in sources]


def require_alike(study: Study, sources: Sequence[Study]) -> None:
    """Raise StoreError if the trials of a source cannot be compared with those of the study.

    Args:
        study: The study.
        sources: The other studies.
    """
    for source in sources:
        if (source.storage, source.id, source.created) == (study.storage, study.id, study.created):
            raise StoreError(f"study {study.name!r} cannot be merged into itself")
        found = fingerprint_differences(study, source.fingerprint, source.space_text)
        listed = [
            f"{name}: {f'{ours} in {study.name!r}, ' if ours else ''}{theirs}" for name, (ours, theirs) in found.items()
        ]
        ours, theirs = (each.fingerprint.get(ENTRY, {}) for each in (study, source))
        listed += [
            f"{name}: {ours.get(name, 'none')} in {study.name!r}, {theirs.get(name, 'none')}"
            for name in {**ours, **theirs}
            if name.partition(" ")[0] not in MAY_CHANGE and ours.get(name) != theirs.get(name)
        ]
        listed += code_differences(study.fingerprint, source.fingerprint)
        if listed:
            raise StoreError(
                f"study {source.name!r} cannot be merged into {study.name!r}, because their trials are not comparable "
                f"({'; '.join(listed)}); nothing was changed"
            )
