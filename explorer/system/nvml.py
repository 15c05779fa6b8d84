"""What NVIDIA's management library tells of a GPU: clocks, what slows it down, who else uses it, energy.

Each answer may be missing: the package or the driver may not be there, a virtual or partitioned card keeps some
to itself. A missing answer is None or empty and costs nothing but itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

# Reasons that say nothing is wrong: it has nothing to do, or its clocks were set on purpose.
_HARMLESS = ("GpuIdle", "ApplicationsClocksSetting", "UserDefinedClocks", "DisplayClockSetting", "None", "All")
_PREFIXES = ("nvmlClocksThrottleReason", "nvmlClocksEventReason")  # until CUDA 12, and since
_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
_KINDS = ("GPU", "MIG")  # what an identity belongs to: a whole card, or an instance of a partitioned one
CLOCK_SHARE = 0.02  # by which a clock may differ before and after without a word


@dataclass(frozen=True, slots=True)
class GpuState:
    """A GPU at one moment. ``slowed_by``: names of the reasons that hold its clocks down, as NVML spells them;
    ``others``: process ids beside this one's; ``moment``: microseconds since the epoch."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    celsius: int | None = None
    slowed_by: tuple[str, ...] = ()
    others: tuple[int, ...] = ()
    moment: int = 0


class Nvml:
    """The GPU, or the instance of a partitioned one (MIG), whose identity is ``uuid``, without the "GPU-" before it;
    as ``library`` (pynvml or what behaves like it) sees it. An instance has the clocks of its card, and users of its
    own; what it takes of the card's energy is not told."""

    def __init__(self, library: Any, uuid: str):
        self._library = library
        self._own = _find(library, uuid)
        part = bool(self._ask("nvmlDeviceIsMigDeviceHandle"))
        self._card = self._ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle") if part else self._own
        self._is_whole = not part and not (self._ask("nvmlDeviceGetMigMode") or [0])[0]

    def state(self) -> GpuState:
        """Its clocks, reasons and users now."""
        # The clocks first: whoever asks keeps the card at work for some milliseconds, and the users take a few.
        clocks = [self._ask_card("nvmlDeviceGetClockInfo", self._clock(name)) for name in ("SM", "MEM")]
        told = (self._ask_card(name) for name in _REASONS)
        reasons = next((bits for bits in told if bits is not None), 0)
        users = self._users()
        return GpuState(
            sm_mhz=clocks[0],
            memory_mhz=clocks[1],
            celsius=self._ask_card("nvmlDeviceGetTemperature", getattr(self._library, "NVML_TEMPERATURE_GPU", 0)),
            slowed_by=tuple(sorted({name for name, bit in self._reasons() if reasons & bit})),
            others=_beside_this(users, users),
            moment=time.time_ns() // 1_000,
        )

    def at_work_since(self, moment: int) -> tuple[int, ...] | None:
        """Processes beside this one that computed on it since; None where it does not tell, as an instance does not.
        One that merely keeps its memory there, as a training that waits does, is none of them."""
        ask: Callable[..., Any] | None = getattr(self._library, "nvmlDeviceGetProcessUtilization", None)
        if self._own is None or ask is None:
            return None
        try:
            samples = ask(self._own, moment)
        except getattr(self._library, "NVMLError_NotFound", ()):  # nobody was seen at work
            return ()
        except self._library.NVMLError:
            return None
        return _beside_this((sample.pid for sample in samples if sample.smUtil > 0), self._users())

    def limits(self) -> dict[str, float]:
        """What bounds clocks and power, as far as it tells: ``sm_mhz`` and ``memory_mhz`` that it may reach,
        ``application_sm_mhz`` and ``application_memory_mhz`` that were asked for (``nvidia-smi -ac``),
        ``sm_offset_mhz`` and ``memory_offset_mhz`` that were added to what its voltage allows, and ``power_watts``
        that it may take; what a notebook enforces from moment to moment is none of them.
        Clocks that were locked (``nvidia-smi -lgc``) NVML can set and cannot tell."""
        found = {
            "sm_mhz": self._ask_card("nvmlDeviceGetMaxClockInfo", self._clock("SM")),
            "memory_mhz": self._ask_card("nvmlDeviceGetMaxClockInfo", self._clock("MEM")),
            "application_sm_mhz": self._ask_card("nvmlDeviceGetApplicationsClock", self._clock("SM")),
            "application_memory_mhz": self._ask_card("nvmlDeviceGetApplicationsClock", self._clock("MEM")),
            "sm_offset_mhz": self._ask_card("nvmlDeviceGetGpcClkVfOffset"),
            "memory_offset_mhz": self._ask_card("nvmlDeviceGetMemClkVfOffset"),
            "power_watts": self._ask_card("nvmlDeviceGetPowerManagementLimit"),
        }
        if found["power_watts"] is not None:
            found["power_watts"] /= 1000  # NVML counts milliwatts
        return {name: float(value) for name, value in found.items() if value is not None}

    def joules(self) -> float | None:
        """The energy that the card has taken since its driver was loaded; None where others' is counted in it."""
        millijoules = self._ask_card("nvmlDeviceGetTotalEnergyConsumption") if self._is_whole else None
        return None if millijoules is None else millijoules / 1000

    def _clock(self, name: str) -> int:
        return getattr(self._library, f"NVML_CLOCK_{name}", {"SM": 1, "MEM": 2}[name])

    def _users(self) -> list[int]:
        return [user.pid for user in self._ask("nvmlDeviceGetComputeRunningProcesses") or []]

    def _ask_card(self, function: str, *arguments: Any) -> Any:
        return self._ask_of(self._card, function, *arguments)

    def _ask(self, function: str, *arguments: Any) -> Any:
        return self._ask_of(self._own, function, *arguments)

    def _ask_of(self, handle: Any, function: str, *arguments: Any) -> Any:
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
    """Stands where there is no library to ask: knows nothing."""

    def state(self) -> GpuState:
        return GpuState()

    def at_work_since(self, moment: int) -> tuple[int, ...] | None:
        return None

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


