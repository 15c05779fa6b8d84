"""The GPU measurement against a fake ``torch.cuda`` that computes on the CPU, and on a GPU if there is one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import explorer
from explorer.measure import cuda, latency
from explorer.measure.cuda import Cuda
from explorer.measure.fold import InferenceForm, inference_form
from explorer.measure.latency import Subject, measure_on
from explorer.measure.protocol import Run
from explorer.measure.settings import Setting
from explorer.networks.ops.base import TensorShape
from explorer.space.search_space import load_space
from explorer.system import environment
from explorer.system.device_lock import measuring
from explorer.system.nvml import GpuState, NoNvml, Nvml
from tests.measure.gpus import FakeCuda, FakeNvml

SHAPE = TensorShape(3, 8, 8)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Keep tensors on the CPU, whatever device they are sent to."""
    monkeypatch.setattr(
        cuda, "convert", lambda x, module, setting, device, real=cuda.convert: real(x, module, setting, "cpu")
    )


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def workload(fake: FakeCuda, **setting):
    device = Cuda("cuda:0", fake, NoNvml())
    return device, device.workload(inference_form(network()), Setting(**setting), SHAPE)


def test_graphs_are_captured_once_per_input_and_replayed_in_turn():
    """After a warm-up on a side stream, each input is captured once on the right device, and replays cycle through the
    inputs."""
    fake = FakeCuda(cache=2 * 4 * 3 * 8 * 8)  # twice the cache holds four inputs of batch 1
    _, made = workload(fake, mode="graph")
    assert [line for line in fake.log if "capture" in line] == [
        f"capture {number} in pool on cuda:0 thread_local" for number in range(4)
    ]
    fake.log.clear()
    runs = made.run(6)
    assert runs == [Run(0.25, (0.25,))] * 6
    assert [line for line in fake.log if "replay" in line] == [f"replay {n}" for n in (0, 1, 2, 3, 0, 1)]


def test_networks_share_the_memory_of_their_graphs():
    """Sixteen networks need no more activation memory than the largest one, because all are captured on one stream and
    pool."""
    fake = FakeCuda()
    device = Cuda("cuda:1", fake, NoNvml())
    for batch in (1, 2):
        device.workload(inference_form(network()), Setting(batch=batch, mode="graph"), SHAPE)
    captures = [line.split(" in ")[1] for line in fake.log if "capture" in line]
    assert len(captures) > 2 and set(captures) == {"pool on cuda:1 thread_local"} and fake.log.count("pool") == 1


def test_the_callers_random_state_is_restored():
    """Random numbers drawn on the device for inputs do not change the caller's sequence."""
    fake = FakeCuda()
    fake.random = 7
    with Cuda("cuda:0", fake, NoNvml()).session():
        fake.random = 8
    assert fake.random == 7


def test_replays_are_queued_while_the_device_sleeps():
    """Events and replays are queued while the device sleeps, and the host waits only at the end, so there are no
    gaps."""
    fake = FakeCuda()
    _, made = workload(fake, mode="graph")
    fake.log.clear()
    made.run(3)
    assert fake.log[:2] == ["synchronize", "sleep"] and fake.log[-1] == "synchronize"
    assert fake.log.count("synchronize") == 2
    inner = ["event" if line == "event" else "replay" for line in fake.log[2:-1]]
    assert inner == ["event", "replay", "event"] * 3


def test_an_idle_device_sleeps_longer():
    """If the host queues too slowly, replays are repeated after a longer sleep, as are later ones, up to a limit."""
    fake = FakeCuda(host_cycles=3 * cuda.SLEEP_CYCLES)
    _, made = workload(fake, mode="graph")
    fake.log.clear()
    assert len(made.run(50)) == 50 and fake.log.count("sleep") == 3
    assert len(made.run(50)) == 50 and fake.log.count("sleep") == 4
    hopeless = FakeCuda(host_cycles=10**9)
    _, made = workload(hopeless, mode="graph")
    assert len(made.run(50)) == 50


def test_a_compiled_network_is_compiled_before_it_is_timed(monkeypatch):
    """Compilation happens before the timed runs."""
    asked = []
    monkeypatch.setattr(cuda, "compile_network", lambda module, x: asked.append(x) or module)
    _, made = workload(FakeCuda(), mode="compile")
    assert len(asked) == 1 and len(made.run(2)) == 2 and len(asked) == 1


def test_the_gpu_is_observed_while_it_computes():
    """NVML is queried between a long kernel and the wait for its end."""
    fake = FakeCuda()

    class Monitor(NoNvml):
        def state(self):
            fake.log.append("asked")
            return GpuState(sm_mhz=1980)

    place = Cuda("cuda:0", fake, Monitor())
    assert place.observe() == GpuState(sm_mhz=1980) and fake.log == ["sleep", "asked", "synchronize"]
    assert place.readings(place.observe(), place.observe()) == {"sm_mhz": [1980, 1980]}


