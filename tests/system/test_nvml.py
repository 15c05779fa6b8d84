"""The information that NVML gives, with missing values where it gives none."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

from explorer.system.nvml import GpuState, NoNvml, Nvml, disturbances, readings
from tests.measure.gpus import FakeNvml


def at_no_moment(state: GpuState) -> GpuState:
    return replace(state, moment=0)


def users(*pids):
    return [SimpleNamespace(pid=pid) for pid in pids]


def test_state_and_limits():
    """The state has clocks, temperature, significant throttle reasons by name, and other processes."""
    library = FakeNvml(
        nvmlDeviceGetClockInfo=1410,
        nvmlDeviceGetTemperature=61,
        nvmlDeviceGetCurrentClocksThrottleReasons=1 | 4 | 64,
        nvmlDeviceGetComputeRunningProcesses=users(77, os.getpid(), 5),
        nvmlDeviceGetMaxClockInfo=1980,
        nvmlDeviceGetPowerManagementLimit=350_000,
        nvmlDeviceGetTotalEnergyConsumption=12_500,
    )
    gpu = Nvml(library, "0123")
    assert library.asked_for == "GPU-0123"
    assert at_no_moment(gpu.state()) == GpuState(1410, 1410, 61, ("HwThermalSlowdown", "SwPowerCap"), (5, 77))
    assert gpu.limits() == {"sm_mhz": 1980.0, "memory_mhz": 1980.0, "power_watts": 350.0}
    assert gpu.joules() == 12.5


def test_requested_clocks_are_limits():
    """Application clocks and offsets are listed with the limits, and left out if the card has none."""
    asked = {"nvmlDeviceGetMaxClockInfo": 1980, "nvmlDeviceGetApplicationsClock": [1410, 2619]}
    gpu = Nvml(FakeNvml(**asked, nvmlDeviceGetGpcClkVfOffset=-30, nvmlDeviceGetMemClkVfOffset=0), "0")
    assert gpu.limits() == {
        "sm_mhz": 1980.0,
        "memory_mhz": 1980.0,
        "application_sm_mhz": 1410.0,
        "application_memory_mhz": 2619.0,
        "sm_offset_mhz": -30.0,
        "memory_offset_mhz": 0.0,
    }
    error = FakeNvml.NVMLError("not supported")
    bare = Nvml(FakeNvml(nvmlDeviceGetMaxClockInfo=1980, nvmlDeviceGetApplicationsClock=error), "0")
    assert bare.limits() == {"sm_mhz": 1980.0, "memory_mhz": 1980.0}


def test_missing_information():
    """A card without counters, a machine without a driver, or no package gives empty states and no error."""
    error = FakeNvml.NVMLError("not supported")
    silent = Nvml(FakeNvml(nvmlDeviceGetClockInfo=error, nvmlDeviceGetTotalEnergyConsumption=error), "0")
    no_driver = Nvml(FakeNvml(nvmlInit=error), "0")
    unknown_card = Nvml(FakeNvml(nvmlDeviceGetHandleByUUID=error), "0")
    for gpu in (silent, no_driver, unknown_card, NoNvml()):
        assert (at_no_moment(gpu.state()), gpu.limits(), gpu.joules()) == (GpuState(), {}, None)
        assert gpu.active_since(0) is None


def test_a_waiting_process_is_not_active():
    """A waiting training is listed but not active, no activity gives none, and unknown activity is unknown."""
    samples = [SimpleNamespace(pid=pid, smUtil=share) for pid, share in ((os.getpid(), 98), (77, 0), (5, 3))]
    listed = {"nvmlDeviceGetComputeRunningProcesses": users(77, os.getpid(), 5)}
    told = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=lambda handle: samples, **listed), "0")
    assert told.active_since(0) == (5,)
    assert disturbances(told.state(), told.state(), told.active_since(0)) == ["other processes used the GPU: 5"]
    samples.pop()
    assert disturbances(told.state(), told.state(), told.active_since(0)) == []
    nobody = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=FakeNvml.NVMLError_NotFound()), "0")
    assert nobody.active_since(0) == ()
    unreported = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=FakeNvml.NVMLError(), **listed), "0")
    assert unreported.active_since(0) is None
    assert disturbances(unreported.state(), unreported.state(), None) == ["other processes used the GPU: 5, 77"]


def test_in_a_container_one_listed_process_is_this_one():
    """If this process's id is not listed, one listed process is this one, and a second one is another."""
    listed = {"nvmlDeviceGetComputeRunningProcesses": lambda handle: users(*alone)}
    alone = [4_100_001]
    gpu = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=lambda handle: samples, **listed), "0")
    samples = [SimpleNamespace(pid=4_100_001, smUtil=98)]
    assert gpu.state().others == () == gpu.active_since(0)
    alone.append(4_100_002)
    assert len(gpu.state().others) == 1 and gpu.active_since(0) == ()
    samples.append(SimpleNamespace(pid=4_100_002, smUtil=50))
    assert len(gpu.active_since(0)) == 1


def test_an_instance_of_a_partitioned_card():
    """A MIG instance has the card's clocks and limits and its own users, and no energy, which is shared."""

    def of_the_card(handle):
        assert handle == "whole"
        return 1410

    library = FakeNvml(
        kind="MIG-",
        nvmlDeviceIsMigDeviceHandle=1,
        nvmlDeviceGetDeviceHandleFromMigDeviceHandle="whole",
        nvmlDeviceGetClockInfo=of_the_card,
        nvmlDeviceGetMaxClockInfo=of_the_card,
        nvmlDeviceGetTotalEnergyConsumption=of_the_card,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: users(os.getpid(), 5) if handle == "card" else [],
    )
    gpu = Nvml(library, "0123")
    assert library.asked_for == "MIG-0123"
    assert (gpu.state().sm_mhz, gpu.state().others, gpu.limits()["sm_mhz"]) == (1410, (5,), 1410.0)
    assert gpu.joules() is None
    asked_as_a_whole = Nvml(
        FakeNvml(nvmlDeviceGetMigMode=lambda handle: [1, 1], nvmlDeviceGetTotalEnergyConsumption=5), "0"
    )
    assert asked_as_a_whole.joules() is None


def test_throttle_reasons_by_either_name():
    """Since CUDA 12 the throttle reasons have other names, which give the same words."""
    library = FakeNvml(nvmlDeviceGetCurrentClocksEventReasons=1 | 4)
    library.nvmlClocksEventReasonSwPowerCap = 4
    assert Nvml(library, "0").state().slowed_by == ("SwPowerCap",)


def test_readings_before_and_after():
    """Values known both before and after are reported."""
    assert readings(GpuState(1980, None, 40), GpuState(1965, 2619, 52)) == {"sm_mhz": [1980, 1965], "celsius": [40, 52]}
    assert readings(GpuState(), GpuState(1)) is None


def test_disturbances_in_words():
    """Other processes, throttled clocks and changed clocks are reported; small changes and unknown clocks are not."""
    calm = GpuState(sm_mhz=1980)
    assert disturbances(calm, GpuState(sm_mhz=1965)) == disturbances(GpuState(), GpuState()) == []
    said = disturbances(calm, GpuState(1410, slowed_by=("HwThermalSlowdown",), others=(5,)))
    assert said == [
        "other processes used the GPU: 5",
        "the GPU's clocks were lowered: HwThermalSlowdown",
        "its clock went from 1980 to 1410 MHz",
    ]
