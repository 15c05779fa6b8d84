"""Timing on a GPU: by its own clock, around CUDA-graph replays, with what NVML knows before and after.

Reviewed and run against a stand-in for ``torch.cuda``; not measured on a GPU yet.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, cycle
from typing import Any

import torch
from torch import Tensor, nn

from explorer.measure.cpu import compiled, convert, random_images
from explorer.measure.fold import InferenceForm
from explorer.measure.protocol import Run, StoppingRule, Workload
from explorer.measure.settings import Setting
from explorer.measure.statistics import median, median_interval
from explorer.networks.ops.base import TensorShape
from explorer.system.nvml import GpuState, NoNvml, Nvml, disturbances, open_nvml, readings

MAX_INPUTS = 16
CONVERGED_SHARE = 0.005  # of the median, half its interval
CAPTURE_WARM_UPS = 3  # eager passes before a capture: libraries choose their algorithms and get their workspaces
MAX_QUEUED = 300  # replays that wait in the device's queue, each with two events; it holds about a thousand
SLEEP_CYCLES = 40_000  # device cycles, some 20 us, in which the host is to queue one replay; doubled where it cannot
MAX_SLEEP_CYCLES = 1_280_000
BUSY_CYCLES = 40_000_000  # some 20 ms of work, while NVML is asked: an idle card lowers its clocks
ENERGY_MS = 200.0  # the energy counter moves every 20 to 100 ms
ENERGY_POLL_MS = 5.0  # of work between two looks at it


def has_converged(runs: Sequence[Run]) -> bool:
    """Whether the interval of the median reaches no further than CONVERGED_SHARE to either side."""
    times = [run.ms for run in runs]
    low, high = median_interval(times)
    return (high - low) / 2 <= CONVERGED_SHARE * median(times)


class Cuda:
    """The GPU ``name`` ("cuda:0"). ``cuda``: torch.cuda, or what behaves like it; ``monitor``: NVML's view of it;
    ``time_scale``: below 1 for a number in which an error of some per cent may be."""

    corrects_drift = True
    threads = 1  # of the host's, which only launches

    def __init__(
        self,
        name: str = "cuda:0",
        cuda: Any = None,
        monitor: Nvml | NoNvml | None = None,
        time_scale: float = 1.0,
    ):
        self.name = name
        self.stopping_rule = StoppingRule(
            has_converged, turn_ms=20 * time_scale, min_runs=50, max_ms=400 * time_scale, max_warm_up_ms=200
        )
        self._reads_energy = time_scale >= 1
        self._cuda = torch.cuda if cuda is None else cuda
        self._properties = self._cuda.get_device_properties(name)
        self._capturing: tuple[Any, Any] | None = None  # the stream on which graphs are captured, and their memory
        self.monitor = monitor or open_nvml(str(getattr(self._properties, "uuid", "")))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Makes it the current device and lets cuDNN try its algorithms out; all is put back afterwards, and so are the
        device's random numbers."""
        trying_out, drawn = torch.backends.cudnn.benchmark, self._cuda.get_rng_state(self.name)
        torch.backends.cudnn.benchmark = True
        gc.freeze()  # each capture collects garbage, and need not look through all of torch for it
        try:
            with self._cuda.device(self.name):
                yield
        finally:
            gc.unfreeze()
            self._cuda.set_rng_state(drawn, self.name)
            torch.backends.cudnn.benchmark = trying_out

    def workload(self, form: InferenceForm, setting: Setting, shape: TensorShape) -> Workload:
        """The network on the device, compiled or captured where the mode says so, with its inputs."""
        x, module = convert(random_images(setting.batch, shape), form.module, setting, self.name)
        with _precision(setting), torch.inference_mode():
            inputs = [torch.randn_like(x) for _ in range(self.input_count(x))]
            peak = self._peak_bytes(module, inputs[0])
            call = compiled(module, inputs[0]) if setting.mode == "compile" else module
            launches = self._captured(call, inputs) if setting.mode == "graph" else [partial(call, x) for x in inputs]
        # A graph knows the addresses of weights and inputs and does not keep them alive: the workload does.
        return _OnDevice(self._cuda, launches, setting, peak, keeps=(module, inputs))

    def _peak_bytes(self, module: nn.Module, x: Tensor) -> int:
        """Weights, one input, and the most that an eager pass holds beside them; of the second pass, for in the first
        libraries try algorithms out and take workspaces that they keep."""
        cuda = self._cuda
        module(x)
        cuda.synchronize()
        held = cuda.memory_allocated(self.name)
        cuda.reset_peak_memory_stats(self.name)
        module(x)
        cuda.synchronize()
        fixed = sum(tensor.nbytes for tensor in chain(module.parameters(), module.buffers(), [x]))
        return fixed + int(cuda.max_memory_allocated(self.name)) - int(held)

    def input_count(self, x: Tensor) -> int:
        """How many inputs are taken in turn: more than twice the L2 cache holds, and at most MAX_INPUTS."""
        cache = getattr(self._properties, "L2_cache_size", 0)
        return min(MAX_INPUTS, max(2, -(-2 * cache // (x.numel() * x.element_size()))))

    def _captured(self, module: Callable[[Tensor], Any], inputs: Sequence[Tensor]) -> list[Callable[[], Any]]:
        """One graph an input; they share their memory with each other and with those of other networks, for they never
        run at once. The stream is this device's own: what ``torch.cuda.graph`` takes when none is named belongs to the
        first device that the process captured on."""
        cuda = self._cuda
        if self._capturing is None:
            self._capturing = cuda.Stream(self.name), cuda.graph_pool_handle()
        stream, pool = self._capturing
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream):
            for _ in range(CAPTURE_WARM_UPS):
                module(inputs[0])
        cuda.current_stream().wait_stream(stream)
        cuda.synchronize()
        launches = []
        for x in inputs:
            graph = cuda.CUDAGraph()
            # thread_local: what other threads of the caller's process do meanwhile is no fault of this capture.
            with cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                module(x)
            launches.append(graph.replay)
        return launches

    def statistic(self, runs: Sequence[Run]) -> float:
        return median([run.ms for run in runs])

    def method(self) -> str:
        return "CUDA events around each run, inputs in turn; reported: median, corrected by the reference's pace"

    def observe(self) -> GpuState:
        """While it computes, for an idle card lowers its clocks."""
        self._cuda._sleep(BUSY_CYCLES)
        state = self.monitor.state()
        self._cuda.synchronize()
        return state

    def disturbance(self, before: GpuState, after: GpuState) -> list[str]:
        return disturbances(before, after, self.monitor.at_work_since(before.moment))

    def readings(self, before: GpuState, after: GpuState) -> dict[str, list[float]] | None:
        return readings(before, after)

    def limits(self) -> dict[str, float]:
        return self.monitor.limits()

    def peak_memory(self, workload: _OnDevice) -> int | None:
        return workload.peak_memory_bytes

    def joules_per_image(self, workload: _OnDevice) -> float | None:
        """The card's whole energy while it does nothing else, by the image: between two moments at which its counter
        moved, ENERGY_MS of work apart or a little more. None where it does not tell or does not move, or where there
        is no time_scale for it."""
        if not self._reads_energy or self.monitor.joules() is None:
            return None
        one_ms, count = workload.work(1, self.monitor.joules)
        times = max(1, min(MAX_QUEUED, round(ENERGY_POLL_MS / one_ms))) if one_ms > 0 else MAX_QUEUED
        first: tuple[float, int, float] | None = None
        runs, ms = 0, 0.0
        while count is not None and ms < 3 * ENERGY_MS:
            before, (took_ms, count) = count, workload.work(times, self.monitor.joules)
            if count is not None and count > before:  # the counter has moved
                if first is None:
                    first = count, runs, ms
                elif ms - first[2] >= ENERGY_MS:
                    return float(count - first[0]) / (runs - first[1]) / workload.setting.batch
            runs, ms = runs + times, ms + took_ms
        return None


class _OnDevice:
    """Runs on the device. ``peak_memory_bytes``: weights, one input and one eager pass."""

    def __init__(
        self, cuda: Any, launches: Sequence[Callable[[], Any]], setting: Setting, peak_memory_bytes: int, keeps: Any
    ):
        self._cuda = cuda
        self._launches = cycle(launches)
        self._keeps = keeps
        self._sleep_cycles = SLEEP_CYCLES
        self.setting = setting
        self.peak_memory_bytes = peak_memory_bytes

    def run(self, times: int) -> list[Run]:
        """Replays are queued while the device sleeps, so that no gap of the host's comes between their events. Where
        the device had nothing left to do before the next was queued, they are run again behind a longer sleep.

        Without a graph each run begins on an idle device and the host's work to launch it counts: whoever
        runs the network in that way waits for it.
        """
        runs: list[Run] = []
        while len(runs) < times:
            runs += self._queued(min(times - len(runs), MAX_QUEUED))
        return runs

    def work(self, times: int, meanwhile: Callable[[], Any]) -> tuple[float, Any]:
        """Runs it so many times with nothing in between. The milliseconds that all of it took, and what ``meanwhile``
        answered once the device had begun."""
        began, ended = (self._cuda.Event(enable_timing=True) for _ in range(2))
        with _precision(self.setting), torch.inference_mode():
            began.record()
            for _ in range(times):
                next(self._launches)()
            ended.record()
            answer = meanwhile()
            self._cuda.synchronize()
        return began.elapsed_time(ended), answer

    def _queued(self, times: int) -> list[Run]:
        cuda, queue = self._cuda, self.setting.mode == "graph"
        events = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(times)]
        starved, last = False, None
        with _precision(self.setting), torch.inference_mode():
            cuda.synchronize()
            if queue:
                cuda._sleep(self._sleep_cycles * times)
            for began, ended in events:
                if queue:
                    starved = starved or (last is not None and last.query())
                else:
                    cuda.synchronize()
                began.record()
                next(self._launches)()
                ended.record()
                last = ended
            cuda.synchronize()
        if starved and self._sleep_cycles < MAX_SLEEP_CYCLES:
            self._sleep_cycles *= 2
            return self._queued(times)
        times_ms = [began.elapsed_time(ended) for began, ended in events]
        return [Run(ms, (ms,)) for ms in times_ms]


@contextmanager
def _precision(setting: Setting) -> Iterator[None]:
    """float32 is float32 and tf32 is tf32; cuDNN would take tf32 for either unless told."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    with ExitStack() as restored:
        for older, newer in ((cudnn, ("conv", "rnn")), (matmul, ())):
            _switch_tf32(restored, older, [getattr(older, name, None) for name in newer] or [older], setting)
        yield


def _switch_tf32(restored: ExitStack, older: Any, newer: Sequence[Any], setting: Setting) -> None:
    """Switches tf32 on or off, and has ``restored`` put the switches back.

    Since torch 2.9 ``fp32_precision`` of ``newer`` stands beside ``allow_tf32`` of ``older``, which keeps a value of
    its own and refuses to be read while the two disagree. Then it must not be written: what it was could not be put
    back, and would disagree for ever; torch.export, which reads it, would fail.
    """
    on = setting.dtype == "tf32"
    before = [(owner, owner.fp32_precision) for owner in newer if hasattr(owner, "fp32_precision")]
    for owner, value in before:
        restored.callback(setattr, owner, "fp32_precision", value)
    try:
        restored.callback(setattr, older, "allow_tf32", older.allow_tf32)
    except RuntimeError:
        for owner, _ in before:
            owner.fp32_precision = "tf32" if on else "ieee"
    else:
        older.allow_tf32 = on
