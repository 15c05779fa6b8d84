"""Timing on this CPU: pinned cores, timed parts, and detection of other load."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest
import torch
from torch import nn

import explorer
from explorer.errors import MeasurementError
from explorer.measure import cpu
from explorer.measure.cpu import Cpu, compile_network
from explorer.measure.cpu_load import CpuTimes, cpu_times, other_load
from explorer.measure.fold import inference_form
from explorer.measure.settings import Setting
from explorer.space.search_space import load_space
from explorer.system.cores import usable_cores

linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")


@pytest.fixture(scope="module")
def form():
    return inference_form(explorer.build(load_space("he2016_orders.yaml").architecture(0)))


SHAPE = load_space("he2016_orders.yaml").input


@linux
def test_a_session_restores_the_process():
    """A session sets the given cores and threads, and afterwards, also after an error, the former ones are restored."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    with pytest.raises(RuntimeError, match="inside"), Cpu(threads=1, cores=[min(cores)]).session():
        assert os.sched_getaffinity(0) == {min(cores)} and torch.get_num_threads() == 1
        raise RuntimeError("inside")
    assert os.sched_getaffinity(0) == cores and torch.get_num_threads() == threads


@linux
@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_and_the_other_threads_of_the_process(threads):
    """Existing threads are pinned only if several cores are given, and threads started in a session are unpinned
    afterwards."""
    usable = os.sched_getaffinity(0)
    core, end = {max(usable)}, threading.Event()

    def begin():
        thread = threading.Thread(target=end.wait)
        thread.start()
        return thread

    device = Cpu(threads=threads)
    device.cores = sorted(core)
    there, others = begin(), []
    try:
        with device.session():
            others.append(begin())
            assert os.sched_getaffinity(others[0].native_id) == core
            assert os.sched_getaffinity(there.native_id) == (core if threads > 1 else usable)
        for thread in (there, *others):
            assert os.sched_getaffinity(thread.native_id) == usable
        assert os.sched_getaffinity(0) == usable
    finally:
        end.set()
        for thread in (there, *others):
            thread.join()


@linux
def test_unavailable_cores_are_rejected():
    """A core outside the process's affinity, no threads, and more threads than cores are rejected."""
    with pytest.raises(MeasurementError, match="core 4711 is not available; this process may use"):
        Cpu(cores=[4711])
    with pytest.raises(MeasurementError, match="threads must be at least 1"):
        Cpu(threads=0)
    with pytest.raises(MeasurementError, match="2 threads on 1 cores"):
        Cpu(threads=2, cores=[min(os.sched_getaffinity(0))])


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parts_add_up_to_the_run(form, dtype, layout):
    """A traced network is timed in parts of at least half a millisecond, which add up to the run without waiting
    time."""
    device = Cpu()
    with device.session():
        runs = device.workload(form, Setting(16, dtype, layout), SHAPE).run(3)
    assert len({len(run.parts) for run in runs}) == 1 and len(runs[0].parts) > 1
    assert all(0 < sum(run.parts) <= run.ms + 0.1 for run in runs)
    assert 0 < device.statistic(runs) <= min(sum(run.parts) for run in runs)


def test_parts_are_coarse(form):
    """Every part but the last takes about PART_MS or more, because reading the clock more often would distort the
    result."""
    device = Cpu()
    with device.session():
        runs = device.workload(form, Setting(16), SHAPE).run(1)
    assert all(part > cpu.PART_MS / 2 for part in runs[0].parts[:-1])


def test_marks_do_not_change_outputs(form):
    """The network with clock marks has the same output as without."""
    x = torch.randn(2, *SHAPE)
    timed = cpu._NetworkInParts(form.module, x, lambda: 0)
    with torch.inference_mode():
        torch.testing.assert_close(timed._module(x), form.module(x))


def test_load_of_other_processes():
    """The session reports the share of the pinned cores' time used by others, and the load of the other cores."""
    before = CpuTimes({0: 10.0, 1: 20.0}, own=5.0, moment=0.0)
    assert other_load(before, CpuTimes({0: 20.0, 1: 20.0}, own=15.0, moment=10.0), pinned=[0]) == []
    half = other_load(before, CpuTimes({0: 20.0, 1: 21.0}, own=10.0, moment=10.0), pinned=[0])
    assert half == ["other processes took 50% of the pinned cores' time"]
    beside = other_load(before, CpuTimes({0: 20.0, 1: 29.0}, own=15.0, moment=10.0), pinned=[0])
    assert beside == ["the other cores were busy 90% of the time"]
    assert other_load(CpuTimes({}, 0.0, 0.0), CpuTimes({}, 1.0, 10.0), pinned=[]) == []


def test_core_times_of_linux(tmp_path):
    """Each core's busy time in seconds is read from /proc/stat, without idle and I/O wait."""
    ticks = os.sysconf("SC_CLK_TCK")
    (tmp_path / "stat").write_text(
        f"cpu  9 9 9 9\ncpu0 {ticks} {ticks} {2 * ticks} 500 500 0 0 {ticks} 0 0\ncpu1 0 0 0 9 9\nintr 5\n"
    )
    assert cpu_times(tmp_path / "stat").cores == {0: 5.0, 1: 0.0}
    assert cpu_times(tmp_path / "none").cores == {}


def test_untraceable_networks_are_timed_as_a_whole():
    """A network that fx cannot trace is one part."""

    class Odd(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    device = Cpu()
    with device.session():
        runs = device.workload(inference_form(Odd()), Setting(), SHAPE).run(2)
    assert [len(run.parts) for run in runs] == [1, 1]


def test_each_network_is_compiled_separately(monkeypatch):
    """The tenth module of a class is compiled like the first one, and another batch size is compiled again."""
    graphs = []

    def backend(graph, inputs):
        graphs.append([tuple(each.shape) for each in inputs if each.ndim == 4])
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    for width in range(1, 11):
        compile_network(nn.Sequential(nn.Conv2d(3, width, 1), nn.ReLU()).eval(), torch.ones(1, 3, 8, 8))
    assert len(graphs) == 10
    network = nn.Sequential(nn.Conv2d(3, 11, 1), nn.ReLU()).eval()
    for batch in (1, 4, 7):
        compile_network(network, torch.ones(batch, 3, 8, 8))
    assert [shapes[-1] for shapes in graphs[10:]] == [(batch, 3, 8, 8) for batch in (1, 4, 7)]
    assert all(isinstance(size, int) for shapes in graphs for shape in shapes for size in shape)
