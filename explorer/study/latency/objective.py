"""Latency as an objective or a limit: measured on the search's device before a network is trained.

One worker at a time measures on a device, and trainings on that device wait until it ends (``device_lock.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.analysis.limits import Limit
from explorer.analysis.quantities import LATENCY
from explorer.errors import ExplorerError
from explorer.measure.child import measure_in_child
from explorer.measure.result import Latency, LatencyEnvironment
from explorer.measure.settings import Setting, default_mode
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.study.candidates import Candidate, limit_violation
from explorer.system.device_lock import measuring
from explorer.system.environment import find_device

MAX_MEASUREMENTS = 2  # of a network, if other work shared the device during the first


@dataclass(frozen=True)
class LatencyObjective:
    """Measures latencies for a search.

    Attributes:
        device: The device.
        setting: Batch size, data type and mode.
        environment: The conditions of the measurements, stored with each latency.
    """

    device: str
    setting: Setting
    environment: LatencyEnvironment

    def measure(self, architecture: Architecture) -> Latency:
        """Measure a network.

        If other work shared the device, the network is measured again. If both measurements were disturbed,
        the lower latency is returned and marked as contended.

        Raises:
            MeasurementError: The network cannot be measured.
            StudyError: The device cannot be locked.
        """
        found: list[Latency] = []
        with measuring(self.device):
            while len(found) < MAX_MEASUREMENTS and all(latency.contended for latency in found):
                found += measure_in_child([architecture], [self.setting], self.device)
        return min(found, key=lambda latency: (latency.contended, latency.reported_ms))

    def measured(self, architecture: Architecture) -> tuple[float, dict[str, Any]]:
        """Measure a network; return its latency in ms, and how it was measured, for ``TrialRecord.latency``."""
        latency = self.measure(architecture)
        environment = latency.environment.to_dict()
        note = {"environment": environment, "contended": latency.contended, "notes": list(latency.notes)}
        if latency.device_state is not None:
            note["device_state"] = dict(latency.device_state)
        return latency.reported_ms, note

    def with_latency(self, candidate: Candidate, limits: Sequence[Limit], trials: Iterable[TrialRecord]) -> Candidate:
        """Return the candidate with its latency as a cost, checked against ``limits``.

        The network is not measured if one of ``trials`` has its latency in the same environment.
        """
        ms, measured_by = self._known(candidate, trials)
        if ms is None:
            try:
                ms, measured_by = self.measured(candidate.architecture)
            except ExplorerError as error:
                return candidate._replace(refusal=("failed", f"its latency: {error}"))
        costs = {**candidate.costs, LATENCY: ms}
        return candidate._replace(costs=costs, refusal=limit_violation(costs, limits), latency=measured_by)

    def _known(self, candidate: Candidate, trials: Iterable[TrialRecord]) -> tuple[float | None, Mapping[str, Any]]:
        digest = candidate.architecture.digest
        for trial in trials:
            if trial.digest == digest and trial.latency.get("environment", {}).get("digest") == self.environment.digest:
                return trial.value(LATENCY), trial.latency
        return None, {}


@dataclass(frozen=True)
class LatencyAfterwards:
    """Measures the latency of a network after a caller's function that did not return it.

    Attributes:
        device: The device.
    """

    device: str

    def __call__(self, architecture: Architecture) -> tuple[float, dict[str, Any]]:
        return make_latency_objective(self.device).measured(architecture)


def make_latency_objective(device: str) -> LatencyObjective:
    """Return the latency objective of a device: batch size 1, float32 and the device's default mode.

    These are the defaults of ``explorer latency``.
    """
    from explorer.measure.latency import present_environment  # imports torch, which other searches do not need here

    place = find_device(device)
    setting = Setting(mode=default_mode(place))
    return LatencyObjective(place, setting, present_environment(place, setting))
