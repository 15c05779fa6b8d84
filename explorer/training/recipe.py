"""Training recipes: batch size, optimiser, learning rate schedule, augmentation and regularisation.

``recipe("quick")`` returns a recipe by name, ``recipe("mine.json")`` one from a file, which may hold only some fields.
``default_training("cifar10")`` returns a data set's default recipe and epochs. This module does not import torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from explorer.errors import TrainingError, did_you_mean
from explorer.extensions.lookup import find, names, unknown_hint
from explorer.extensions.registry import serve
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import Op
from explorer.system.files import read_regular
from explorer.system.strict_json import parse_json

MAX_BYTES = 1 << 20  # of a recipe file; a recipe has some hundred bytes


def one_cycle(step: int, total: int) -> float:
    """Increase linearly over the first quarter of the steps, then decrease linearly to 0.

    Smith and Topin 2017, arXiv:1708.07120, without their last phase below the initial rate.

    Args:
        step: Step, from 0.
        total: Number of steps.

    Returns:
        The factor of the peak learning rate, 0..1.
    """
    top = max(1, total // 4)
    return (step + 1) / top if step < top else (total - step) / (total - top)


def he2016(step: int, total: int) -> float:
    """Use a tenth for 400 steps, then the full rate, with a factor of 0.1 at half and at three quarters of the steps.

    He et al. 2016, arXiv:1603.05027, appendix: 32k and 48k of 64k iterations. If 400 steps are more than a tenth of
    all steps, the warm-up takes that tenth.

    Args:
        step: Step, from 0.
        total: Number of steps.

    Returns:
        The factor of the peak learning rate, 0..1.
    """
    if step < min(400, total // 10):
        return 0.1
    return 1.0 if step < total / 2 else 0.1 if step < total * 3 / 4 else 0.01


def wrn2016(step: int, total: int) -> float:
    """Use the full rate, with a factor of 0.2 at 30%, 60% and 80% of the steps.

    Zagoruyko and Komodakis 2016, arXiv:1605.07146, section 3: epochs 60, 120 and 160 of 200.

    Args:
        step: Step, from 0.
        total: Number of steps.

    Returns:
        The factor of the peak learning rate, 0..1.
    """
    drops: int = sum(10 * step >= tenths * total for tenths in (3, 6, 8))
    return 0.2**drops


def cosine(step: int, total: int) -> float:
    """Increase linearly over a twentieth of the steps, then decrease to 0 with half a cosine.

    He, T. et al. 2019, arXiv:1812.01187, sections 3.1 and 5.1 (5 of 120 epochs of warm-up, about a twentieth).

    Args:
        step: Step, from 0.
        total: Number of steps.

    Returns:
        The factor of the peak learning rate, 0..1.
    """
    warm_up = max(1, total // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up)))


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "one_cycle": one_cycle,
    "he2016": he2016,
    "wrn2016": wrn2016,
    "cosine": cosine,
}


# Field -> type, least and greatest value.
_RANGES: dict[str, tuple[Any, float, float]] = {
    "lr": (int | float, 0, 1_000),
    "batch_size": (int, 1, 1 << 20),
    "momentum": (int | float, 0, 1),
    "weight_decay": (int | float, 0, 1),
    "label_smoothing": (int | float, 0, 1),
    "ema": (int | float, 0, 0.999999),
    "cutout": (int, 0, 4_096),
    "mixup": (int | float, 0, 100),
    "crop_shift": (int | float, 0, 1),
    "smaller_images": (int | float, 0, 1),
}
_BOOLEANS = ("nesterov", "decay_vectors", "augment", "zero_init_last_norm", "muon")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training recipe: SGD with momentum or Muon, a learning rate schedule, augmentation and regularisation.

    Attributes:
        name: Name of the recipe.
        schedule: Learning rate schedule, a name in SCHEDULES.
        lr: Peak learning rate, for the mean loss over a batch of ``batch_size`` images, 0..1000.
        batch_size: Images of a step.
        momentum: Momentum, 0..1.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: L2 penalty that is added to the gradient, 0..1.
        decay_vectors: Whether weight decay applies to norms, biases and learnt scales.
        label_smoothing: Label smoothing, 0..1.
        augment: Whether to use random crops and flips, as far as the data set allows them.
        ema: Decay of an exponential moving average of the weights, which is validated and saved instead of them; 0 is
            off. 0.999 averages over about a thousand steps, and over fewer in a shorter run (see ``averaging``).
        cutout: Side in pixels of the square that cutout sets to the mean; 0 is off (DeVries and Taylor 2017,
            arXiv:1708.04552).
        mixup: Alpha of the Beta distribution of mixup's weights; 0 is off (Zhang et al. 2017, arXiv:1710.09412).
        zero_init_last_norm: Whether to set the norm that ends a residual branch to zero, so that a block starts as its
            shortcut (Goyal et al. 2017, arXiv:1706.02677, 5.1).
        muon: Whether Muon instead of SGD trains the weights of convolutions, with the same learning rate.
        crop_shift: Greatest shift of a random crop as a share of the data set's, 0..1. CIFAR has 4 pixels.
        smaller_images: Share of the epochs in which images are smaller, 0..1: half as high and wide in the first epoch,
            then growing by equal steps (see ``image_sizes``). 0 is off.

    Raises:
        TrainingError: A value is out of range.
    """

    name: str
    schedule: str
    lr: float
    batch_size: int
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_vectors: bool = True
    label_smoothing: float = 0.0
    augment: bool = True
    ema: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    zero_init_last_norm: bool = False
    muon: bool = False
    crop_shift: float = 1.0
    smaller_images: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TrainingError(f"recipe {self.name!r}: name must be text")
        for field in _BOOLEANS:
            if not isinstance(getattr(self, field), bool):
                raise TrainingError(
                    f"recipe {self.name!r}: {field} must be true or false, found {getattr(self, field)!r}"
                )
        if str(self.schedule) not in SCHEDULES:
            raise TrainingError(
                f"recipe {self.name!r}: unknown schedule {self.schedule!r}; known: {', '.join(SCHEDULES)}"
                + did_you_mean(str(self.schedule), SCHEDULES)
            )
        for field, (kind, low, high) in _RANGES.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                wanted = "a whole number" if kind is int else "a number"
                raise TrainingError(
                    f"recipe {self.name!r}: {field} must be {wanted} in {low:g}..{high:g}, found {value!r}"
                )
        if self.nesterov and not self.momentum:
            raise TrainingError(f"recipe {self.name!r}: nesterov needs a momentum above 0")

    def lr_at(self, step: int, total: int) -> float:
        """Return the learning rate of ``step``, 0..``total`` - 1."""
        return self.lr * SCHEDULES[self.schedule](step, total)

    def to_json(self) -> str:
        """Return all fields as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Return the recipe of a text from ``to_json``. Raises TrainingError if it is invalid."""
        data = _fields(text)
        missing = [name for name in REQUIRED_FIELDS if name not in data]
        if missing:
            raise TrainingError(f"a recipe needs {', '.join(missing)}, found only: {', '.join(data) or 'nothing'}")
        return cls(**data)


