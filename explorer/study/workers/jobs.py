"""The work for a proposed network, and the messages between the search and the process that does the work.

All are plain values that can be pickled.
"""

from __future__ import annotations

import inspect
import math
import numbers
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from explorer.analysis.quantities import FRACTIONS, LARGEST, LATENCY
from explorer.errors import ArchitectureError, ExplorerError, StudyError, TrainingError
from explorer.networks.architecture import Architecture
from explorer.records import Environment, Epoch, GradientFlow, TrainingResult, TrialRecord
from explorer.store.artifacts import checkpoint_file, confirmation_checkpoint
from explorer.training.recipe import Recipe
from explorer.training.settings import ResolvedTraining

NAME_LENGTH = 100  # characters of the name of a quantity, which is a heading in tables
ROUNDING = 1e-6  # a share may be outside 0..1 by this much, as the mean of float32 numbers may be
Report = Callable[[Epoch | GradientFlow], bool]  # receives each finished epoch; returns whether to stop there
Evaluate = Callable[..., Mapping[str, float]]  # the caller's function ``evaluate``
MeasureLatency = Callable[[Architecture], tuple[float, dict[str, Any]]]  # returns ms, and ``TrialRecord.latency``


class PercentageError(ValueError):
    """A percentage in place of a share from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Job:
    """The network of one trial, as plain data.

    Attributes:
        number: Number of the trial.
        digest: Digest of the architecture.
        architecture: The architecture as JSON.
        choices: Name of each choice to the value chosen, as text.
        seed: Seed of the trial.
        decision_epochs: Epochs after which the training waits for the verdict of the stopping rule.
        precision: Precision of the training; empty for that of the settings.
        threads: Most CPU threads of the training; 0 for those that the executor has for it.
        side_by_side: Trainings of all processes that share the device; 0 for those of the work.
        costs: Names of the costs that are known.
        verdict_seconds: Longest time that the training waits for a verdict; 0 for the usual time.
        pauses: Whether a training that is stopped leaves a checkpoint, from which it can continue.
    """

    number: int
    digest: str
    architecture: str
    choices: Mapping[str, str]
    seed: int
    decision_epochs: tuple[int, ...] = ()
    precision: str = ""
    threads: int = 0
    side_by_side: int = 0
    costs: tuple[str, ...] = ()
    verdict_seconds: float = 0.0
    pauses: bool = False

    @classmethod
    def of(cls, record: TrialRecord, decision_epochs: tuple[int, ...], pauses: bool = False) -> Job:
        """Return the job of a running trial.

        A trial that was paused continues in the same precision and with as many threads, by which results differ.
        """
        precision, threads = record.counterpart.get("precision", ""), 0
        if pauses and record.result is not None:
            precision = record.result.precision
            threads = record.environment.threads if record.environment is not None else 0
        network = (record.number, record.digest, record.architecture_json, record.choices, record.seed)
        return cls(*network, decision_epochs, precision, threads, costs=tuple(record.costs), pauses=pauses)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision whether a training continues.

    Attributes:
        number: Number of the job.
        epoch: The epoch after which the rule decided.
        stop: Whether the job has to stop there.
    """

    number: int
    epoch: int
    stop: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job.

    Attributes:
        measured: Name of a quantity to a finite number.
        result: The training, if there was one.
        environment: The environment of the job, if known.
        weights: SHA-256 of the file of weights; empty if none was written.
        ignored: Names of returned values that are neither finite numbers nor objectives.
        latency: How a latency was measured after the evaluation; empty if it was not.
        seconds: Time of the job; None if the executor starts jobs at once, so that it is the time since ``start``.
    """

    measured: Mapping[str, float]
    result: TrainingResult | None = None
    environment: Environment | None = None
    weights: str = ""
    ignored: tuple[str, ...] = ()
    latency: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a job.

    Attributes:
        reason: Why it failed, on one line.
        kind: One of ``records.FAILURES``.
        resumable: Whether the cause is outside the job, so that the job can be run again.
        seconds: As of ``Outcome``.
        is_general: Whether the jobs of other networks fail for the same reason.
    """

    reason: str
    kind: str = "code"
    resumable: bool = False
    seconds: float | None = None
    is_general: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure of a job that raised ``error``."""
        kind = "network" if isinstance(error, (TrainingError, ArchitectureError)) else "code"
        resumable, is_general = isinstance(error, KeyboardInterrupt), isinstance(error, PercentageError)
        return cls(reason_of(error), kind, resumable, is_general=is_general)


@dataclass(frozen=True, slots=True)
class Training:
    """Trains a network and evaluates it on the validation split.

    Attributes:
        settings: Data, recipe, epochs, device and precision.
        threads: CPU threads; None for torch's default, at most the usable cores.
        artifacts: Folder for weights and checkpoint; None keeps neither.
        record_gradients: Whether to report the gradient flow at initialisation first.
        scores: Zero-cost scores to compute.
        side_by_side: Number of trainings that share the device.
        data_sha256: Hash of the data in its fingerprint, with which those of another machine are compared; empty if
            they are not compared.
    """

    settings: ResolvedTraining
    threads: int | None
    artifacts: Path | None = None
    record_gradients: bool = False
    scores: tuple[str, ...] = ()
    side_by_side: int = 1
    data_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Retraining:
    """Trains a network and evaluates it on the test split. No weights are saved.

    Attributes:
        training: The training; its folder of artifacts holds the checkpoint.
        precisions: Digest of a network to its precision; other networks have that of ``training``.
        checkpoint: File of the checkpoint; by default a file in the folder of artifacts.
    """

    training: Training
    precisions: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Path | None = None


@dataclass(frozen=True, slots=True)
class ThroughputProbe:
    """Trains a network on synthetic images, to measure throughput and memory.

    Attributes:
        recipe: The recipe.
        device: "cpu", "cuda" or "cuda:N".
        precision: The precision, or "auto".
        rounds: Number of rounds; each has some steps and is reported. None: until the process is ended.
    """

    recipe: Recipe
    device: str
    precision: str
    rounds: int | None


def checkpoint_of(work: Work, job: Job) -> Path | None:
    """Return the checkpoint of a job; None if the work writes none."""
    if isinstance(work, Training):
        return checkpoint_file(work.artifacts, job.digest) if work.artifacts else None
    if not isinstance(work, Retraining):
        return None
    artifacts, epochs = work.training.artifacts, work.training.settings.epochs
    if work.checkpoint is not None or artifacts is None:
        return work.checkpoint
    return confirmation_checkpoint(artifacts, job.digest, epochs, job.seed)


TorchWork = Training | Retraining | ThroughputProbe  # done by ``train_job.perform``
Work = Callable[[Job, Report], Outcome] | TorchWork  # does one job; an exception is the failure of the trial


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Calls the user's function ``evaluate``.

    Attributes:
        evaluate: The function.
        epochs: Its argument ``epochs``.
        expected: Names of the quantities that it must return; it may return others too.
        measure_latency: Measures the latency if the function does not return it; None if it is not needed.
    """

    evaluate: Evaluate
    epochs: int | None
    expected: tuple[str, ...]
    measure_latency: MeasureLatency | None = None

    def __post_init__(self) -> None:
        try:
            inspect.signature(self.evaluate).bind(None, choices={}, epochs=self.epochs, seed=0)
        except ValueError:
            pass  # a function of C code without a known signature
        except TypeError as error:
            raise StudyError(
                f"'evaluate' cannot be called as evaluate(architecture, choices=..., epochs=..., seed=...): {error}; "
                "add **_ for arguments that it does not use"
            ) from error

    def __call__(self, job: Job, report: Report) -> Outcome:
        architecture = Architecture.from_json(job.architecture, job.digest)
        answer = self.evaluate(architecture, choices=dict(job.choices), epochs=self.epochs, seed=job.seed)
        outcome = check_answer("evaluate", answer, self.expected)
        if self.measure_latency is None or LATENCY in outcome.measured or LATENCY in job.costs:
            return outcome
        ms, note = self.measure_latency(architecture)
        return replace(outcome, measured={**outcome.measured, LATENCY: ms}, latency=note)


