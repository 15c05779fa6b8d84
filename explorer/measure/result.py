"""The latency of a network with the conditions of its measurement. This module does not import torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from explorer.records import Environment


@dataclass(frozen=True, slots=True)
class LatencyEnvironment:
    """All conditions of a latency except the network. Latencies with different digests are not comparable.

    Attributes:
        machine: The machine and versions.
        batch: Images per run.
        dtype: float32, tf32, bfloat16 or float16.
        layout: nchw or channels_last.
        mode: eager, graph (CUDA graph replay), compile or onnxruntime.
        protocol: The version of the measurement protocol.
        limits: The limits of the device's clocks (MHz) and power (W), as far as the device reports them.
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
        """A hash of all fields except the commit of this project, which ``protocol`` replaces, and the index of the
        GPU, since GPUs with the same model, driver and limits are equivalent."""
        data = asdict(self)
        del data["machine"]["commit"]
        data["machine"]["device"] = self.machine.device.partition(":")[0]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a flat mapping, with the digest."""
        data = asdict(self)
        return {"digest": self.digest, **data.pop("machine"), **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyEnvironment:
        """Return the value that ``to_dict`` wrote."""
        machine = Environment(**{f.name: data[f.name] for f in fields(Environment)})
        return cls(machine, **{f.name: data[f.name] for f in fields(cls) if f.name != "machine"})

    def __str__(self) -> str:
        return f"{self.machine.device_name}, {self.mode}, {self.dtype}, {self.layout}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of a network for one batch, with the details of the measurement.

    Attributes:
        digest: The digest of the network.
        reported_ms: The statistic for Pareto fronts: on a GPU the median, on a CPU a low statistic that other load does
            not inflate.
        median_ms: The median of all runs, including those under other load.
        p05_ms: Their 5th percentile.
        p95_ms: Their 95th percentile.
        ci95_ms: A 95% confidence interval of the median.
        runs: The number of runs.
        throughput: Images per second at ``reported_ms``.
        method: The description of the statistic of ``reported_ms``.
        environment: The conditions of the measurement.
        reference_ms: The latency of the fixed reference network in the same measurement.
        drift: The relative change of the reference latency during the measurement.
        contended: Whether other processes used the device.
        notes: Notes on other load of the device.
        device_state: Clocks (MHz) and temperature before and after, by name; None if the device does not report them.
        peak_memory_bytes: The peak memory of the device; None if unknown.
        joules_per_image: The energy per image; None if unknown.
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
        """Return the mapping that ``explorer latency --json`` prints, without unknown values."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        environment = data.pop("environment")
        known = {name: value for name, value in data.items() if value is not None}
        setting = {name: getattr(environment, name) for name in ("batch", "dtype", "layout", "mode")}
        return {"digest": known.pop("digest"), **setting, **known, "environment": environment.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Latency:
        """Return the value that ``to_dict`` wrote."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        values |= {"ci95_ms": tuple(data["ci95_ms"]), "notes": tuple(data["notes"])}
        return cls(**{**values, "environment": LatencyEnvironment.from_dict(data["environment"])})
