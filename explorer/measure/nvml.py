"""What NVIDIA's management library tells of a GPU: clocks, what slows it down, who else uses it, energy.

Each answer may be missing: the package or the driver may not be there, a virtual or partitioned card keeps some
to itself. A missing answer is None or empty and costs nothing but itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Reasons that say nothing is wrong: it has nothing to do, or its clocks were set on purpose.
_HARMLESS = ("GpuIdle", "ApplicationsClocksSetting", "UserDefinedClocks", "DisplayClockSetting", "None", "All")
_PREFIX = "nvmlClocksThrottleReason"
CLOCK_SHARE = 0.02  # by which the clock may differ before and after without a word


@dataclass(frozen=True, slots=True)
class GpuState:
    """A GPU at one moment. ``slowed_by``: names of the reasons that hold its clocks down, as NVML spells them;
    ``others``: process ids beside this one's."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    celsius: int | None = None
    slowed_by: tuple[str, ...] = ()
    others: tuple[int, ...] = ()


class Nvml:
    """The GPU whose identity is ``uuid`` ("GPU-..."), as ``library`` (pynvml or what behaves like it) sees it."""

    def __init__(self, library: Any, uuid: str):
        self._library = library
        self._handle: Any = None
        try:
            library.nvmlInit()
            self._handle = library.nvmlDeviceGetHandleByUUID(uuid)
        except library.NVMLError:
            pass  # no driver, or a card that is not to be asked

    def state(self) -> GpuState:
        """Its clocks, reasons and users now."""
        n = self._library
        reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        users = self._ask("nvmlDeviceGetComputeRunningProcesses") or []
        return GpuState(
            sm_mhz=self._ask("nvmlDeviceGetClockInfo", getattr(n, "NVML_CLOCK_SM", 1)),
            memory_mhz=self._ask("nvmlDeviceGetClockInfo", getattr(n, "NVML_CLOCK_MEM", 2)),
            celsius=self._ask("nvmlDeviceGetTemperature", getattr(n, "NVML_TEMPERATURE_GPU", 0)),
            slowed_by=tuple(name for name, bit in self._reasons().items() if reasons & bit),
            others=tuple(sorted(user.pid for user in users if user.pid != os.getpid())),
        )

    def limits(self) -> dict[str, float]:
        """What bounds clocks and power: ``sm_mhz``, ``memory_mhz``, ``power_watts``, those that it tells."""
        n = self._library
        found = {
            "sm_mhz": self._ask("nvmlDeviceGetMaxClockInfo", getattr(n, "NVML_CLOCK_SM", 1)),
            "memory_mhz": self._ask("nvmlDeviceGetMaxClockInfo", getattr(n, "NVML_CLOCK_MEM", 2)),
            "power_watts": self._ask("nvmlDeviceGetEnforcedPowerLimit"),
        }
        if found["power_watts"] is not None:
            found["power_watts"] /= 1000  # NVML counts milliwatts
        return {name: float(value) for name, value in found.items() if value is not None}

    def joules(self) -> float | None:
        """The energy that the card has taken since its driver was loaded."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def _ask(self, function: str, *arguments: Any) -> Any:
        asked: Callable | None = getattr(self._library, function, None)
        if self._handle is None or asked is None:
            return None
        try:
            return asked(self._handle, *arguments)
        except self._library.NVMLError:  # not supported on this card, or not permitted
            return None

    def _reasons(self) -> Mapping[str, int]:
        named = {name.removeprefix(_PREFIX): name for name in dir(self._library) if name.startswith(_PREFIX)}
        return {short: getattr(self._library, name) for short, name in named.items() if short not in _HARMLESS}


class NoNvml:
    """Stands where there is no library to ask: knows nothing."""

    def state(self) -> GpuState:
        return GpuState()

    def limits(self) -> dict[str, float]:
        return {}

    def joules(self) -> float | None:
        return None


def open_nvml(uuid: str) -> Nvml | NoNvml:
    """The GPU of this identity, where nvidia-ml-py is installed."""
    try:
        import pynvml
    except ImportError:
        return NoNvml()
    return Nvml(pynvml, uuid)


def disturbances(before: GpuState, after: GpuState) -> list[str]:
    """What made the card another one between the two moments or in them, in words."""
    notes = []
    if others := sorted({*before.others, *after.others}):
        notes.append(f"other processes used the GPU: {', '.join(map(str, others))}")
    if slowed := sorted({*before.slowed_by, *after.slowed_by}):
        notes.append(f"the GPU's clocks were held down: {', '.join(slowed)}")
    if before.sm_mhz and after.sm_mhz and abs(after.sm_mhz / before.sm_mhz - 1) > CLOCK_SHARE:
        notes.append(f"its clock went from {before.sm_mhz} to {after.sm_mhz} MHz")
    return notes
