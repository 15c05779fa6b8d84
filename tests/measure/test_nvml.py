"""What NVML tells, and that what it does not tell costs nothing."""

from __future__ import annotations

import os
from types import SimpleNamespace

from explorer.measure.nvml import GpuState, NoNvml, Nvml, disturbances
from tests.measure.gpus import FakeNvml


def users(*pids):
    return [SimpleNamespace(pid=pid) for pid in pids]


def test_state_and_limits():
    """Clocks, temperature, reasons by name without the harmless ones, and other processes, this one left out."""
    library = FakeNvml(
        nvmlDeviceGetClockInfo=1410,
        nvmlDeviceGetTemperature=61,
        nvmlDeviceGetCurrentClocksThrottleReasons=1 | 4 | 64,
        nvmlDeviceGetComputeRunningProcesses=users(77, os.getpid(), 5),
        nvmlDeviceGetMaxClockInfo=1980,
        nvmlDeviceGetEnforcedPowerLimit=350_000,
        nvmlDeviceGetTotalEnergyConsumption=12_500,
    )
    gpu = Nvml(library, "GPU-0123")
    assert library.asked_for == "GPU-0123"
    assert gpu.state() == GpuState(1410, 1410, 61, ("HwThermalSlowdown", "SwPowerCap"), (5, 77))
    assert gpu.limits() == {"sm_mhz": 1980.0, "memory_mhz": 1980.0, "power_watts": 350.0}
    assert gpu.joules() == 12.5


def test_what_is_not_told_is_missing():
    """A card without these counters, a machine without a driver, one without the package: empty states, no error."""
    error = FakeNvml.NVMLError("not supported")
    silent = Nvml(FakeNvml(nvmlDeviceGetClockInfo=error, nvmlDeviceGetTotalEnergyConsumption=error), "GPU-0")
    no_driver = Nvml(FakeNvml(nvmlInit=error), "GPU-0")
    unknown_card = Nvml(FakeNvml(nvmlDeviceGetHandleByUUID=error), "GPU-0")
    for gpu in (silent, no_driver, unknown_card, NoNvml()):
        assert (gpu.state(), gpu.limits(), gpu.joules()) == (GpuState(), {}, None)


def test_disturbances_in_words():
    """Other processes, held-down clocks and moved clocks are said; small moves and unknown clocks are not."""
    calm = GpuState(sm_mhz=1980)
    assert disturbances(calm, GpuState(sm_mhz=1965)) == disturbances(GpuState(), GpuState()) == []
    said = disturbances(calm, GpuState(1410, slowed_by=("HwThermalSlowdown",), others=(5,)))
    assert said == [
        "other processes used the GPU: 5",
        "the GPU's clocks were held down: HwThermalSlowdown",
        "its clock went from 1980 to 1410 MHz",
    ]
