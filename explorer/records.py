"""The frozen records of trials, trainings and measurements, which JSON holds without loss. They do not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from explorer.errors import StoreError
from explorer.former_names import moved
from explorer.networks.architecture import Architecture
from explorer.system.environment import Environment as Environment
from explorer.system.plain_text import html_table

State = Literal["running", "complete", "stopped", "failed", "cached", "rejected", "interrupted"]
STATES: tuple[State, ...] = ("running", "complete", "stopped", "failed", "cached", "rejected", "interrupted")
globals()["__getattr__"] = partial(moved, __name__)  # finds what an earlier version had here, unseen by type checkers


@dataclass(frozen=True, slots=True)
class Epoch:
    """The metrics of one epoch of a training.

    Attributes:
        epoch: The number of the epoch, from 1.
        train_loss: Mean loss of the training steps.
        val_loss: Loss on the validation split.
        val_accuracy: Accuracy on the validation split, in 0..1.
        val_top5: Top-5 accuracy on the validation split, in 0..1.
        lr: The learning rate.
        seconds: The time of the training steps, without validation.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_top5: float
    lr: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of one training.

    Attributes:
        val_accuracy: Validation accuracy after the last epoch, in 0..1.
        val_loss: Validation loss after the last epoch.
        val_top5: Top-5 validation accuracy after the last epoch, in 0..1.
        epochs: The number of epochs.
        seconds: Wall time of the whole training.
        images_per_second: Throughput of the training steps, without validation.
        curve: The metrics of each epoch.
        precision: The number format of the computation, float32 or bfloat16.
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
        """Return the result as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingResult:
        """Return the result that ``to_json`` wrote."""
        data = json.loads(text)
        return cls(**{**data, "curve": tuple(Epoch(**epoch) for epoch in data["curve"])})


class Curve(NamedTuple):
    """The learning curve of a training in compact form, with one value per epoch.

    Attributes:
        val_accuracy: Validation accuracies, in 0..1.
        val_top5: Top-5 validation accuracies, in 0..1.
        val_loss: Validation losses.
        epochs: The numbers of the epochs, from 1.
        seconds: The time of all training steps so far, without validation.
    """

    val_accuracy: tuple[float, ...]
    val_top5: tuple[float, ...]
    val_loss: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]

    @classmethod
    def from_json(cls, text: str) -> Curve:
        """Read the curve from ``TrainingResult.to_json``, three times as fast as ``TrainingResult.from_json``."""
        columns = list(zip(*map(_CURVE_FIELDS, json.loads(text)["curve"]))) or [()] * len(cls._fields)
        accuracy, top5, loss, epochs, seconds = columns
        return cls(accuracy, top5, loss, epochs, tuple(accumulate(seconds)))


_CURVE_FIELDS = itemgetter("val_accuracy", "val_top5", "val_loss", "epoch", "seconds")


FAILURES = {  # kind of failure -> what failed
    "code": "the caller's function or a library raised an error, or the answer lacked an objective",
    "died": "the trial's process died",
    "limit": "the trial exceeded its limit on time or memory",
    "network": "the network cannot be built, or its training diverged",
    "lost": "the trial's worker was lost repeatedly",
}
# Failures that a change outside the network can fix. The next run retries these trials.
RETRYABLE = ("code", "died")


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial of a study.

    Attributes:
        number: The number of the trial.
        state: running; complete (trained to the end); stopped (stopped early, with its curve); failed (see ``reason``);
            cached (it has the values of trial ``same_as``, of the same network); rejected (it violates the limit in
            ``reason`` before training); interrupted (see ``reason``; the next search resumes it).
        digest: The digest of the network.
        architecture_json: The network as JSON text; empty in trials that were read without it.
        choices: Choice point -> text of the alternative.
        costs: Name -> value: params, macs, activations and others.
        objectives: Name -> value, for a complete or cached trial. A stopped trial has only measured zero-cost scores.
            ``Study.frontier`` and ``best_under`` give the best estimates; ``study.trial(number)`` has its own values.
        result: The result of the training.
        reason: Why the trial failed, was rejected or interrupted.
        same_as: The number of the trial whose values a cached trial has.
        seed: The seed of the training.
        attempt: The number of times that the trial was started.
        worker: The name of the worker.
        environment: The machine and versions of the training.
        latency: Details of a measured ``latency_ms``: its ``environment`` (``LatencyEnvironment.to_dict``), whether it
            was ``contended``, the ``notes`` on other load, and on a GPU the ``device_state`` of ``Latency``.
        failure: The kind of failure, a key of ``FAILURES``; empty if the trial of the same network failed before.
        weights: SHA-256 of the file of its weights; empty if they were not saved.
        started: Start time in seconds since 1970.
        finished: End time in seconds since 1970.
        revision: Increases with every change to a trial of the study.
        duration: Seconds of the last attempt by a monotonic clock; None in older records.
        expected: The predicted final objectives of a stopped trial, for samplers; empty if unknown.
        counterpart: Of a trial that ``explorer effects --pairs`` proposed: its ``twin``, a trial that differs only in
            ``factor`` and has the same seed and ``precision``; then the ``objective`` and the ``asked`` choice.
        note: What a user wrote down about the trial, one line.
        tags: Words by which a user groups trials.
        estimates: Objective -> ``explorer.analysis.estimates.Estimate``, if its value is not the trial's own (above).
    """

    number: int
    state: State
    digest: str = ""
    architecture_json: str = ""
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
    latency: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    weights: str = ""
    started: float | None = None
    finished: float | None = None
    revision: int = 0
    duration: float | None = None
    expected: Mapping[str, float] = field(default_factory=dict)
    counterpart: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    tags: tuple[str, ...] = ()
    estimates: Mapping[str, Any] = field(default_factory=dict)

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Restore a pickled record. One of an earlier version has no values of the fields that were added later."""
        names = [each.name for each in fields(self)]
        added = ("estimates", "tags", "note", "counterpart", "expected", "duration", "failure")
        for later in added[: len(names) - len(state)]:
            names.remove(later)
        self.__init__(**dict(zip(names, state)))  # type: ignore[misc]

    def __hash__(self) -> int:  # mappings have no hash; these fields distinguish records
        return hash((self.number, self.digest, self.state, self.revision))

    def __repr__(self) -> str:
        values = [
            f"{name}={value:.{6 if value % 1 else 15}g}"
            + (f" ({self.estimates[name].source})" if name in self.estimates else "")
            for name, value in self.objectives.items()
        ]
        return (
            f"TrialRecord({', '.join([str(self.number), self.state, *values, *map('='.join, self.choices.items())])})"
        )

    def _repr_html_(self) -> str:
        """Return choices, objectives and costs as a table, for notebooks."""
        values = {**self.choices, **{name: f"{value:,.6g}" for name, value in self.quantities.items()}}
        return html_table(f"trial {self.number}: {self.reason or self.state}", values)

    @property
    def architecture(self) -> Architecture:
        """The network. Raises StoreError in a trial that was read without it, or that has none."""
        if not self.architecture_json:
            raise StoreError(
                f"trial {self.number} was read without its network; study.trial({self.number}) reads all of a trial"
            )
        return Architecture.from_json(self.architecture_json, self.digest)

    def value(self, name: str) -> float | None:
        """Return the trial's objective or cost ``name``; None if it has neither."""
        return self.objectives.get(name, self.costs.get(name))

    @property
    def quantities(self) -> dict[str, float]:
        """The costs and objectives by name."""
        return {**self.costs, **self.objectives}

    @property
    def seconds(self) -> float | None:
        """The measured ``duration``, else the difference of the wall clock. None while running."""
        return _seconds(self.duration, self.started, self.finished)