def check_answer(source: str, answer: Any, expected: Iterable[str]) -> Outcome:
    """Return the finite numbers of an answer.

    Args:
        source: Name of the function that returned the answer, for messages.
        answer: The answer, a mapping.
        expected: Names of the quantities that it must have.

    Raises:
        ValueError: An expected quantity is missing or not a finite number, or an accuracy is no share from 0 to 1.
    """
    expected = tuple(expected)
    if not isinstance(answer, Mapping):
        raise ValueError(f"{source} gave {_format_value(answer)}, expected a mapping with {', '.join(expected)}")
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
    for name in measured.keys() & set(FRACTIONS):
        measured[name] = share(f"{source}: {name}", measured[name])
    return Outcome(measured, ignored=tuple(ignored))


def share(what: str, value: float) -> float:
    """Return a share from 0 to 1, such as an accuracy.

    Args:
        what: What the value is, for the message.
        value: The value; one outside 0..1 by no more than ``ROUNDING`` is rounded.

    Raises:
        PercentageError: The value is above 1, and at most 100.
        ValueError: The value is not in 0..1.
    """
    if not -ROUNDING <= value <= 1 + ROUNDING:
        message = f"{what} is {value:.6g}, expected a share from 0 to 1"
        if 1 < value <= 100:
            raise PercentageError(f"{message}: divide it by 100, as in {value / 100:.6g} for {value:.6g}%")
        raise ValueError(message)
    return min(max(value, 0.0), 1.0)


def _quantity_name(name: Any) -> str:
    """Return the name. Raises ValueError unless it is text that a table can show as a heading."""
    if isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= NAME_LENGTH:
        return name
    raise ValueError(f"{name!r} is not a name of a quantity")


def finite_number(source: str, value: Any) -> float:
    """Return the value as a float.

    Args:
        source: What the value is, for the message.
        value: The value; also a tensor or an array without dimensions.

    Raises:
        ValueError: The value is not a real number, or its magnitude is more than ``LARGEST``.
    """
    number = math.nan
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer beyond the range of floats
            number = sys.float_info.max
    if abs(number) <= LARGEST:
        return number
    expected = f"number of magnitude up to {LARGEST:g}" if abs(number) < math.inf else "finite number"
    raise ValueError(f"{source} is {_format_value(value)}, expected a {expected}")


def reason_of(error: BaseException) -> str:
    """Return why a trial failed, on one line.

    Args:
        error: The exception. Unless it is an ExplorerError, its class and place are added to its message.
    """
    try:
        message = str(error)
    except Exception as failure:  # ``__str__`` of a user's exception raised it
        message = f"(its message cannot be read: __str__ raised {type(failure).__name__})"
    if isinstance(error, ExplorerError):
        return message
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{place}"


def _format_value(value: Any) -> str:
    """Return the beginning of a value, and its type."""
    text = repr(str(value)[:60]) if isinstance(value, str) else repr(value)[:60]
    return f"{text} ({type(value).__name__})"
