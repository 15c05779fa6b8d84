"""An additional worker for an existing study, with the settings recorded in the study."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from explorer.errors import StudyError
from explorer.space.search_space import parse_space
from explorer.store.managing.extensions import ENTRY, require_present
from explorer.store.presence.processes import Role
from explorer.store.studies import open_study
from explorer.store.study import Study
from explorer.study.recorded_training import find_data
from explorer.study.search import SearchResult, run_search
from explorer.training.recipe import Recipe


def join_search(
    storage: str | PathLike[str], name: str, *, data_dir: str | Path | None = None, **settings: Any
) -> SearchResult:
    """Run a search of an existing study with its own space, objectives, data, split, recipe and epochs.

    Args:
        storage: Database of the study.
        name: Name of the study; empty if the database has just one.
        data_dir: Folder of the data; the place recorded in the study by default.
        **settings: Settings of ``run_search`` that may differ between runs of one study, ``progress`` and
            ``role``.

    Raises:
        ExplorerError: StoreError if the storage or the study does not exist, StudyError if the study uses functions of
            a script and only that script can resume it, and the errors of ``run_search``.
    """
    study = open_study(storage, name)
    recorded = study.fingerprint
    own = [name for name in recorded["costs"] if f"cost {name}" not in recorded.get(ENTRY, {})]
    if recorded["evaluate"] != "training" or own:
        function = "evaluate" if recorded["evaluate"] != "training" else "costs"
        raise StudyError(
            f"study {study.name!r} was created with a function of the caller's ({function}); "
            "run the script that created it again: it then joins the study as another worker"
        )
    require_present(study)
    space = parse_space(study.space_text, f"the space of study {study.name!r}")
    settings = {"role": Role("worker"), **settings}
    return run_search(space, storage=storage, **recorded_settings(study, data_dir), **settings)


def recorded_settings(study: Study, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Return the settings of a search that a study records, by name.

    Args:
        study: The study.
        data_dir: Folder of the data; the place recorded in the study by default.

    Raises:
        DataError: The data are missing.
    """
    recorded = study.fingerprint
    common = {"study": study.name, "objectives": study.objectives, "epochs": recorded["epochs"]}
    if recorded["evaluate"] != "training":
        return common
    place = find_data(study, data_dir)
    return {
        **common,
        "data": place["name"],
        "data_dir": place.get("data_dir"),
        "subset": recorded["split"].get("subset"),
        "skip_damaged": recorded["split"].get("damaged", 0) > 0,
        "recipe": Recipe.from_json(json.dumps(recorded["recipe"])),
    }