def _seconds(measured: float | None, started: float | None, finished: float | None) -> float | None:
    if finished is not None and started is not None:
        return max(0.0, finished - started) if measured is None else measured
    return None


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a running trial by a worker.

    Attributes:
        number: The number of the trial.
        worker: The name of the worker.
        attempt: The number of the attempt.
        until: The time when the lease expires, in seconds since 1970; None for an interrupted trial that waits.
    """

    number: int
    worker: str
    attempt: int
    until: float | None


@dataclass(frozen=True, slots=True)
class ConfirmationRecord:
    """One more training of a trial's network from a fresh seed, by ``explorer confirm`` or a search's ``--repeats``.

    Attributes:
        digest: The digest of the network.
        seed: The seed of the training.
        epochs: The number of epochs.
        state: running, complete or failed (see ``reason``).
        reason: Why the training failed.
        test: ``accuracy``, ``top5`` and ``loss`` on the test split; empty until complete.
        result: The result of the training, with its validation metrics.
        measured: The values that a caller's ``evaluate`` returned; empty for a training, whose values are in ``test``
            and ``result``.
        attempt: The number of times that the training was started.
        worker: The name of the worker.
        environment: The machine and versions of the training.
        started: Start time in seconds since 1970.
        finished: End time in seconds since 1970.
        revision: Increases with every change to the study.
    """

    digest: str
    seed: int
    epochs: int
    state: Literal["running", "complete", "failed"]
    reason: str = ""
    test: Mapping[str, float] = field(default_factory=dict)
    result: TrainingResult | None = None
    attempt: int = 1
    worker: str = ""
    environment: Environment | None = None
    started: float | None = None
    finished: float | None = None
    revision: int = 0
    measured: Mapping[str, float] = field(default_factory=dict)

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Restore a pickled record. One of an earlier version has no values of the last fields."""
        self.__init__(*state)  # type: ignore[misc]

    def __hash__(self) -> int:
        return hash((self.digest, self.seed, self.epochs, self.state, self.revision))

    @property
    def seconds(self) -> float | None:
        """The time of the training, by the wall clock if it failed. None while it is running."""
        return _seconds(self.result.seconds if self.result is not None else None, self.started, self.finished)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The test results of one network that was trained from several fresh seeds.

    Attributes:
        trial: The number of the study's trial of the network.
        digest: The digest of the network.
        x: Its value of the requested cost.
        epochs: The number of epochs of each training.
        seeds: The number of complete trainings.
        test: The test result of each of them, in order of start.
        test_mean: Their mean; None without any.
        test_std: The standard deviation of one training (K - 1 in the denominator); None for fewer than two.
        validation_mean: The mean of the same trainings on the validation split.
        failed: The number of failed trainings.
        frontier_probability: The probability that no confirmed network of at most this cost has a better mean
            (``explorer.analysis.noise``); None if no network has two seeds, since the noise is then unknown.
    """

    trial: int
    digest: str
    x: float
    epochs: int
    seeds: int
    test: tuple[float, ...]
    test_mean: float | None
    test_std: float | None
    validation_mean: float | None
    failed: int
    frontier_probability: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the results as a mapping for JSON."""
        return {**asdict(self), "test": list(self.test)}