REQUIRED_FIELDS = ("name", "schedule", "lr", "batch_size")  # a file with all of these fields needs no base
BASE_FIELD = "base"
_SYNONYMS = {
    "learning_rate": "lr",
    "max_lr": "lr",
    "batch": "batch_size",
    "scheduler": "schedule",
    "lr_schedule": "schedule",
    "wd": "weight_decay",
    "smoothing": "label_smoothing",
    "augmentation": "augment",
}
_OPTIMISER = "every recipe trains by SGD with momentum; the field muon=true trains convolutions by Muon"
_NOT_IN_A_RECIPE = {
    "epochs": "epochs are a separate option (--epochs)",
    "optimizer": _OPTIMISER,
    "optimiser": _OPTIMISER,
    "seed": "the seed is a separate option (--seed)",
    "precision": "the precision is a separate option (--precision)",
}


def _fields(text: str) -> dict[str, Any]:
    """Return the fields in a JSON text. Raises TrainingError if it holds anything but a recipe's fields."""
    try:
        data: Any = parse_json(text)
    except ValueError as error:
        raise TrainingError(f"a recipe is JSON, found {text[:80]!r}: {error}") from error
    return _checked_names(data)


def _checked_names(data: Any) -> dict[str, Any]:
    """Return the mapping of fields. Raises TrainingError if it has a key that is not a recipe's field."""
    known = [field.name for field in fields(Recipe)]
    if not isinstance(data, Mapping):
        raise TrainingError(f"a recipe is a mapping of {', '.join(known)}, found {str(data)[:80]!r}")
    for key in data:
        if key not in known and key != BASE_FIELD:
            if key in _NOT_IN_A_RECIPE:
                raise TrainingError(f"a recipe has no {key!r}: {_NOT_IN_A_RECIPE[key]}")
            hint = f"; did you mean {_SYNONYMS[key]!r}?" if key in _SYNONYMS else did_you_mean(str(key), known)
            raise TrainingError(f"a recipe has no {key!r}; it has: {', '.join(known)}{hint}")
    return dict(data)


# For searches: high accuracy after a few epochs.
_QUICK = Recipe("quick", "one_cycle", lr=0.2, batch_size=128, nesterov=True, weight_decay=5e-4, decay_vectors=False)
# The same for small data sets, where an epoch of large batches would have only a few steps.
_QUICK_SMALL = replace(_QUICK, name="quick_small", batch_size=32)
# Found by measuring: benchmarks/records/accuracy_cpu_2026-12-02.md and task_difficulty_cpu_2026-12-02.md.
_FAST = replace(_QUICK, name="fast", lr=0.1, muon=True, crop_shift=0.5, smaller_images=0.875)
_FAST_SMALL = replace(_QUICK_SMALL, name="fast_small", lr=0.1, muon=True)
# The recipe of He et al. 2016, arXiv:1603.05027, appendix, for comparison with its tables.
_HE2016 = Recipe("he2016", "he2016", lr=0.1, batch_size=128, weight_decay=1e-4)
# He, T. et al. 2019, arXiv:1812.01187 ("bag of tricks"): no decay of vectors (3.1), cosine schedule and label smoothing
# (5.1, 5.2). The weight decay is that of Wide ResNets on CIFAR (arXiv:1605.07146).
_COSINE = replace(_QUICK, name="cosine", schedule="cosine", lr=0.1, label_smoothing=0.1)
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (_QUICK, _QUICK_SMALL, _FAST, _FAST_SMALL, _HE2016, _COSINE)
}

