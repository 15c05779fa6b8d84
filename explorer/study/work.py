"""What is done with a proposed network, as a value that a child process can be given, and what it may answer."""

from __future__ import annotations

import math
import numbers
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from explorer.architecture import Architecture
from explorer.errors import ExplorerError
from explorer.records import Environment, Epoch, GradientFlow, TrainingResult
from explorer.training.recipe import Recipe

Report = Callable[[Epoch | GradientFlow], bool]  # takes a finished epoch, answers whether to stop there; or a flow
Evaluate = Callable[..., Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Job:
    """One trial's network, as plain data. ``looks``: epochs after which its training waits to hear whether it
    goes on."""

    number: int
    digest: str
    architecture: str
    choices: Mapping[str, str]
    seed: int
    looks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether job ``number`` is to ``stop`` after ``epoch``."""

    number: int
    epoch: int
    stop: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to. ``measured``: finite numbers; ``weights``: SHA-256 of the file written."""

    measured: Mapping[str, float]
    result: TrainingResult | None = None
    environment: Environment | None = None
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """That a job came to nothing, and why."""

    reason: str


class Work(Protocol):
    """Does one job. Whatever it raises is the trial's failure."""

    def __call__(self, job: Job, report: Report) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Training:
    """Trains the network. ``artifacts``: the folder for its weights and checkpoint, or None to keep neither;
    ``gradients``: the gradient flow at its initialisation is told first; ``scores``: zero-cost scores, by name, that
    are measured with it; ``side_by_side``: how many trainings share the device;
    ``skip_damaged``: leave out images that cannot be decoded."""

    data: str
    data_dir: str | None
    subset: int | None
    recipe: Recipe
    epochs: int
    device: str
    threads: int
    precision: str
    artifacts: Path | None
    gradients: bool = False
    scores: tuple[str, ...] = ()
    side_by_side: int = 1
    skip_damaged: bool = False

    def __call__(self, job: Job, report: Report) -> Outcome:
        from explorer.study.objective import train  # the searching process does not need torch, its children do

        return train(self, job, report)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Calls the user's ``evaluate``, which must answer with exactly the quantities ``expected``."""

    evaluate: Evaluate
    epochs: int | None
    expected: tuple[str, ...]

    def __call__(self, job: Job, report: Report) -> Outcome:
        architecture = Architecture.from_json(job.architecture)
        answer = self.evaluate(architecture, choices=dict(job.choices), epochs=self.epochs, seed=job.seed)
        return Outcome(finite_numbers("evaluate", answer, self.expected))


def finite_numbers(source: str, answer: Any, expected: Iterable[str]) -> dict[str, float]:
    """The answer as floats, exactly the expected ones. Raises ValueError for anything else: what a
    sampler is told must be numbers, and a wrong one must not look like a result."""
    expected = tuple(expected)
    if not isinstance(answer, Mapping):
        raise ValueError(f"{source} gave {_shown(answer)}, expected a mapping with {', '.join(expected)}")
    if set(answer) != set(expected):
        raise ValueError(f"{source} gave {', '.join(map(str, answer)) or 'nothing'}, expected {', '.join(expected)}")
    return {name: finite_number(f"{source}: {name}", answer[name]) for name in expected}


def finite_number(source: str, value: Any) -> float:
    """The value as a float. Raises ValueError unless it is a finite real number."""
    try:
        if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # an integer beyond all floats
        pass
    raise ValueError(f"{source} is {_shown(value)}, expected a finite number")


def reason_of(error: BaseException) -> str:
    """Why a trial failed, on one line: our own errors speak for themselves, others with their kind and place."""
    if isinstance(error, ExplorerError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _shown(value: Any) -> str:
    return (
        f"{str(value)[:60]!r} ({type(value).__name__})"
        if isinstance(value, str)
        else f"{repr(value)[:60]} ({type(value).__name__})"
    )