@dataclass(frozen=True, slots=True)
class BlockFlow:
    """Gradient and signal at one residual block of an initialised network.

    ``explorer.training.gradient_flow`` has the formulas. A value is None if it is not finite or not defined.

    Attributes:
        stage: The number of the stage, from 1.
        block: The number of the block in its stage, from 1.
        grad_norm: The norm of the gradient of the block's output.
        cosine: The cosine of this gradient and that of the last block of the stage.
        shortcut_share: The share of the shortcut in the squared norm of the gradient of the block's input, in 0..1.
        dead_share: The share of channels of the block's activations that are 0 everywhere, in 0..1.
        signal_var: The variance of the block's output, averaged over the channels.
    """

    stage: int
    block: int
    grad_norm: float | None
    cosine: float | None
    shortcut_share: float | None
    dead_share: float
    signal_var: float | None


@dataclass(frozen=True, slots=True)
class GradientFlow:
    """The gradient flow through all blocks of a network.

    Attributes:
        digest: The digest of the network.
        seed: The seed of the initial weights and of the random choices.
        batch: The number of images.
        source: The name of the data set of the images, or ``noise``.
        loss: The mean cross-entropy of the batch; None if it is not finite.
        blocks: The blocks in the order of computation.
    """

    digest: str
    seed: int
    batch: int
    source: str
    loss: float | None
    blocks: tuple[BlockFlow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that ``explorer gradients --json`` prints."""
        return {**asdict(self), "blocks": [asdict(block) for block in self.blocks]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GradientFlow:
        """Return the value that ``to_dict`` wrote."""
        return cls(**{**data, "blocks": tuple(BlockFlow(**block) for block in data["blocks"])})


def environment_from_json(text: str) -> Environment:
    """Return the environment that ``json.dumps(asdict(...))`` wrote. Unknown fields of later versions are ignored."""
    return Environment(**{k: v for k, v in json.loads(text).items() if k in {f.name for f in fields(Environment)}})
