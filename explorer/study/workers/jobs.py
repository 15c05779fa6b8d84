"""What is done with a proposed network, as a value that a child process can be given, and what it may answer."""

from __future__ import annotations

import math
import numbers
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.errors import ArchitectureError, ExplorerError, TrainingError
from explorer.networks.architecture import Architecture
from explorer.records import Environment, Epoch, GradientFlow, TrainingResult
from explorer.training.recipe import Recipe
from explorer.training.settings import ResolvedTraining

NAME_LENGTH = 100
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
    """What a job came to. ``measured``: finite numbers; ``weights``: SHA-256 of the file written; ``ignored``: names
    of answers that are no finite numbers and no objectives."""

    measured: Mapping[str, float]
    result: TrainingResult | None = None
    environment: Environment | None = None
    weights: str = ""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """That a job came to nothing, and why. ``kind``: one of ``records.FAILURES``; ``resumable``: through no fault of
    its own, so it is worth another run."""

    reason: str
    kind: str = "code"
    resumable: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """That a job raised ``error``."""
        kind = "network" if isinstance(error, (TrainingError, ArchitectureError)) else "code"
        return cls(reason_of(error), kind, resumable=isinstance(error, KeyboardInterrupt))


@dataclass(frozen=True, slots=True)
class Training:
    """A training that is measured on the validation split.

    Attributes:
        settings: Data, recipe, epochs, device and precision.
        threads: Computing threads; None: as many as torch takes, at most the usable cores.
        artifacts: The folder for its weights and checkpoint; None keeps neither.
        record_gradients: Whether the gradient flow at its initialisation is reported first.
        scores: Zero-cost scores that are measured with it.
        side_by_side: How many trainings share the device.
    """

    settings: ResolvedTraining
    threads: int | None
    artifacts: Path | None = None
    record_gradients: bool = False
    scores: tuple[str, ...] = ()
    side_by_side: int = 1


@dataclass(frozen=True, slots=True)
class Retraining:
    """A training that is measured on the test split. No weights are kept.

    Attributes:
        training: The training; a checkpoint lies in its folder for artifacts.
        precisions: The precision of each network by its digest; that of ``training`` for others.
        checkpoint: The file of the checkpoint instead.
    """

    training: Training
    precisions: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Path | None = None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A training on made-up images, to measure its speed and memory.

    Attributes:
        recipe: The recipe.
        device: The device.
        precision: The precision.
        rounds: Number of rounds of some steps, each reported; None: until it is stopped.
    """

    recipe: Recipe
    device: str
    precision: str
    rounds: int | None


TorchWork = Training | Retraining | Rehearsal  # ``objective.perform`` does it in a child process
Work = Callable[[Job, Report], Outcome] | TorchWork  # does one job; whatever it raises is the trial's failure


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Calls the user's ``evaluate``, which must answer with the quantities ``expected``, and may add others."""

    evaluate: Evaluate
    epochs: int | None
    expected: tuple[str, ...]

    def __call__(self, job: Job, report: Report) -> Outcome:
        architecture = Architecture.from_json(job.architecture, job.digest)
        answer = self.evaluate(architecture, choices=dict(job.choices), epochs=self.epochs, seed=job.seed)
        return answered("evaluate", answer, self.expected)


def answered(source: str, answer: Any, expected: Iterable[str]) -> Outcome:
    """The answer's finite numbers, the expected ones among them. Raises ValueError where one of these is missing or no
    finite number: a wrong one must not look like a result."""
    expected = tuple(expected)
    if not isinstance(answer, Mapping):
        raise ValueError(f"{source} gave {_shown(answer)}, expected a mapping with {', '.join(expected)}")
    if not set(expected) <= set(answer):
        raise ValueError(f"{source} gave {', '.join(map(str, answer)) or 'nothing'}, expected {', '.join(expected)}")
    measured = {name: finite_number(f"{source}: {name}", answer[name]) for name in expected}
    ignored = []
    for name in answer:
        if name not in measured:
            try:
                measured[_quantity_name(name)] = finite_number(source, answer[name])
            except ValueError:
                ignored.append(repr(name)[:60])
    return Outcome(measured, ignored=tuple(ignored))


def _quantity_name(name: Any) -> str:
    """The name itself. Raises ValueError unless it is text that a table can show as a heading."""
    if isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= NAME_LENGTH:
        return name
    raise ValueError(f"{name!r} is no name of a quantity")


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
    try:
        message = str(error)
    except Exception as failure:  # of the ``__str__`` of a user's exception
        message = f"(its message cannot be read: __str__ raised {type(failure).__name__})"
    if isinstance(error, ExplorerError):
        return message
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{place}"


def _shown(value: Any) -> str:
    return (
        f"{str(value)[:60]!r} ({type(value).__name__})"
        if isinstance(value, str)
        else f"{repr(value)[:60]} ({type(value).__name__})"
    )