def test_long_turns_do_not_overfill_the_queue():
    """More runs than the device's queue holds are queued in several batches."""
    fake = FakeCuda()
    _, made = workload(fake, mode="graph")
    fake.log.clear()
    assert len(made.run(cuda.MAX_QUEUED + 7)) == cuda.MAX_QUEUED + 7
    assert fake.log.count("sleep") == 2


def test_without_a_graph_each_run_starts_on_an_idle_device():
    """Eager runs are not queued, because the host's launch time counts."""
    fake = FakeCuda()
    _, made = workload(fake, mode="eager")
    fake.log.clear()
    made.run(2)
    assert "sleep" not in fake.log and not any("replay" in line for line in fake.log)
    assert fake.log == ["synchronize", *["synchronize", "event", "event"] * 2, "synchronize"]


def test_inputs_exceed_the_cache():
    """There are more inputs than fit twice into the L2 cache, at least two and at most MAX_INPUTS."""
    count = {}
    for cache in (0, 1000, 5000, 1 << 30):
        count[cache] = Cuda("cuda:0", FakeCuda(cache=cache), NoNvml()).input_count(torch.zeros(1, 3, 8, 8))
    assert count == {0: 2, 1000: 3, 5000: 14, 1 << 30: cuda.MAX_INPUTS}


