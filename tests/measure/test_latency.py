"""Complete latency measurements on this CPU."""

from __future__ import annotations

import json
import os
from functools import partial

import pytest
import torch
from torch import nn

import explorer
from explorer.errors import MeasurementError
from explorer.measure import child, latency
from explorer.measure.protocol import MeasurementFailed
from explorer.measure.result import Latency, LatencyEnvironment
from explorer.measure.settings import make_settings
from explorer.records import Environment
from explorer.space.search_space import load_space

SPACE = load_space("he2016_orders.yaml")


def settings(*batches):
    return make_settings("cpu", batches, ["float32"], ["nchw"], ["eager"])


def test_an_architecture_in_a_separate_process():
    """The result has a latency with its spread, method and environment, and this process is unchanged."""
    before = os.sched_getaffinity(0), torch.get_num_threads()
    architecture = SPACE.architecture(0)
    found = explorer.latency(architecture, device="cpu", batch=2)
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == before
    assert found.digest == architecture.digest
    assert 0 < found.reported_ms <= found.median_ms
    assert found.p05_ms <= found.ci95_ms[0] <= found.median_ms <= found.ci95_ms[1] <= found.p95_ms
    assert found.runs >= 40 and found.throughput == pytest.approx(2000 / found.reported_ms)
    assert found.environment.machine.threads == 1
    assert "batch norms folded" in found.method and "1 thread" in found.method
    assert Latency.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "peak_memory_bytes" not in found.to_dict() and "joules_per_image" not in found.to_dict()


@pytest.fixture
def hurried(monkeypatch):
    """A module is measured for a fraction of the usual time, which a busy machine uses up."""
    monkeypatch.setattr(latency, "measure", partial(latency.measure, time_scale=0.02))


@pytest.mark.slow
def test_a_module_in_this_process(hurried):
    """A built network knows its input and digest, another module needs an input, and the random state is unchanged."""
    network = explorer.build(SPACE.architecture(0)).train()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = explorer.latency(network, device="cpu")
    assert torch.equal(torch.rand(2), expected)
    assert found.digest == SPACE.architecture(0).digest and network.training
    other = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert explorer.latency(other, device="cpu", input=(3, 16, 16)).digest == ""
    with pytest.raises(MeasurementError, match="pass input="):
        explorer.latency(other, device="cpu")


@pytest.mark.slow
def test_order_and_environments():
    """Latencies are ordered by networks and then settings, and each batch size is one environment for all networks and
    cores."""
    heard = []
    architectures = [SPACE.architecture(0), SPACE.architecture(4)]
    found = child.measure_in_child(architectures, settings(1, 4), "cpu", time_scale=0.02, on_latency=heard.append)
    assert [(each.digest, each.environment.batch) for each in found] == [
        (architecture.digest, batch) for architecture in architectures for batch in (1, 4)
    ]
    assert heard == found
    digests = [each.environment.digest for each in found]
    assert digests[0] == digests[2] != digests[1] == digests[3]


def test_the_commit_is_not_in_the_environment():
    """Another commit with the same protocol has the same environment, and another version of torch has another."""
    from dataclasses import replace

    machine = Environment("cpu", "a processor", 1, "here", "3", {"torch": "2"}, commit="one")
    found = LatencyEnvironment(machine, 1, "float32", "nchw", "eager", 1, {})
    moved = replace(found, machine=replace(machine, commit="another"))
    newer = replace(found, machine=replace(machine, versions={"torch": "99"}))
    assert moved.digest == found.digest != newer.digest


def test_the_index_of_a_gpu_is_not_in_the_environment():
    """Two cards with the same model, driver and limits are one environment, and any difference makes another."""
    from dataclasses import replace

    versions = {"torch": "2", "driver": "550"}
    machine = Environment("cuda:0", "a card", 1, "here", "3", versions)
    first = LatencyEnvironment(machine, 1, "float32", "nchw", "graph", 1, {"sm_mhz": 1980.0, "power_watts": 350.0})
    assert replace(first, machine=replace(machine, device="cuda:1")).digest == first.digest
    others = [
        replace(first, machine=replace(machine, device="cpu")),
        replace(first, machine=replace(machine, device_name="another")),
        replace(first, machine=replace(machine, versions={**versions, "driver": "551"})),
        replace(first, limits={"sm_mhz": 1980.0, "power_watts": 300.0}),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 5


def test_errors_of_the_child_process(monkeypatch):
    """An error in the child gives one line: a rejection as such, anything else as a failure."""
    with pytest.raises(MeasurementError, match="core 4711 is not available") as refused:
        child.measure_in_child([SPACE.architecture(0)], settings(1), "cpu", cores=[4711])
    assert not isinstance(refused.value, MeasurementFailed)
    monkeypatch.setattr(child, "_MAIN", "import os; os._exit(3)")
    with pytest.raises(MeasurementFailed, match="ended with status 3 and without a result"):
        child.measure_in_child([SPACE.architecture(0)], settings(1), "cpu")
    monkeypatch.setattr(child, "_MAIN", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(MeasurementFailed, match="was killed, probably because memory ran out; use a smaller"):
        child.measure_in_child([SPACE.architecture(0)], settings(1), "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["compile", "onnxruntime"])
def test_other_modes(mode, hurried):
    """Compiled and exported networks are measured too, each mode in its own environment."""
    pytest.importorskip("onnxruntime")
    small = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    found = explorer.latency(small, device="cpu", mode=mode, input=(3, 16, 16))
    assert found.environment.mode == mode and found.reported_ms > 0
    assert ("onnxruntime" in found.environment.machine.versions) == (mode == "onnxruntime")