serve("recipe", RECIPES)

# Names that a user may give instead of a recipe.
OPTIMISERS = ("sgd", "adam", "adamw", "rmsprop", "lamb", "lion", "muon")

# Data set -> default recipe and epochs; "" is any other data set.
DEFAULT_TRAINING: dict[str, tuple[str, int]] = {
    "digits": ("quick_small", 15),
    "cluttered-digits": ("fast_small", 4),
    "cifar10": ("fast", 8),
    "cifar100": ("fast", 8),
    "": ("quick", 10),
}


def recipe(given: str | PathLike[str] | Mapping[str, Any] | Recipe, base: Recipe = _QUICK) -> Recipe:
    """Return the recipe of a name, a JSON file or a mapping of fields.

    Fields that include name, schedule, lr and batch_size are a complete recipe: other fields have their defaults.
    Otherwise they change a base recipe, which is named by the field ``base`` or given by the argument ``base``.

    Args:
        given: A name in RECIPES or of an extension, the path of a JSON file, a mapping of fields, or a Recipe, which is
            returned.
        base: The recipe that is changed if the fields name no base: the data set's default recipe.

    Raises:
        TrainingError: The recipe is unknown or invalid.
    """
    if isinstance(given, Recipe):
        return given
    if isinstance(given, Mapping):
        return _from_fields(_checked_names(given), base, "custom")
    if not isinstance(given, (str, PathLike)):
        raise TrainingError(f"a recipe is a name, a JSON file or a mapping of fields, found {given!r:.80}")
    name = str(given)
    if (named := _named(name)) is not None:
        return named
    path = Path(name)
    if path.suffix == ".json" or os.path.exists(name):
        return _from_file(path, base)
    optimiser = f"; {_OPTIMISER}" if name.lower() in OPTIMISERS else ""
    known = [*RECIPES, *names("recipe")]
    raise TrainingError(
        f"unknown recipe {name!r}; known: {', '.join(known)}, or a JSON file of a recipe's fields"
        f"{optimiser or unknown_hint('recipe', name, known)}"
    )


def _named(name: str) -> Recipe | None:
    """Return the recipe of a name, the explorer's or an extension's; None if there is none."""
    found = None if name in RECIPES else find("recipe", name)
    return RECIPES.get(name) if found is None else recipe(found.value)


def _from_file(path: Path, base: Recipe) -> Recipe:
    """Return the recipe in a JSON file; its name is the file's unless it has one."""
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else "it is not text in UTF-8"
        raise TrainingError(f"{path}: the recipe cannot be read: {reason}") from error
    try:
        return _from_fields(_fields(text), base, path.stem)
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from error


def _from_fields(data: dict[str, Any], base: Recipe, name: str) -> Recipe:
    """Return the recipe of these fields; ``name``: its name if they hold none."""
    named = data.pop(BASE_FIELD, None)
    if named is None and all(field in data for field in REQUIRED_FIELDS):
        return Recipe(**data)
    if named is not None:
        found = _named(named) if isinstance(named, str) else None
        if found is None:
            known = [*RECIPES, *names("recipe")]
            hint = did_you_mean(str(named), known)
            raise TrainingError(f"unknown base {str(named)[:80]!r}; known: {', '.join(known)}{hint}")
        base = found
    return replace(base, **{"name": name, **data})


def default_training(data: str) -> tuple[Recipe, int]:
    """Return the default recipe and the default number of epochs for a data set, by its name."""
    name, epochs = DEFAULT_TRAINING.get(data, DEFAULT_TRAINING[""])
    return RECIPES[name], epochs


def require_several_values(architecture: Architecture, batch_size: int) -> None:
    """Raise TrainingError if a batch norm would compute its statistics over a single value.

    Args:
        architecture: The network.
        batch_size: Images of a training step.
    """
    if batch_size > 1:
        return
    for layer in architecture.layers():
        if isinstance(layer.op, Op) and layer.op.needs_several_images(layer.x):
            norm = f"on an input of {layer.x}" if layer.op.role == "norm" else f"inside {layer.op}"
            raise TrainingError(
                f"{layer.path}: batch norm {norm} computes its statistics over the images of "
                "a batch, expected two or more, found batches of 1; raise batch_size in the recipe, or take more images"
            )
