"""The study of a search: an existing study that it resumes, or a new one."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from explorer.analysis.amounts import plural
from explorer.analysis.limits import parse_limit
from explorer.errors import StoreError
from explorer.space.search_space import SearchSpace
from explorer.store.artifacts import artifacts_folder
from explorer.store.database import Database
from explorer.store.lease import is_gone
from explorer.store.managing.extensions import ENTRY, require_same_extensions
from explorer.store.managing.files import move_folder
from explorer.store.remote.place import PLACE, VARIABLE, is_remote, place_of_environment
from explorer.store.storage_url import database_file
from explorer.store.studies import change_study, check_name, create_study, find_study, study_names
from explorer.store.study import Study
from explorer.store.views.study_files import require_writable_place
from explorer.study.fingerprint.fingerprint import code_differences, require_same
from explorer.study.plan import DEFAULT_DATA, Plan, make_plan
from explorer.study.recorded_training import is_trained, training_recipe
from explorer.study.settings import SearchSettings
from explorer.study.workers.jobs import Training
from explorer.training.recipe import Recipe

MAX_DATA_PLACES = 8  # recorded per study, the latest first: several machines may have the data in different folders
_log = logging.getLogger(__name__)


def plan_search(space: SearchSpace, settings: SearchSettings, database: Database | None) -> tuple[Plan, str]:
    """Return the plan of a search, and the name of the study that it resumes or creates.

    Args:
        space: The space.
        settings: The settings. A study that exists goes on with its own recipe and epochs where they name none, so that
            a version with other defaults does not refuse the call that created it.
        database: As for ``check_resumable``.

    Raises:
        ExplorerError: As ``make_plan`` and ``check_resumable``.
    """
    plan = make_plan(space, settings)
    name, study = _resumed(plan, database)
    own = settings if study is None else with_recorded_training(settings, study)
    if own is not settings:
        plan = make_plan(space, own)
    _check_resumable(plan, study)
    if own is not settings:
        _log.warning(
            "study %r goes on with its %s, since no other is named; the default differs", name, _own(settings, own)
        )
    return plan, name


def _own(settings: SearchSettings, own: SearchSettings) -> str:
    """Return the recipe and the epochs that the settings of a study add to those of a search, as text."""
    recipe, epochs = own.training.recipe, own.training.epochs
    taken = [f"recipe {recipe.name!r}"] if isinstance(recipe, Recipe) and settings.training.recipe is None else []
    if epochs is not None and settings.training.epochs is None:
        taken.append(plural(epochs, "epoch"))
    return " and its ".join(taken)


def with_recorded_training(settings: SearchSettings, study: Study) -> SearchSettings:
    """Return the settings with the recipe and the epochs of a study where they name none.

    Args:
        settings: The settings of a search. If a function of the caller's evaluates, they have neither.
        study: The study.

    Returns:
        New settings, or the same object if the study has the defaults.
    """
    if not is_trained(study) or settings.evaluate is not None:
        return settings
    training, recipe, epochs = settings.training, training_recipe(study), study.fingerprint["epochs"]
    default = training.resolved(training.data or DEFAULT_DATA)
    own: dict[str, Any] = {}
    if training.recipe is None and recipe != default.recipe:
        own["recipe"] = recipe
    if training.epochs is None and epochs != default.epochs:
        own["epochs"] = epochs
    return replace(settings, training=replace(training, **own)) if own else settings


def check_resumable(plan: Plan, database: Database | None) -> str:
    """Return the name of the study that a search resumes or creates, if nothing refuses the search.

    The database is only read, because ``open_for_writing`` would migrate a database of an earlier version.

    Args:
        plan: The search.
        database: Database of the studies, opened for reading; None if it does not exist yet.

    Raises:
        StoreError: The study was created with other settings, or the database cannot be read.
        StudyError: No network satisfies the limits of the study.
    """
    name, study = _resumed(plan, database)
    _check_resumable(plan, study)
    return name


def _resumed(plan: Plan, database: Database | None) -> tuple[str, Study | None]:
    """Return the name of the study that a search resumes or creates, and the study if it exists."""
    check_name(plan.name)
    if database is None:
        return plan.name, None
    name = _study_name(plan, database)
    exists = not plan.settings.new_study and name in study_names(database)
    return name, find_study(database, name) if exists else None


def _check_resumable(plan: Plan, study: Study | None) -> None:
    """Raise ExplorerError if a search cannot resume a study; None is a new one."""
    if study is not None:
        _require_resumable(study, plan)
        if plan.settings.limits is None:
            plan.under(map(parse_limit, study.limits))


def check_place(plan: Plan, name: str, database: Database | None) -> None:
    """Raise StoreError if the place for the files of a study cannot be written to, before it is stored in the study.

    Args:
        plan: The search.
        name: The name of its study.
        database: As for ``check_resumable``.
    """
    settings, place = plan.settings, ""
    if database is not None and not settings.new_study and name in study_names(database):
        place = find_study(database, name).place
    if isinstance(plan.work, Training) or (settings.artifacts and not place):
        file = database_file(settings.storage) if settings.storage is not None else None
        require_writable_place(file, place or settings.artifacts or "")


def _study_name(plan: Plan, database: Database) -> str:
    """Return the name of the study that a search resumes or creates.

    Args:
        plan: The search. Its name is replaced only if the caller gave none and the study of that name has another seed.
        database: Database of the studies.
    """
    settings = plan.settings
    named, seed = settings.study is not None, settings.seed
    taken, name = study_names(database), plan.name
    if not named and plan.is_user_function:
        before = f"{plan.space.name}-evaluate"  # the default name in earlier versions
        if name not in taken and before in taken and "code" not in find_study(database, before).fingerprint:
            name = before
    if not named and not settings.new_study and seed is not None and name in taken:
        recorded = find_study(database, name).seed
        if recorded != seed:
            other = f"{name}-seed{seed}"
            _log.warning(
                "study %r was created with seed %d; with seed %d this run uses study %r", name, recorded, seed, other
            )
            name = other
    return name


def open_or_create_study(plan: Plan, name: str, database: Database) -> Study:
    """Return the study to resume, or a new one, with the limits of the settings.

    Args:
        plan: The search.
        name: Name of the study.
        database: Database of the studies.

    Raises:
        StoreError: The study was created with other settings.
    """
    settings, limits, seed = plan.settings, plan.settings.limits, plan.settings.seed
    bounds = tuple(sorted({str(limit) for limit in limits or ()}))
    study = create_study(
        database,
        name,
        space_name=plan.space.name,
        space_text=plan.space.text,
        fingerprint={**plan.fingerprint, **({PLACE: settings.artifacts} if settings.artifacts else {})},
        objectives=plan.objectives,
        seed=seed or 0,
        limits=bounds,
        data_places=[plan.data_place] if plan.data_place else (),
        always_new=settings.new_study,
    )
    _require_resumable(study, plan)  # another process may have created it since ``check_resumable``
    fingerprint = _with_code(study, plan.fingerprint)
    if settings.artifacts and not study.place:
        fingerprint[PLACE] = settings.artifacts
    elif settings.artifacts and settings.artifacts != study.place:
        _log.warning("study %r keeps its files in %s; %s is for other studies", study.name, study.place, VARIABLE)
    if limits is None:
        bounds = study.limits
    places = study.data_places
    if plan.data_place:  # another machine may have another
        places = (plan.data_place, *(place for place in places if place != plan.data_place))[:MAX_DATA_PLACES]
    if (dict(study.fingerprint), study.limits, study.data_places) == (fingerprint, bounds, places):
        return study
    if fingerprint.get(PLACE) != study.fingerprint.get(PLACE):
        _take_place(study, fingerprint[PLACE])
    if study.limits != bounds:
        before, now = (", ".join(each) or "none" for each in (study.limits, bounds))
        _log.warning("study %r: its limits were %s, from now on they are %s", study.name, before, now)
    return change_study(study, fingerprint=fingerprint, limits=bounds, data_places=places)


def _require_resumable(study: Study, plan: Plan) -> None:
    """Raise StoreError if the study was created with other settings, another seed or other code."""
    seed = plan.settings.seed
    extensions = plan.fingerprint.get(ENTRY, {})
    require_same_extensions(study, extensions, changed_code=plan.settings.changed_code)
    require_same(study, plan.fingerprint, plan.space.text)
    require_place(study, plan.settings.artifacts)
    if seed is not None and study.seed != seed:
        raise StoreError(
            f"study {study.name!r} in {study.storage} was created with seed {study.seed}, found seed {seed}; leave "
            "out the seed to resume it, or create another study with --study NAME or --new-study"
        )
    differences = "; ".join(code_differences(study.fingerprint, plan.fingerprint))
    if not differences or plan.settings.changed_code == "continue":
        return
    results = _results(study)
    if _is_searched(study) or (results and not _corrects_errors(study, plan.fingerprint)):
        holds = f"{results} of its trials have results" if results else "another process is searching it"
        raise StoreError(
            f"study {study.name!r} in {study.storage} was created with other code ({differences}), and {holds}; "
            "changed_code='continue' keeps them and resumes, new_study=True or another name (study='NAME') creates "
            "another study"
        )


def require_place(study: Study, place: str | None) -> None:
    """Raise StoreError if a search names another place for the files than the study has.

    Args:
        study: The study. If no place was ever named for it, a search may name one.
        place: The place that the search names. That of the environment is for all studies, so it may be another.
    """
    if place and study.place and place not in (study.place, place_of_environment()):
        copying = shlex.join(["explorer", "studies", "copy", study.name, "NEW", "--artifacts", place])
        raise StoreError(
            f"study {study.name!r} keeps its files in {study.place}, found --artifacts {place}; leave it out, or copy "
            f"the study with its files: {copying}"
        )


def _take_place(study: Study, place: str) -> None:
    """Move the files of a study, which no process searches, to the first place that is named for it."""
    if _is_searched(study):
        raise StoreError(f"study {study.name!r} gets no other place for its files while another process searches it")
    if not is_remote(place):  # the files of this machine are sent to an object store when the search begins
        move_folder(study.artifacts, artifacts_folder(study.database.file, study.name, study.created, place))


def _is_searched(study: Study) -> bool:
    """Return whether a process holds a lease on a trial of the study."""
    held = (each for each in study.leases() if each.until is not None and each.until > time.time())
    return any(not is_gone(each.worker) for each in held)


def _results(study: Study) -> int:
    """Return the number of trials that have results."""
    counts = study.counts()
    return counts["complete"] + counts["stopped"]


def _with_code(study: Study, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study's fingerprint with the code of the caller's functions in this run.

    Args:
        study: The study.
        found: Fingerprint of this run.
    """
    kept = dict(study.fingerprint)
    if ENTRY in found:  # a run may use another sampler
        kept[ENTRY] = {**kept.get(ENTRY, {}), **found[ENTRY]}
    if "code" not in found:
        return kept
    differences, results = "; ".join(code_differences(study.fingerprint, found)), _results(study)
    if differences:
        _log.warning(
            "study %r is resumed with changed code (%s); %d trials keep their earlier results",
            study.name,
            differences,
            results,
        )
    elif "code" not in study.fingerprint and results:
        _log.warning(
            "study %r was created before studies recorded the code of functions; its trials count as evaluated by this "
            "code",
            study.name,
        )
    return {**kept, "code": found["code"]}


def _corrects_errors(study: Study, found: Mapping[str, Any]) -> bool:
    """Return whether changed code is likely a correction.

    This is the case if the functions have the recorded names, and a trial failed because the earlier code raised an
    error.
    """
    recorded = study.fingerprint.get("code", {})
    same = all(role in recorded and recorded[role]["name"] == now["name"] for role, now in found["code"].items())
    return same and any(record.failure == "code" for record in study.trials(full=False))
