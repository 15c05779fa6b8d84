"""The state of a GPU from NVIDIA's management library (NVML): clocks, throttling, other processes, energy.

Any value may be missing, because the package or the driver is not installed, or because a virtual or partitioned card
does not report it. A missing value is None or empty, and affects no other value.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

# Clock reasons that are no disturbance: the GPU is idle, or its clocks were set on purpose.
_HARMLESS = ("GpuIdle", "ApplicationsClocksSetting", "UserDefinedClocks", "DisplayClockSetting", "None", "All")
_PREFIXES = ("nvmlClocksThrottleReason", "nvmlClocksEventReason")  # the names before and since CUDA 12
_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
_KINDS = ("GPU", "MIG")  # prefixes of a UUID: a whole card, or an instance of a partitioned one
CLOCK_SHARE = 0.02  # largest relative change of a clock that is not noted


@dataclass(frozen=True, slots=True)
class GpuState:
    """The state of a GPU at one moment.

    Attributes:
        sm_mhz: Clock of the streaming multiprocessors, in MHz.
        memory_mhz: Clock of the memory, in MHz.
        celsius: Temperature of the GPU.
        slowed_by: Names of the reasons that lower the clocks, as NVML spells them.
        others: Ids of other processes on the GPU.
        moment: Microseconds since the epoch.
    """

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    celsius: int | None = None
    slowed_by: tuple[str, ...] = ()
    others: tuple[int, ...] = ()
    moment: int = 0


class Nvml:
    """NVML's view of a GPU, or of an instance (MIG) of a partitioned one.

    An instance has the clocks of its card and its own processes. Its share of the card's energy is not reported.

    Args:
        library: ``pynvml``, or an object with the same functions.
        uuid: UUID of the GPU or instance, without the prefix "GPU-" or "MIG-".
    """

    def __init__(self, library: Any, uuid: str):
        self._library = library
        self._own = _find(library, uuid)
        part = bool(self._query("nvmlDeviceIsMigDeviceHandle"))
        self._card = self._query("nvmlDeviceGetDeviceHandleFromMigDeviceHandle") if part else self._own
        self._is_whole = not part and not (self._query("nvmlDeviceGetMigMode") or [0])[0]

    def state(self) -> GpuState:
        """Return the state of the GPU now."""
        # Clocks are read first: the caller keeps the GPU busy for some milliseconds, and the other reads take a few.
        clocks = [self._query_card("nvmlDeviceGetClockInfo", self._clock(name)) for name in ("SM", "MEM")]
        answers = (self._query_card(name) for name in _REASONS)
        reasons = next((bits for bits in answers if bits is not None), 0)
        pids = self._pids()
        return GpuState(
            sm_mhz=clocks[0],
            memory_mhz=clocks[1],
            celsius=self._query_card("nvmlDeviceGetTemperature", getattr(self._library, "NVML_TEMPERATURE_GPU", 0)),
            slowed_by=tuple(sorted({name for name, bit in self._reasons() if reasons & bit})),
            others=_others(pids, pids),
            moment=time.time_ns() // 1_000,
        )

    def active_since(self, moment: int) -> tuple[int, ...] | None:
        """Return the ids of other processes that have computed on the GPU since a moment.

        A process that only keeps memory on the GPU, such as a training that waits, is not one of them.

        Args:
            moment: Microseconds since the epoch.

        Returns:
            The ids; None where NVML does not report them, as for an instance.
        """
        ask: Callable[..., Any] | None = getattr(self._library, "nvmlDeviceGetProcessUtilization", None)
        if self._own is None or ask is None:
            return None
        try:
            samples = ask(self._own, moment)
        except getattr(self._library, "NVMLError_NotFound", ()):  # no process has computed
            return ()
        except self._library.NVMLError:
            return None
        return _others((sample.pid for sample in samples if sample.smUtil > 0), self._pids())

    def limits(self) -> dict[str, float]:
        """Return the limits of clocks and power that NVML reports.

        Clocks locked with ``nvidia-smi -lgc`` are not among them, since NVML can set but not read them. Neither is the
        power limit that a notebook changes from moment to moment.

        Returns:
            Name -> value: the highest clocks ``sm_mhz`` and ``memory_mhz``; ``application_sm_mhz`` and
            ``application_memory_mhz``, set with ``nvidia-smi -ac``; ``sm_offset_mhz`` and ``memory_offset_mhz``, added
            to the clocks of each voltage; and ``power_watts``.
        """
        found = {
            "sm_mhz": self._query_card("nvmlDeviceGetMaxClockInfo", self._clock("SM")),
            "memory_mhz": self._query_card("nvmlDeviceGetMaxClockInfo", self._clock("MEM")),
            "application_sm_mhz": self._query_card("nvmlDeviceGetApplicationsClock", self._clock("SM")),
            "application_memory_mhz": self._query_card("nvmlDeviceGetApplicationsClock", self._clock("MEM")),
            "sm_offset_mhz": self._query_card("nvmlDeviceGetGpcClkVfOffset"),
            "memory_offset_mhz": self._query_card("nvmlDeviceGetMemClkVfOffset"),
            "power_watts": self._query_card("nvmlDeviceGetPowerManagementLimit"),
        }
        if found["power_watts"] is not None:
            found["power_watts"] /= 1000  # NVML counts milliwatts
        return {name: float(value) for name, value in found.items() if value is not None}

    def joules(self) -> float | None:
        """Return the energy of the whole card since its driver was loaded; None on a partitioned card."""
        millijoules = self._query_card("nvmlDeviceGetTotalEnergyConsumption") if self._is_whole else None
        return None if millijoules is None else millijoules / 1000

    def _clock(self, name: str) -> int:
        return getattr(self._library, f"NVML_CLOCK_{name}", {"SM": 1, "MEM": 2}[name])

    def _pids(self) -> list[int]:
        return [process.pid for process in self._query("nvmlDeviceGetComputeRunningProcesses") or []]

    def _query_card(self, function: str, *arguments: Any) -> Any:
        return self._query_handle(self._card, function, *arguments)

    def _query(self, function: str, *arguments: Any) -> Any:
        return self._query_handle(self._own, function, *arguments)

    def _query_handle(self, handle: Any, function: str, *arguments: Any) -> Any:
        asked: Callable[..., Any] | None = getattr(self._library, function, None)
        if handle is None or asked is None:
            return None
        try:
            return asked(handle, *arguments)
        except self._library.NVMLError:  # not supported on this card, or not permitted
            return None

    def _reasons(self) -> list[tuple[str, int]]:
        library = self._library
        named = [(name, prefix) for name in dir(library) for prefix in _PREFIXES if name.startswith(prefix)]
        short = [(name.removeprefix(prefix), getattr(library, name)) for name, prefix in named]
        return [(name, bit) for name, bit in short if name not in _HARMLESS]


class NoNvml:
    """A GPU without NVML: no value is known."""

    def state(self) -> GpuState:
        """Return a state without values."""
        return GpuState()

    def active_since(self, moment: int) -> tuple[int, ...] | None:
        """Return None."""
        return None

    def limits(self) -> dict[str, float]:
        """Return no limits."""
        return {}

    def joules(self) -> float | None:
        """Return None."""
        return None


def open_nvml(uuid: str) -> Nvml | NoNvml:
    """Return NVML's view of a GPU, or a ``NoNvml`` if nvidia-ml-py is not installed.

    Args:
        uuid: UUID of the GPU or instance, without its prefix.
    """
    try:
        import pynvml
    except ImportError:
        return NoNvml()
    return Nvml(pynvml, uuid)


def driver_version() -> str:
    """Return the driver version from NVML; empty where NVML is not available."""
    try:
        import pynvml
    except ImportError:
        return ""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""


def _find(library: Any, uuid: str) -> Any:
    """Return NVML's handle of the card or instance; None if there is no driver, or NVML does not know the UUID."""
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    for kind in _KINDS:
        try:
            return library.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}")
        except library.NVMLError:
            continue
    return None


