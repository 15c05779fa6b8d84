"""The terms on which a study trains: the recipe and the data that its fingerprint tells. Free of torch."""

from __future__ import annotations

import json
from pathlib import Path

from explorer.errors import StudyError
from explorer.store.study import Study
from explorer.training.data import Dataset, load_data
from explorer.training.recipe import Recipe


def training_recipe(study: Study) -> Recipe:
    """The recipe by which the study trains. Raises StudyError for one that a function of the caller's evaluates."""
    if not study.fingerprint.get("recipe"):
        raise StudyError(
            f"study {study.name!r} was evaluated by a function of the caller's: its networks have no trained weights"
        )
    return Recipe.from_json(json.dumps(study.fingerprint["recipe"]))


def training_data(study: Study, data_dir: str | Path | None) -> Dataset:
    """The data that the study trains on, split as it splits them. Raises StudyError where their content is another's,
    DataError where they are missing."""
    split = study.fingerprint["split"]
    data = load_data(
        study.fingerprint["data"],
        data_dir,
        subset=split["subset"],
        seed=split["seed"],
        skip_damaged=split.get("damaged", 0) > 0,
    )
    if data.fingerprint["sha256"] != split["sha256"]:
        raise StudyError(
            f"the data set {data.name!r} is not the one that study {study.name!r} was trained on: their contents differ"
        )
    return data
