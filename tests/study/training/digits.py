"""Quick trainings on the embedded digits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.analysis.limits import parse_limit
from explorer.study.workers.jobs import Training
from explorer.study.workers.pool import ProcessPool
from explorer.training.settings import TrainingSettings
from tests.polling import PATIENCE

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


@contextmanager
def no_late_verdicts() -> Iterator[None]:
    """Trainings wait for each verdict of the stopping rule. Usually they train on after a second, which a search on a
    busy machine may need, and stop a few epochs later."""
    start = ProcessPool.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ProcessPool, "start", lambda self, job, *rest: start(self, replace(job, verdict_seconds=PATIENCE), *rest)
        )
        yield


def copied(url: str, folder: Path) -> str:
    """Copy a storage with its files into ``folder``, and return its URL."""
    shutil.copytree(Path(url.removeprefix("sqlite:///")).parent, folder / "copy")
    return f"sqlite:///{folder}/copy/explorer.db"
