"""The settings of training: data set, recipe, epochs, device and precision. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from typing import Any

from explorer.settings.frozen import FrozenDict
from explorer.settings.kinds import Flag, Kind, Name, Text, Whole
from explorer.settings.settings import Settings, setting
from explorer.training.recipe import Recipe, default_training
from explorer.training.recipe import recipe as recipe_named

PRECISIONS = ("auto", "float32", "bfloat16")
ON, OFF = "on", "off"
CHECKPOINTING = ("auto", ON, OFF)


class RecipeKind(Kind):
    """A recipe as its name, its JSON file or a mapping of its fields; ``training.recipe.recipe`` resolves it."""

    def check(self, name: str, value: Any) -> Any:
        if isinstance(value, PathLike):
            return fspath(value)
        if not isinstance(value, str):
            recipe_named(value)  # raises TrainingError; a name or a file is read when training begins
        return FrozenDict(value) if isinstance(value, Mapping) else value

    def write(self, value: Any) -> Any:
        if isinstance(value, Recipe):
            return asdict(value)
        return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How networks are trained. The help of each field is in its metadata."""

    data: str | None = setting(
        None,
        "Data set: digits, cluttered-digits, cifar10, cifar100, mnist, fashion_mnist or a folder of class folders."
        " Default: cluttered-digits; explorer train has no default.",
        Text(),
        metavar="NAME",
        in_fingerprint=True,
        accepts="str | PathLike[str] | None",
    )
    data_dir: str | None = setting(
        None,
        "Folder of the data sets; also from EXPLORER_DATA.",
        Text(),
        metavar="DIR",
        envvar="EXPLORER_DATA",
        accepts="str | PathLike[str] | None",
    )
    subset: int | None = setting(
        None,
        "Number of training and validation images to use, stratified; all by default.",
        Whole(min=2),
        metavar="N",
        in_fingerprint=True,
    )
    skip_damaged: bool = setting(
        False,
        "Leave out images of a folder that cannot be decoded; recorded in the study.",
        Flag(),
        in_fingerprint=True,
    )
    recipe: Recipe | str | Mapping[str, Any] | None = setting(
        None,
        "Recipe: quick, fast, he2016, cosine, or a JSON file of the fields to change; the data set's own by default.",
        RecipeKind(),
        in_python="Also a Recipe, or a mapping of the fields to change.",
        metavar="NAME",
        in_fingerprint=True,
        accepts="Recipe | str | PathLike[str] | Mapping[str, Any] | None",
    )
    epochs: int | None = setting(
        None,
        "Epochs of each training; the data set's own number by default.",
        Whole(max_typed=100_000),
        metavar="N",
        in_fingerprint=True,
    )
    device: str = setting(
        "cpu",
        "Device: auto, cpu, cuda or cuda:N.",
        Text(),
        metavar="DEVICE",
        command_default="auto",
    )
    precision: str = setting(
        "auto",
        "Precision; auto measures which is faster.",
        Name("precision", PRECISIONS),
        metavar=f"[{'|'.join(PRECISIONS)}]",
    )
    activation_checkpointing: str = setting(
        "auto",
        "Recompute activations in the backward pass instead of storing them; auto does if they would fill more than"
        " half of the memory for the training.",
        Name("activation checkpointing", CHECKPOINTING),
        metavar=f"[{'|'.join(CHECKPOINTING)}]",
    )

    def resolved(self, data: str) -> ResolvedTraining:
        """Return these settings with recipe and epochs filled in.

        Args:
            data: Name of the data set; it determines the defaults.

        Raises:
            TrainingError: The recipe is unknown or invalid.
        """
        default, epochs = default_training(data)
        recipe = default if self.recipe is None else recipe_named(self.recipe, default)
        return ResolvedTraining(**{**vars(self), "data": data, "recipe": recipe, "epochs": self.epochs or epochs})


@dataclass(frozen=True, kw_only=True)
class ResolvedTraining(TrainingSettings):
    """Training settings with data set, recipe and epochs filled in.

    Attributes:
        data: Name of the data set, or its folder.
        recipe: The recipe.
        epochs: Number of epochs.
    """

    data: str = field()
    recipe: Recipe = field()
    epochs: int = field()
