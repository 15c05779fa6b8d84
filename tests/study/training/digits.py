"""Quick trainings on the embedded digits."""

from __future__ import annotations

import shutil
from pathlib import Path

from explorer.analysis.limits import parse_limit
from explorer.study.workers.jobs import Training
from explorer.training.settings import TrainingSettings

SETTINGS = {
    "data": "digits",
    "recipe": "quick",
    "epochs": 1,
    "study": "digits",
    "sampler": "random",
    "limits": [parse_limit("macs<=700k")],
}


def training(epochs, artifacts, recipe="quick_small", device="cpu"):
    """Settings for a training on digits in float32 with one thread."""
    settings = TrainingSettings(recipe=recipe, epochs=epochs, device=device, precision="float32").resolved("digits")
    return Training(settings, threads=1, artifacts=artifacts)


def copied(url: str, folder: Path) -> str:
    """Copy a storage with its files into ``folder``, and return its URL."""
    shutil.copytree(Path(url.removeprefix("sqlite:///")).parent, folder / "copy")
    return f"sqlite:///{folder}/copy/explorer.db"
