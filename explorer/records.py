"""The values that are kept: what was measured, on what, and how each trial ended. Free of torch.

All are frozen and go to JSON and back without loss (``to_json``, ``from_json``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import accumulate
from operator import itemgetter
from typing import Any, Literal, NamedTuple

State = Literal["running", "complete", "stopped", "failed", "cached", "rejected", "interrupted"]
STATES: tuple[State, ...] = ("running", "complete", "stopped", "failed", "cached", "rejected", "interrupted")


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

    def __hash__(self) -> int:
        return hash(self.digest)

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
    def from_json(cls, text: str) -> TrainingResult:
        data = json.loads(text)
        return cls(**{**data, "curve": tuple(Epoch(**epoch) for epoch in data["curve"])})


class Curve(NamedTuple):
    """A training's course in little room: for each epoch the validation figures, the epoch's number from 1, and the
    seconds of training steps (validation left out) until its end."""

    val_accuracy: tuple[float, ...]
    val_top5: tuple[float, ...]
    val_loss: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]

    @classmethod
    def from_json(cls, text: str) -> Curve:
        """Of a training as ``TrainingResult.to_json`` gives it: thousands are read in a third of the time."""
        columns = list(zip(*map(_CURVE_FIELDS, json.loads(text)["curve"]))) or [()] * len(cls._fields)
        accuracy, top5, loss, epochs, seconds = columns
        return cls(accuracy, top5, loss, epochs, tuple(accumulate(seconds)))


_CURVE_FIELDS = itemgetter("val_accuracy", "val_top5", "val_loss", "epoch", "seconds")


FAILURES = {  # kind of failure -> what failed
    "code": "the caller's function or a library raised an error, or the answer lacked an objective",
    "died": "the trial's process died",
    "limit": "the trial broke its limit on time or memory",
    "network": "the network cannot be built, or its training diverged",
    "lost": "the trial's worker was lost, time after time",
}
CURABLE = ("code", "died")  # by a change outside the network: such a trial is retried by the next run


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial as the store keeps it.

    ``state``: running; complete (trained to the end); stopped (ended early, its curve kept); failed
    (``reason`` says why); cached (the same network had been evaluated in trial ``same_as``, its
    values were taken over); rejected (a limit refused it before training, ``reason`` names it); interrupted (its
    process or its search ended first, ``reason`` says how; the next search resumes it).
    ``choices``: choice point -> alternative's text. ``costs``: params, macs, activations and more.
    ``objectives``: name -> value, of a complete or cached trial; of a stopped one its zero-cost scores alone, where
    such are measured. ``weights``: SHA-256 of the file that keeps them, empty where none is kept. ``latency``: of a
    measured ``latency_ms`` among the costs, its ``environment`` (as LatencyEnvironment gives it, with the digest),
    whether it was ``contended``, and ``notes`` by what; on a GPU the ``device_state`` that a Latency has.
    ``attempt``: how many times the trial was begun. ``failure``: of a failed trial the kind, one of ``FAILURES``; empty
    for an interrupted one and for one that failed with its twin. ``revision`` grows with every change to a trial of the
    study. Times are seconds since the epoch; ``duration``: seconds of the trial's last attempt by a monotonic clock,
    None in records of before it was measured. ``expected``: of a stopped trial the objectives that it would have come
    to, for samplers; empty where that cannot be told.
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
    latency: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    weights: str = ""
    started: float | None = None
    finished: float | None = None
    revision: int = 0
    duration: float | None = None
    expected: Mapping[str, float] = field(default_factory=dict)

    def __hash__(self) -> int:  # of the fields that tell records apart; mappings have no hash
        return hash((self.number, self.digest, self.state, self.revision))

    def value(self, name: str) -> float | None:
        """Return the trial's objective or cost ``name``; None if it has neither."""
        return self.objectives.get(name, self.costs.get(name))

    @property
    def quantities(self) -> dict[str, float]:
        """Its costs and objectives by name."""
        return {**self.costs, **self.objectives}

    @property
    def seconds(self) -> float | None:
        """How long it took: ``duration`` where that was measured, else from start to end by the wall clock, which may
        have been set in between; None while running."""
        return _seconds(self.duration, self.started, self.finished)


def _seconds(measured: float | None, started: float | None, finished: float | None) -> float | None:
    if finished is None or started is None:
        return None
    return max(0.0, finished - started) if measured is None else measured


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a trial that is under way, and until when (seconds since the epoch) that may be believed.

    ``until`` is None for a trial whose training was cut short and that waits for a worker to take it up again.
    """

    number: int
    worker: str
    attempt: int
    until: float | None


@dataclass(frozen=True, slots=True)
class ConfirmationRecord:
    """One training of a network of the frontier from a fresh seed, tested on the split that no search sees.

    ``state``: running, complete, or failed (``reason`` says why). ``test``: accuracy, top5 and loss on the test split,
    once complete; ``result``: the training itself, with its validation figures. ``revision`` grows with every
    change to the study. Times are seconds since the epoch.
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

    def __hash__(self) -> int:
        return hash((self.digest, self.seed, self.epochs, self.state, self.revision))

    @property
    def seconds(self) -> float | None:
        """How long the training took; of one that failed, from start to end by the wall clock. None while running."""
        return _seconds(self.result.seconds if self.result is not None else None, self.started, self.finished)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What several trainings of one network from fresh seeds came to on the test split.

    ``trial``: the study's trial of that network; ``x``: its cost in the quantity asked for; ``epochs``: of each
    training; ``test``: a value for each of the ``seeds`` (how many there are), in the order of their drawing, and
    ``test_mean`` and ``test_std`` (of one training, K - 1 in the denominator; None for a single one) of them.
    ``validation_mean``: of the same trainings on the validation split. ``failed``: trainings that came to nothing.
    ``frontier_probability``: that no confirmed network of at most its cost has a better mean
    (``explorer.analysis.noise``); None where no network has two seeds, so that nothing is known of the noise.
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
        return {**asdict(self), "test": list(self.test)}


