"""The study that a search enters: one that it goes on with, or a new one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from explorer.errors import StoreError
from explorer.store.database import Database
from explorer.store.lease import is_gone
from explorer.store.studies import change_study, check_name, create_study, find_study, study_names
from explorer.store.study import Study
from explorer.study.fingerprint import code_differences, require_same
from explorer.study.plan import Plan

MOST_PLACES = 8  # where a study's data lay that are remembered
_log = logging.getLogger(__name__)


def study_name(plan: Plan, database: Database) -> str:
    """Return the name of the study that the plan enters; the plan's, unless the caller left it out and it is taken."""
    settings = plan.settings
    named, seed = settings.study is not None, settings.seed
    taken, name = study_names(database), check_name(plan.name)
    if not named and plan.of_caller:
        before = f"{plan.space.name}-evaluate"  # the default name of before it had the function's
        if name not in taken and before in taken and "code" not in find_study(database, before).fingerprint:
            name = before
    if not named and not settings.new_study and seed is not None and name in taken:
        kept = find_study(database, name).seed
        if kept != seed:
            other = f"{name}-seed{seed}"
            _log.warning("study %r was begun with seed %d; with seed %d it is study %r", name, kept, seed, other)
            name = other
    return name


def enter_study(plan: Plan, name: str, database: Database) -> Study:
    """Return the study to go on with, or a new one, under the limits of the settings.

    Raises:
        StoreError: The study was created with other settings.
    """
    settings, limits, seed = plan.settings, plan.settings.limits, plan.settings.seed
    asked = tuple(sorted({str(limit) for limit in limits or ()}))
    study = create_study(
        database,
        name,
        space_name=plan.space.name,
        space_text=plan.space.text,
        fingerprint=plan.fingerprint,
        objectives=plan.objectives,
        seed=seed or 0,
        limits=asked,
        data_places=[plan.data_place] if plan.data_place else (),
        beside=settings.new_study,
    )
    require_same(study, plan.fingerprint, plan.space.text)
    if seed is not None and study.seed != seed:
        raise StoreError(
            f"study {study.name!r} in {study.storage} was begun with seed {study.seed}, found seed {seed}; leave the "
            "seed out to go on with it, or begin another with --study NAME or --new-study"
        )
    fingerprint = _with_code(study, plan.fingerprint, settings.changed_code)
    bounds = study.limits if limits is None else asked
    places = study.data_places
    if plan.data_place:  # of several machines each has its own
        places = (plan.data_place, *(place for place in places if place != plan.data_place))[:MOST_PLACES]
    if (dict(study.fingerprint), study.limits, study.data_places) == (fingerprint, bounds, places):
        return study
    if study.limits != bounds:
        before, now = (", ".join(each) or "none" for each in (study.limits, bounds))
        _log.warning("study %r: its limits were %s, from now on they are %s", study.name, before, now)
    return change_study(study, fingerprint=fingerprint, limits=bounds, data_places=places)


def _with_code(study: Study, found: Mapping[str, Any], changed_code: str) -> dict[str, Any]:
    """The study's fingerprint with the code of the functions that it is searched with now. Raises StoreError where
    results were computed by other code, unless they are to be kept."""
    if "code" not in found:
        return dict(study.fingerprint)
    differences = "; ".join(code_differences(study.fingerprint, found))
    counts = study.counts()
    results = counts["complete"] + counts["stopped"]
    if differences:
        held = (each for each in study.leases() if each.until is not None and each.until > time.time())
        running = any(not is_gone(each.worker) for each in held)
        if changed_code != "continue" and (running or (results and not _corrects_errors(study, found))):
            told = f"{results} of its trials have results" if results else "another process is searching it"
            raise StoreError(
                f"study {study.name!r} in {study.storage} was begun with other code ({differences}), and {told}; "
                "changed_code='continue' keeps them and goes on, new_study=True or another name (study='NAME') begins "
                "another study"
            )
        _log.warning(
            "study %r goes on with other code (%s); trials with results keep them: %d", study.name, differences, results
        )
    elif "code" not in study.fingerprint and results:
        _log.warning(
            "study %r was begun before studies kept the code of functions; its trials count as evaluated by this code",
            study.name,
        )
    return {**study.fingerprint, "code": found["code"]}


def _corrects_errors(study: Study, found: Mapping[str, Any]) -> bool:
    """Whether other code is likely a correction: the functions have the names that the study knows, and some trial
    failed because the earlier code raised an error."""
    kept = study.fingerprint.get("code", {})
    same = all(role in kept and kept[role]["name"] == now["name"] for role, now in found["code"].items())
    return same and any(record.failure == "code" for record in study.trials(full=False))
