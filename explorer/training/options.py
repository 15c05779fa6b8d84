"""The keywords of functions that take ``TrainingSettings``, for type checkers.

Written by ``python -m docs.generate``; change the fields of the settings instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, TypedDict

from explorer.training.recipe import Recipe


class TrainOptions(TypedDict, total=False):
    """Keywords that replace single values of ``TrainingSettings``."""

    data_dir: str | PathLike[str] | None
    subset: int | None
    skip_damaged: bool
    recipe: Recipe | str | PathLike[str] | Mapping[str, Any] | None
    epochs: int | None
    device: str
    precision: str
    activation_checkpointing: str


class TrainingOptions(TrainOptions, total=False):
    """Keywords that replace single values of ``TrainingSettings``."""

    data: str | PathLike[str] | None
