"""The latency of a search's candidates: measured on the device of the search before they are trained.

One worker measures at a time on a device, and the trainings there wait meanwhile (``device_lock.py``), so that none
spoils the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.architecture import Architecture
from explorer.errors import ExplorerError
from explorer.limits import Limit
from explorer.measure.child import measure_in_child
from explorer.measure.device_lock import measuring
from explorer.measure.environment import find_device
from explorer.measure.settings import Setting, default_mode
from explorer.records import Latency, LatencyEnvironment, TrialRecord
from explorer.store.study import LATENCY
from explorer.study.proposals import Candidate, refused

MEASUREMENTS = 2  # of a network, when other work shared the device during the first


@dataclass(frozen=True)
class Stopwatch:
    """Measures on ``device`` under ``setting``; ``environment``: what a latency measured there carries."""

    device: str
    setting: Setting
    environment: LatencyEnvironment

    def measure(self, architecture: Architecture) -> Latency:
        """The network's latency. Where other work shared the device it is measured again, and if that was no
        better the lower of both is given, for sharing makes no network faster; it stays marked as contended.

        Raises MeasurementError when it cannot be measured, StudyError when the device cannot be locked.
        """
        found: list[Latency] = []
        with measuring(self.device):
            while len(found) < MEASUREMENTS and all(latency.contended for latency in found):
                found += measure_in_child([architecture], [self.setting], self.device)
        return min(found, key=lambda latency: (latency.contended, latency.reported_ms))

    def timed(self, candidate: Candidate, limits: Sequence[Limit], trials: Iterable[TrialRecord]) -> Candidate:
        """The candidate with its latency among its costs, held against the ``limits`` on that, and how it was measured.

        One of the ``trials`` of the same network answers for it where it was measured in the same environment.
        """
        ms, stands_on = self._known(candidate, trials)
        if ms is None:
            try:
                latency = self.measure(candidate.architecture)
            except ExplorerError as error:
                return candidate._replace(refusal=("failed", f"its latency: {error}"))
            environment = latency.environment.to_dict()
            stands_on = {"environment": environment, "contended": latency.contended, "notes": list(latency.notes)}
            if latency.device_state is not None:
                stands_on["device_state"] = dict(latency.device_state)
            ms = latency.reported_ms
        costs = {**candidate.costs, LATENCY: ms}
        return candidate._replace(costs=costs, refusal=refused(costs, limits), latency=stands_on)

    def _known(self, candidate: Candidate, trials: Iterable[TrialRecord]) -> tuple[float | None, Mapping[str, Any]]:
        digest = candidate.architecture.digest
        for trial in trials:
            if trial.digest == digest and trial.latency.get("environment", {}).get("digest") == self.environment.digest:
                return trial.costs[LATENCY], trial.latency
        return None, {}


def make_stopwatch(device: str) -> Stopwatch:
    """Batch 1, float32, the device's default mode: what ``explorer latency`` measures when nothing else is said."""
    from explorer.measure.latency import present_environment  # torch, for searches that ask for a latency

    place = find_device(device)
    setting = Setting(mode=default_mode(place))
    return Stopwatch(place, setting, present_environment(place, setting))