def driver_version() -> str:
    """As NVML tells it, empty where it cannot be asked."""
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
    """The handle of a card or an instance, None where there is no driver, or none that is to be asked."""
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


def _beside_this(pids: Iterable[int], users: Collection[int]) -> tuple[int, ...]:
    """Those of other processes; ``users``: all that are on the GPU. This one is among them whenever it asks: where it
    is not, the numbers are a host's and this runs in a container, so one of them is its own, whichever."""
    found = sorted(set(pids) - {os.getpid()})
    return tuple(found if os.getpid() in users or not users else found[1:])


def disturbances(before: GpuState, after: GpuState, at_work: Iterable[int] | None = None) -> list[str]:
    """What made the card another one between the two moments or in them, in words. ``at_work``: who else computed
    there, as ``at_work_since`` says; where that is not known everybody who was there counts."""
    notes = []
    if others := sorted({*before.others, *after.others} if at_work is None else at_work):
        notes.append(f"other processes used the GPU: {', '.join(map(str, others))}")
    if slowed := sorted({*before.slowed_by, *after.slowed_by}):
        notes.append(f"the GPU's clocks were held down: {', '.join(slowed)}")
    for name, was, came in (
        ("clock", before.sm_mhz, after.sm_mhz),
        ("memory clock", before.memory_mhz, after.memory_mhz),
    ):
        if was and came and abs(came / was - 1) > CLOCK_SHARE:
            notes.append(f"its {name} went from {was} to {came} MHz")
    return notes


def readings(before: GpuState, after: GpuState) -> dict[str, list[float]] | None:
    """Clocks and temperature at the two moments, those that are told; None where none is."""
    pairs = {name: [getattr(before, name), getattr(after, name)] for name in ("sm_mhz", "memory_mhz", "celsius")}
    return {name: pair for name, pair in pairs.items() if None not in pair} or None
