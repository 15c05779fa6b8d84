"""One more worker on a study that another search began, with nothing but the study to go by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from explorer.errors import StudyError
from explorer.space.search_space import parse_space
from explorer.store.studies import open_study
from explorer.study.recorded_training import find_data
from explorer.study.search import SearchResult, run_search
from explorer.training.recipe import Recipe


def join_search(storage: str, name: str, *, data_dir: str | Path | None = None, **settings: Any) -> SearchResult:
    """Run a search of an existing study: space, objectives, data, split, recipe and epochs are the study's own.

    Args:
        storage: Database of the study.
        name: The study; empty text where there is just one.
        data_dir: As in ``find_data``; by default the data are where they were.
        **settings: Settings of ``run_search`` that may differ between the runs of one study, and ``progress``.

    Raises:
        ExplorerError: StoreError for a storage or a study that is not there, StudyError for one that only its own
            script can resume, and what ``run_search`` raises.
    """
    study = open_study(storage, name)
    begun = study.fingerprint
    if begun["evaluate"] != "training" or begun["costs"]:
        brought = "evaluate" if begun["evaluate"] != "training" else "costs"
        raise StudyError(
            f"study {study.name!r} was begun with a function of the caller's ({brought}); "
            "run the script that began it once more: it is another worker then"
        )
    place = find_data(study, data_dir)
    return run_search(
        parse_space(study.space_text, f"the space of study {study.name!r}"),
        data=place["name"],
        data_dir=place.get("data_dir"),
        subset=begun["split"].get("subset"),
        skip_damaged=begun["split"].get("damaged", 0) > 0,
        objectives=study.objectives,
        recipe=Recipe.from_json(json.dumps(begun["recipe"])),
        epochs=begun["epochs"],
        storage=storage,
        study=study.name,
        **settings,
    )
