"""The values that are kept: what was measured, on what, and how each trial ended. Free of torch.

All are frozen and go to JSON and back without loss (``to_json``, ``from_json``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Mapping

State = Literal["running", "complete", "stopped", "failed", "cached", "rejected"]
STATES: tuple[State, ...] = ("running", "complete", "stopped", "failed", "cached", "rejected")


@dataclass(frozen=True, slots=True)
class Environment:
    """Which machine and versions a number comes from. ``threads``: computing threads of the process
    that made it; ``versions``: package -> version; ``commit``: of this project, where known."""

    device: str
    device_name: str
    threads: int
    platform: str
    python: str
    versions: Mapping[str, str]
    commit: str = ""

    @property
    def digest(self) -> str:
        """Equal for two environments exactly when all their fields are."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of a training, counted from 1. Accuracies are fractions 0..1; ``seconds`` is the
    time of its training steps alone, validation left out."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_top5: float
    lr: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What one training came to: the last epoch's validation figures and the whole curve.

    ``seconds``: wall time of the whole training; ``images_per_second``: of training steps alone;
    ``precision``: in which the network computed while it was trained, float32 or bfloat16.
    """

    val_accuracy: float
    val_loss: float
    val_top5: float
    epochs: int
    seconds: float
    images_per_second: float
    curve: tuple[Epoch, ...]
    precision: str = "float32"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrainingResult":
        data = json.loads(text)
        return cls(**{**data, "curve": tuple(Epoch(**epoch) for epoch in data["curve"])})


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial as the store keeps it.

    ``state``: running; complete (trained to the end); stopped (ended early, its curve kept); failed
    (``reason`` says why); cached (the same network had been evaluated in trial ``same_as``, its
    values were taken over); rejected (a limit refused it before training, ``reason`` names it).
    ``choices``: choice point -> alternative's text. ``costs``: params, macs, activations and more.
    ``objectives``: name -> value, of a complete or cached trial. ``weights``: SHA-256 of the file that keeps
    them, empty where none is kept. ``revision`` grows with every change to a trial of the study. Times are
    seconds since the epoch.
    """

    number: int
    state: State
    digest: str = ""
    architecture: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)
    result: TrainingResult | None = None
    reason: str = ""
    same_as: int | None = None
    seed: int = 0
    attempt: int = 1
    worker: str = ""
    environment: Environment | None = None
    weights: str = ""
    started: float | None = None
    finished: float | None = None
    revision: int = 0

    @property
    def seconds(self) -> float | None:
        """Wall time from start to end, None while running."""
        return self.finished - self.started if self.finished is not None and self.started is not None else None


def environment_from_json(text: str) -> Environment:
    """The environment that ``json.dumps(asdict(...))`` wrote; unknown fields of a later version are dropped."""
    data: dict[str, Any] = json.loads(text)
    return Environment(**{key: value for key, value in data.items() if key in {f.name for f in fields(Environment)}})
