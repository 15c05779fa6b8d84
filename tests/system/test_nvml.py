"""What NVML tells, and that what it does not tell costs nothing."""

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
    """Clocks, temperature, reasons by name without the harmless ones, and other processes, this one left out."""
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


def test_clocks_that_were_asked_for_are_limits():
    """Application clocks and offsets bound what is measured, so they stand beside what the card may reach; a card that
    has none of them says nothing of them."""
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


def test_what_is_not_told_is_missing():
    """A card without these counters, a machine without a driver, one without the package: empty states, no error."""
    error = FakeNvml.NVMLError("not supported")
    silent = Nvml(FakeNvml(nvmlDeviceGetClockInfo=error, nvmlDeviceGetTotalEnergyConsumption=error), "0")
    no_driver = Nvml(FakeNvml(nvmlInit=error), "0")
    unknown_card = Nvml(FakeNvml(nvmlDeviceGetHandleByUUID=error), "0")
    for gpu in (silent, no_driver, unknown_card, NoNvml()):
        assert (at_no_moment(gpu.state()), gpu.limits(), gpu.joules()) == (GpuState(), {}, None)
        assert gpu.at_work_since(0) is None


def test_who_waits_on_the_gpu_is_not_at_work():
    """A training that waits keeps its memory there: it is listed, and not among those that computed; where nobody was
    seen at work nobody was, and where the card does not tell it is not known."""
    samples = [SimpleNamespace(pid=pid, smUtil=share) for pid, share in ((os.getpid(), 98), (77, 0), (5, 3))]
    listed = {"nvmlDeviceGetComputeRunningProcesses": users(77, os.getpid(), 5)}
    told = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=lambda handle: samples, **listed), "0")
    assert told.at_work_since(0) == (5,)
    assert disturbances(told.state(), told.state(), told.at_work_since(0)) == ["other processes used the GPU: 5"]
    samples.pop()
    assert disturbances(told.state(), told.state(), told.at_work_since(0)) == []
    nobody = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=FakeNvml.NVMLError_NotFound()), "0")
    assert nobody.at_work_since(0) == ()
    untold = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=FakeNvml.NVMLError(), **listed), "0")
    assert untold.at_work_since(0) is None
    assert disturbances(untold.state(), untold.state(), None) == ["other processes used the GPU: 5, 77"]


def test_in_a_container_one_of_the_hosts_numbers_is_this_process():
    """Where this process's own number is not listed, one of those that are is its own; a second one is another's."""
    listed = {"nvmlDeviceGetComputeRunningProcesses": lambda handle: users(*alone)}
    alone = [4_100_001]
    gpu = Nvml(FakeNvml(nvmlDeviceGetProcessUtilization=lambda handle: samples, **listed), "0")
    samples = [SimpleNamespace(pid=4_100_001, smUtil=98)]
    assert gpu.state().others == () == gpu.at_work_since(0)
    alone.append(4_100_002)
    assert len(gpu.state().others) == 1 and gpu.at_work_since(0) == ()
    samples.append(SimpleNamespace(pid=4_100_002, smUtil=50))
    assert len(gpu.at_work_since(0)) == 1


def test_an_instance_of_a_partitioned_card():
    """Its clocks and limits are the card's and its users its own; the card's energy is also others' and is not told."""

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


def test_reasons_by_either_name():
    """Since CUDA 12 the reasons go by another name; the same words are said of them."""
    library = FakeNvml(nvmlDeviceGetCurrentClocksEventReasons=1 | 4)
    library.nvmlClocksEventReasonSwPowerCap = 4
    assert Nvml(library, "0").state().slowed_by == ("SwPowerCap",)


def test_readings():
    """What is told at both moments, before and after; nothing where nothing is."""
    assert readings(GpuState(1980, None, 40), GpuState(1965, 2619, 52)) == {"sm_mhz": [1980, 1965], "celsius": [40, 52]}
    assert readings(GpuState(), GpuState(1)) is None


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