def _others(pids: Iterable[int], on_gpu: Collection[int]) -> tuple[int, ...]:
    """Return the ids that belong to other processes.

    This process has memory on the GPU, so it is on it itself. If its own id is missing, the ids are those of the host
    and this process runs in a container: one of them is its own, and it is unknown which.

    Args:
        pids: The ids to filter.
        on_gpu: The ids of all processes on the GPU.
    """
    found = sorted(set(pids) - {os.getpid()})
    return tuple(found if os.getpid() in on_gpu or not on_gpu else found[1:])


def disturbances(before: GpuState, after: GpuState, active: Iterable[int] | None = None) -> list[str]:
    """Return a note for each disturbance of the GPU between two states.

    Args:
        before: The state at the start.
        after: The state at the end.
        active: Ids of other processes that computed in between, from ``active_since``. None: all other processes in
            the two states count.
    """
    notes = []
    if others := sorted({*before.others, *after.others} if active is None else active):
        notes.append(f"other processes used the GPU: {', '.join(map(str, others))}")
    if slowed := sorted({*before.slowed_by, *after.slowed_by}):
        notes.append(f"the GPU's clocks were lowered: {', '.join(slowed)}")
    for name, earlier, later in (
        ("clock", before.sm_mhz, after.sm_mhz),
        ("memory clock", before.memory_mhz, after.memory_mhz),
    ):
        if earlier and later and abs(later / earlier - 1) > CLOCK_SHARE:
            notes.append(f"its {name} went from {earlier} to {later} MHz")
    return notes


def readings(before: GpuState, after: GpuState) -> dict[str, list[float]] | None:
    """Return the clocks and temperature of two states.

    Returns:
        Name -> values before and after, for those that both states have; None if there is none.
    """
    pairs = {name: [getattr(before, name), getattr(after, name)] for name in ("sm_mhz", "memory_mhz", "celsius")}
    return {name: pair for name, pair in pairs.items() if None not in pair} or None
