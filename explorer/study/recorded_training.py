"""The recipe and the data recorded in a study's fingerprint, and where the data are on this machine.

This module does not import torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from explorer.data.catalogue import EMBEDDED, KNOWN, data_place, locate
from explorer.data.dataset import Dataset, load_data
from explorer.errors import DataError, StudyError
from explorer.extensions.lookup import names
from explorer.store.managing.extensions import require_data, require_present
from explorer.store.study import Study
from explorer.training.recipe import Recipe


def is_trained(study: Study) -> bool:
    """Return whether the explorer trained the study's networks; a caller's function evaluated the others."""
    return bool(study.fingerprint.get("recipe"))


def training_recipe(study: Study) -> Recipe:
    """Return the recipe of a study.

    Raises:
        StudyError: The study was evaluated by a function of the caller.
    """
    if not is_trained(study):
        raise StudyError(
            f"study {study.name!r} was evaluated by a function of the caller's, with which the explorer cannot"
            " train its networks again; repeats=K of explorer.search calls the function with further seeds"
        )
    return Recipe.from_json(json.dumps(study.fingerprint["recipe"]))


def find_data(study: Study, data_dir: str | Path | None) -> dict[str, str]:
    """Find the study's data on this machine.

    Places are tried in this order: ``data_dir``, the places recorded in the study, the usual place of a data set of
    this name.

    Args:
        study: The study.
        data_dir: Folder to look in; for a folder of images, the folder itself or its parent.

    Returns:
        The arguments ``name`` and ``data_dir`` of ``load_data``.

    Raises:
        DataError: The data are in none of these places.
        StudyError: The data are an extension, which this process lacks.
    """
    name, kept = study.fingerprint["data"], study.data_places
    require_data(study)
    given = [] if data_dir is None else [str(data_dir)]
    if name in EMBEDDED or (name not in KNOWN and name in names("data")):
        return {"name": name}
    if name in KNOWN:
        for folder in (*given, *(place["data_dir"] for place in kept)):
            if locate(name, folder) is not None:
                return data_place(name, folder)
        return data_place(name, data_dir)
    sized = re.fullmatch(r"(.+)(@\d+)", name)
    folder, size = sized.groups() if sized else (name, "")
    before = [place["name"].removesuffix(size) for place in kept]
    near = [place for root in given for place in (Path(root, folder), Path(root).resolve()) if place.name == folder]
    for place in (*near, *map(Path, before)):
        if place.is_dir():
            return data_place(f"{place}{size}")
    try:
        return data_place(name, data_dir)
    except DataError:
        was = f"which was {' or '.join(before)}" if before else "but does not say where that was"
        looked = " or ".join([*(["there"] if before else []), str(data_dir or "the working folder")])
        raise DataError(
            f"study {study.name!r} was trained on the images of a folder {folder!r}, {was}; found none in {looked}; "
            f"name the folder that holds {folder!r} with --data-dir (in Python data_dir)"
        ) from None


def training_data(study: Study, data_dir: str | Path | None) -> Dataset:
    """Load the data of the study with the splits of the study.

    Raises:
        StudyError: The content differs from that of the study's data.
        DataError: The data are missing.
    """
    require_present(study)
    split = study.fingerprint["split"]
    place = find_data(study, data_dir)
    data = load_data(**place, subset=split["subset"], seed=split["seed"], skip_damaged=split.get("damaged", 0) > 0)
    if data.fingerprint["sha256"] != split["sha256"]:
        raise StudyError(
            f"{place.get('data_dir', place['name'])}: the data set {data.name!r} is not the one that study "
            f"{study.name!r} was trained on: their contents differ; give its folder with --data-dir"
        )
    return data
