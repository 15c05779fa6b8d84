"""The settings that must not differ when a study is resumed, and the settings that may be missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.errors import StoreError
from explorer.store.database import open_for_writing
from explorer.store.studies import create_study
from explorer.study.fingerprint.fingerprint import make_fingerprint, require_same
from explorer.study.settings import SearchSettings
from explorer.training.recipe import RECIPES
from explorer.training.settings import TrainingSettings

OBJECTIVES = {"accuracy": "max", "macs": "min"}


def fingerprint(space, recipe):
    data = {"name": "digits", "train": 200, "sha256": "d"}
    settings = SearchSettings(objectives=OBJECTIVES, training=TrainingSettings(recipe=recipe, epochs=2))
    return make_fingerprint(space, settings, data=data)


def test_an_upgrade_of_the_program_resumes(space):
    """A study created before a recipe field existed resumes if that field is off, and is refused if it is set."""
    kept = fingerprint(space, RECIPES["quick"])
    for field in ("ema", "cutout", "mixup", "zero_init_last_norm"):
        del kept["recipe"][field]
    study = create_study(
        open_for_writing(None),
        "one",
        space_name="tiny",
        space_text=space.text,
        fingerprint=kept,
        objectives=OBJECTIVES,
        seed=0,
    )
    require_same(study, fingerprint(space, RECIPES["quick"]), space.text)
    with pytest.raises(StoreError, match=r"created with other settings \(recipe.mixup: 0.0, now 0.2\); use the same"):
        require_same(study, fingerprint(space, replace(RECIPES["quick"], mixup=0.2)), space.text)