@dataclass(frozen=True, slots=True)
class BlockFlow:
    """Gradient and signal at one residual block of a network at its initialisation (``training/gradient_flow.py``
    has the formulas). ``stage`` and ``block`` count from 1, the block within its stage; shares lie in 0..1. None is a
    figure that is not finite, or a cosine that is not defined."""

    stage: int
    block: int
    grad_norm: float | None
    cosine: float | None
    shortcut_share: float | None
    dead_share: float
    signal_var: float | None


@dataclass(frozen=True, slots=True)
class GradientFlow:
    """The flow through all blocks of the network ``digest``, in their order.

    ``seed``: of the initial weights and of what is drawn; ``batch``: images; ``source``: the name of the data set that
    the images are of, or ``noise``; ``loss``: the batch's mean cross-entropy.
    """

    digest: str
    seed: int
    batch: int
    source: str
    loss: float | None
    blocks: tuple[BlockFlow, ...]

    def to_dict(self) -> dict[str, Any]:
        """As ``explorer gradients --json`` gives it."""
        return {**asdict(self), "blocks": [asdict(block) for block in self.blocks]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GradientFlow:
        """What ``to_dict`` gave."""
        return cls(**{**data, "blocks": tuple(BlockFlow(**block) for block in data["blocks"])})


@dataclass(frozen=True, slots=True)
class LatencyEnvironment:
    """All that a latency depends on beside the network, as one value: latencies of different digests are not compared.

    ``batch``: images a run; ``dtype``: float32, tf32, bfloat16 or float16; ``layout``: nchw or channels_last;
    ``mode``: eager, graph (CUDA-graph replay), compile or onnxruntime; ``limits``: what bounds the device's clocks
    and power (MHz, W), where it says so; ``protocol``: the version of the way of measuring.
    """

    machine: Environment
    batch: int
    dtype: str
    layout: str
    mode: str
    protocol: int
    limits: Mapping[str, float] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """Equal for two environments when all fields are, but for two: this project's commit, for which ``protocol``
        stands, and the number of the GPU, for cards of one model, driver and limits are alike."""
        data = asdict(self)
        del data["machine"]["commit"]
        data["machine"]["device"] = self.machine.device.partition(":")[0]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Flat, with the digest."""
        data = asdict(self)
        return {"digest": self.digest, **data.pop("machine"), **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyEnvironment:
        """What ``to_dict`` gave."""
        machine = Environment(**{f.name: data[f.name] for f in fields(Environment)})
        return cls(machine, **{f.name: data[f.name] for f in fields(cls) if f.name != "machine"})

    def __str__(self) -> str:
        return f"{self.machine.device_name}, {self.mode}, {self.dtype}, {self.layout}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a network takes for one batch, and how that was found out.

    ``reported_ms``: the statistic for frontiers: on a GPU the median, on a CPU a low statistic that other load does
    not inflate (``method`` says it in words). ``median_ms``, ``p05_ms``, ``p95_ms``: of the ``runs`` as they came,
    other load included; ``ci95_ms``: a 95% confidence interval of that median. ``throughput``: images a second at
    ``reported_ms``. ``reference_ms``: the fixed reference network's time in the same measurement, and ``drift`` the
    share by which it moved within it. ``contended``: other work shared the device; ``notes`` says what.
    ``device_state``: its clocks (MHz) and temperature before and after, by name; that, ``peak_memory_bytes`` and
    ``joules_per_image`` are None where the device does not tell.
    """

    digest: str
    reported_ms: float
    median_ms: float
    p05_ms: float
    p95_ms: float
    ci95_ms: tuple[float, float]
    runs: int
    throughput: float
    method: str
    environment: LatencyEnvironment
    reference_ms: float
    drift: float
    contended: bool = False
    notes: tuple[str, ...] = ()
    device_state: Mapping[str, list[float]] | None = None
    peak_memory_bytes: int | None = None
    joules_per_image: float | None = None

    def __hash__(self) -> int:
        return hash((self.digest, self.reported_ms, self.environment))

    def to_dict(self) -> dict[str, Any]:
        """As ``explorer latency --json`` gives it: what the device did not tell is left out."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        environment = data.pop("environment")
        known = {name: value for name, value in data.items() if value is not None}
        setting = {name: getattr(environment, name) for name in ("batch", "dtype", "layout", "mode")}
        return {"digest": known.pop("digest"), **setting, **known, "environment": environment.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Latency:
        """What ``to_dict`` gave."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        values |= {"ci95_ms": tuple(data["ci95_ms"]), "notes": tuple(data["notes"])}
        return cls(**{**values, "environment": LatencyEnvironment.from_dict(data["environment"])})


def environment_from_json(text: str) -> Environment:
    """The environment that ``json.dumps(asdict(...))`` wrote; unknown fields of a later version are dropped."""
    data: dict[str, Any] = json.loads(text)
    return Environment(**{key: value for key, value in data.items() if key in {f.name for f in fields(Environment)}})