def test_tf32_follows_the_setting(monkeypatch):
    """float32 runs without tf32, tf32 with it, and the process's own flags are restored."""
    seen = []

    class Looks(nn.Module):
        def forward(self, x):
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            return x

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    for dtype, wanted in (("float32", False), ("tf32", True)):
        device = Cuda("cuda:0", FakeCuda(), NoNvml())
        with device.session():
            device.workload(InferenceForm(Looks(), 0, 0, traced=False), Setting(dtype=dtype), SHAPE).run(2)
        assert set(seen) == {(wanted, wanted)}
        seen.clear()
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def tf32_switches() -> list:
    """Return the tf32 settings by their new names, and by their old names if they are readable."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    found = [owner.fp32_precision for owner in (cudnn.conv, cudnn.rnn, matmul)]
    for owner in (cudnn, matmul):
        try:
            found.append(owner.allow_tf32)
        except RuntimeError:
            found.append("unreadable")
    return found


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9 has one name")
@pytest.mark.parametrize(("matmul", "conv"), [("tf32", "ieee"), ("ieee", "tf32"), ("none", "ieee")])
@pytest.mark.parametrize("dtype", ["float32", "tf32"])
def test_tf32_set_by_its_new_name(dtype, matmul, conv):
    """If the caller set tf32 by its new name, a network is measured as requested and the caller's settings are
    restored."""
    seen = []

    class Looks(nn.Module):
        def forward(self, x):
            seen.append(tf32_switches()[:3])
            return x

    switches = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    at_first, before = tf32_switches(), [switch.fp32_precision for switch in switches]
    try:
        for switch, value in zip(switches, (matmul, conv)):
            switch.fp32_precision = value
        set_so = tf32_switches()
        device = Cuda("cuda:0", FakeCuda(), NoNvml())
        made = device.workload(InferenceForm(Looks(), 0, 0, traced=False), Setting(dtype=dtype), SHAPE)
        assert len(made.run(2)) == 2
        assert {value == "tf32" for values in seen for value in values} == {dtype == "tf32"}
        assert tf32_switches() == set_so
    finally:
        for switch, value in zip(switches, before):
            switch.fp32_precision = value
    assert tf32_switches() == at_first


def energy(fake: FakeCuda, watts: float = 200.0, every_ms: float = 100.0) -> Nvml:
    """Return a card whose energy counter is updated at a fixed interval in milliseconds."""
    told = lambda handle: int(fake.now // every_ms * every_ms * watts)  # noqa: E731
    return Nvml(FakeNvml(nvmlDeviceGetTotalEnergyConsumption=told), "0123")


@pytest.mark.parametrize(("every_ms", "within"), [(0.1, 0.001), (20.0, 0.03), (100.0, 0.05)])
def test_energy_is_read_at_counter_updates(every_ms, within):
    """With a counter updated ten times a second, the energy per image is accurate."""
    fake = FakeCuda(replay_ms=0.5)
    device = Cuda("cuda:0", fake, energy(fake, every_ms=every_ms))
    made = device.workload(inference_form(network()), Setting(batch=4, mode="graph"), SHAPE)
    fake.now = 137.0
    assert device.joules_per_image(made) == pytest.approx(200 * 0.5e-3 / 4, rel=within)


def test_missing_energy_is_left_out():
    """A counter that stops or fails gives no number after a bounded time, nor does a short measurement."""
    for answer in (5_000, [5_000, 5_000, 6_000, FakeNvml.NVMLError("gone")]):
        fake = FakeCuda(replay_ms=0.5)
        device = Cuda("cuda:0", fake, Nvml(FakeNvml(nvmlDeviceGetTotalEnergyConsumption=answer), "0"))
        made = device.workload(inference_form(network()), Setting(mode="graph"), SHAPE)
        assert device.joules_per_image(made) is None and fake.now < 4 * cuda.ENERGY_MS
    hasty = Cuda("cuda:0", fake, energy(fake), time_scale=0.3)
    assert hasty.joules_per_image(made) is None


def test_the_interval_of_the_median_decides_when_to_stop():
    """Equal times are stable, and times that vary by several per cent are not."""
    assert cuda.has_converged([Run(1.0, (1.0,))] * 50)
    assert not cuda.has_converged([Run(1.0 + 0.01 * (n % 10), ()) for n in range(50)])


def test_whole_measurement(monkeypatch):
    """A measurement has replays, peak memory, energy per image, and clocks and limits in its environment."""
    monkeypatch.setattr("explorer.measure.latency.describe_environment", lambda name, threads: _machine())
    fake = FakeCuda(replay_ms=0.5)
    monitor = Nvml(
        FakeNvml(
            nvmlDeviceGetMaxClockInfo=1980,
            nvmlDeviceGetClockInfo=1980,
            nvmlDeviceGetTotalEnergyConsumption=lambda handle: int(200 * fake.now),
        ),
        "0123",
    )
    place = Cuda("cuda:0", fake, monitor)
    (found,) = measure_on(place, [Subject(network(), SHAPE, "d")], [Setting(batch=4, mode="graph")])
    assert found.reported_ms == found.median_ms == 0.5 and found.ci95_ms == (0.5, 0.5)
    assert found.drift == 0 and not found.contended
    weights, image = 4 * (4 * 27 + 4), 4 * 3 * 8 * 8 * 4  # the norm is folded
    assert found.peak_memory_bytes == weights + image + 4000
    assert found.device_state == {"sm_mhz": [1980, 1980], "memory_mhz": [1980, 1980]}
    assert found.joules_per_image == pytest.approx(200 * 0.5e-3 / 4)
    assert found.environment.limits["sm_mhz"] == 1980.0
    assert "1 of 1 batch norms folded" in found.method and "CUDA events" in found.method


def test_a_measurement_is_bounded(monkeypatch):
    """On any unstable card, one network at batch 1 and 32 takes less than two seconds of device time."""
    monkeypatch.setattr("explorer.measure.latency.describe_environment", lambda name, threads: _machine())
    fake = FakeCuda(replay_ms=1.0)
    place = Cuda("cuda:0", fake, NoNvml())
    place.stopping_rule = replace(place.stopping_rule, has_converged=lambda runs: False)
    monkeypatch.setattr("explorer.measure.protocol.is_steady", lambda values: False)
    settings = [Setting(batch=batch, mode="graph") for batch in (1, 32)]
    found = measure_on(place, [Subject(network(), SHAPE, "d")], settings)
    assert all(latency.runs >= 400 for latency in found) and fake.now < 2000


def test_latency_on_a_named_device(monkeypatch):
    """``explorer.latency`` on the second card uses graph mode by default, its own lock, and an environment with card,
    driver and CUDA."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"the card at {place}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: SimpleNamespace(uuid=f"of {place}"))
    monkeypatch.setattr(environment, "driver_version", lambda: "580.1")
    fake, made = FakeCuda(replay_ms=0.5), []
    monitor = Nvml(FakeNvml(nvmlDeviceGetMaxClockInfo=1980, nvmlDeviceGetApplicationsClock=1410), "0")

    def card(name, time_scale=1.0):
        made.append(name)
        return Cuda(name, fake, monitor, time_scale)

    monkeypatch.setattr(latency, "Cuda", card)
    with measuring("cuda:0"):
        found = explorer.latency(network(), device="cuda:1", batch=2, input=SHAPE)
    assert found.reported_ms == 0.5 and set(made) == {"cuda:1"}
    assert found.environment == latency.present_environment("cuda:1", Setting(batch=2, mode="graph"))
    machine = found.environment.machine
    assert (machine.device, machine.device_name) == ("cuda:1", "the card at cuda:1")
    assert {"cuda", "cudnn", "driver", "torch"} <= set(machine.versions)
    assert found.environment.limits["application_sm_mhz"] == 1410.0


def _machine():
    from explorer.system.environment import describe_environment

    return describe_environment("cpu", 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_on_a_gpu(monkeypatch, mode):
    """On a real GPU the time is positive with a narrow interval, and the measurement takes seconds."""
    monkeypatch.undo()
    architecture = load_space("he2016_orders.yaml").architecture(0)
    found = explorer.latency(architecture, device="cuda", batch=32, mode=mode)
    assert 0 < found.ci95_ms[0] <= found.median_ms <= found.ci95_ms[1] < 2 * found.ci95_ms[0]
    assert found.peak_memory_bytes > 0
