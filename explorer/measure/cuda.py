"""Timing on a GPU: CUDA events around CUDA-graph replays, and the GPU's state from NVML before and after.

Reviewed, and run with a fake ``torch.cuda``; not measured on a GPU yet.
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

from explorer.measure.cpu import compile_network, convert, random_images
from explorer.measure.fold import InferenceForm
from explorer.measure.protocol import Run, StoppingRule, Workload
from explorer.measure.settings import Setting
from explorer.measure.statistics import median, median_interval
from explorer.networks.ops.base import TensorShape
from explorer.system.nvml import GpuState, NoNvml, Nvml, disturbances, open_nvml, readings

MAX_INPUTS = 16  # inputs of one workload, each with its own graph; bounds memory and capture time
CONVERGED_SHARE = 0.005  # largest half-width of the median's confidence interval, as a share of the median
CAPTURE_WARM_UPS = 3  # eager passes before a capture, in which libraries choose algorithms and allocate workspaces
MAX_QUEUED = 300  # replays queued at once, each with two events; the device's queue holds about a thousand entries
SLEEP_CYCLES = 40_000  # device cycles, about 20 us, for the host to queue one replay; doubled if the host is slower
MAX_SLEEP_CYCLES = 1_280_000  # about 0.6 ms for each replay; bounds the time that a very slow host costs
BUSY_CYCLES = 40_000_000  # about 20 ms of work while NVML is read, since an idle GPU lowers its clocks
ENERGY_MS = 200.0  # time over which energy is measured; the counter is updated every 20 to 100 ms
ENERGY_POLL_MS = 5.0  # of work between two reads of the counter


def has_converged(runs: Sequence[Run]) -> bool:
    """Return whether half the width of the median's 95% interval is at most CONVERGED_SHARE of the median."""
    times = [run.ms for run in runs]
    low, high = median_interval(times)
    return (high - low) / 2 <= CONVERGED_SHARE * median(times)


class Cuda:
    """A GPU as a device to measure on.

    Args:
        name: The device, for example "cuda:0".
        cuda: ``torch.cuda``, or an object with the same functions. Default: ``torch.cuda``.
        monitor: NVML's view of the GPU. Default: found by the GPU's UUID.
        time_scale: Factor on the measuring time; below 1 the error grows to some per cent, and energy is not measured.
    """

    corrects_drift = True
    threads = 1  # of the host, which only launches kernels

    def __init__(
        self,
        name: str = "cuda:0",
        cuda: Any = None,
        monitor: Nvml | NoNvml | None = None,
        time_scale: float = 1.0,
    ):
        self.name = name
        self.stopping_rule = StoppingRule(
            has_converged,
            turn_ms=20 * time_scale,
            min_runs=50,
            max_ms=400 * time_scale,
            max_warm_up_ms=200,
        )
        self._reads_energy = time_scale >= 1
        self._cuda = torch.cuda if cuda is None else cuda
        self._properties = self._cuda.get_device_properties(name)
        self._capturing: tuple[Any, Any] | None = None  # capture stream and memory pool of the graphs
        self.monitor = monitor or open_nvml(str(getattr(self._properties, "uuid", "")))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Make the GPU the current device and turn cuDNN's benchmarking on within the ``with`` block.

        Both, and the state of the device's random number generator, are restored afterwards.
        """
        benchmark, rng_state = torch.backends.cudnn.benchmark, self._cuda.get_rng_state(self.name)
        torch.backends.cudnn.benchmark = True
        gc.freeze()  # each capture runs the garbage collector, which would search all objects of torch
        try:
            with self._cuda.device(self.name):
                yield
        finally:
            gc.unfreeze()
            self._cuda.set_rng_state(rng_state, self.name)
            torch.backends.cudnn.benchmark = benchmark

    def workload(self, form: InferenceForm, setting: Setting, shape: TensorShape) -> Workload:
        """Return the network as a workload on the device, compiled or captured as the mode says.

        Args:
            form: The network's inference form.
            setting: Batch, dtype, layout and mode.
            shape: Shape of one input image.
        """
        x, module = convert(random_images(setting.batch, shape), form.module, setting, self.name)
        with _precision(setting), torch.inference_mode():
            inputs = [torch.randn_like(x) for _ in range(self.input_count(x))]
            peak = self._peak_bytes(module, inputs[0])
            call = compile_network(module, inputs[0]) if setting.mode == "compile" else module
            launches = self._captured(call, inputs) if setting.mode == "graph" else [partial(call, x) for x in inputs]
        # A graph holds only the addresses of weights and inputs, so the workload keeps them alive.
        return _OnDevice(self._cuda, launches, setting, peak, keeps=(module, inputs))

    def _peak_bytes(self, module: nn.Module, x: Tensor) -> int:
        """Return the bytes of the weights, one input and the peak of one eager pass.

        The second pass is measured: in the first, libraries try algorithms and allocate workspaces that they keep.
        """
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
        """Return how many inputs to rotate: together more than twice the L2 cache, and 2 to MAX_INPUTS.

        Args:
            x: One input.
        """
        cache = getattr(self._properties, "L2_cache_size", 0)
        return min(MAX_INPUTS, max(2, -(-2 * cache // (x.numel() * x.element_size()))))

    def _captured(self, module: Callable[[Tensor], Any], inputs: Sequence[Tensor]) -> list[Callable[[], Any]]:
        """Capture one CUDA graph for each input and return the functions that replay them.

        All graphs of the device share one memory pool, since only one runs at a time. The stream belongs to this
        device: the default stream of ``torch.cuda.graph`` belongs to the first device on which the process captured.
        """
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
            # thread_local: CUDA calls of the caller's other threads must not invalidate this capture.
            with cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                module(x)
            launches.append(graph.replay)
        return launches

    def statistic(self, runs: Sequence[Run]) -> float:
        """Return the reported time, the median, in milliseconds."""
        return median([run.ms for run in runs])

    def method(self) -> str:
        """Return a line that says how the reported time is measured."""
        return "CUDA events around each run, inputs in turn; reported: median, corrected for drift of the reference"

    def observe(self) -> GpuState:
        """Return the GPU's state while it computes, since an idle GPU lowers its clocks."""
        self._cuda._sleep(BUSY_CYCLES)
        state = self.monitor.state()
        self._cuda.synchronize()
        return state

    def disturbance(self, before: GpuState, after: GpuState) -> list[str]:
        """Return a note for each disturbance between the two observations; see ``disturbances``."""
        return disturbances(before, after, self.monitor.active_since(before.moment))

    def readings(self, before: GpuState, after: GpuState) -> dict[str, list[float]] | None:
        """Return the clocks and temperature of the two observations; None where NVML reports none."""
        return readings(before, after)

    def limits(self) -> dict[str, float]:
        """Return the limits of clocks and power; see ``Nvml.limits``."""
        return self.monitor.limits()

    def peak_memory(self, workload: _OnDevice) -> int | None:
        """Return the peak memory of a workload, in bytes."""
        return workload.peak_memory_bytes

    def joules_per_image(self, workload: _OnDevice) -> float | None:
        """Return the energy of the whole card for one image, in joules, while it runs only this workload.

        Measured between two updates of the energy counter that are at least ENERGY_MS of work apart.

        Args:
            workload: The workload.

        Returns:
            The energy; None if ``time_scale`` is below 1, or the card has no energy counter or does not update it.
        """
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
    """A network on the GPU, with its inputs.

    Attributes:
        setting: The setting it runs under.
        peak_memory_bytes: Bytes of the weights, one input and the peak of one eager pass.
    """

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
        """Run the network ``times`` times in a row.

        Graph replays are queued while the device sleeps, so that no delay of the host falls between their events. If
        the device was idle before the next replay was queued, the replays are repeated with a longer sleep.

        Without a graph each run starts on an idle device, and the time to launch its kernels counts, because users of
        this mode wait for it too.
        """
        runs: list[Run] = []
        while len(runs) < times:
            runs += self._queued(min(times - len(runs), MAX_QUEUED))
        return runs

    def work(self, times: int, while_running: Callable[[], Any]) -> tuple[float, Any]:
        """Run the network ``times`` times without a pause.

        Args:
            times: Number of runs.
            while_running: Called after all runs have been queued.

        Returns:
            The milliseconds of all runs together, and the result of ``while_running``.
        """
        began, ended = (self._cuda.Event(enable_timing=True) for _ in range(2))
        with _precision(self.setting), torch.inference_mode():
            began.record()
            for _ in range(times):
                next(self._launches)()
            ended.record()
            answer = while_running()
            self._cuda.synchronize()
        return began.elapsed_time(ended), answer

    def _queued(self, times: int) -> list[Run]:
        """Run the network ``times`` times, at most MAX_QUEUED, with events around each run."""
        cuda, queue = self._cuda, self.setting.mode == "graph"
        events = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(times)]
        was_idle, last = False, None
        with _precision(self.setting), torch.inference_mode():
            cuda.synchronize()
            if queue:
                cuda._sleep(self._sleep_cycles * times)
            for began, ended in events:
                if queue:
                    was_idle = was_idle or (last is not None and last.query())
                else:
                    cuda.synchronize()
                began.record()
                next(self._launches)()
                ended.record()
                last = ended
            cuda.synchronize()
        if was_idle and self._sleep_cycles < MAX_SLEEP_CYCLES:
            self._sleep_cycles *= 2
            return self._queued(times)
        times_ms = [began.elapsed_time(ended) for began, ended in events]
        return [Run(ms, (ms,)) for ms in times_ms]


@contextmanager
def _precision(setting: Setting) -> Iterator[None]:
    """Turn TF32 on for "tf32" and off for all other dtypes; cuDNN uses it for float32 by default."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    with ExitStack() as restored:
        for older, newer in ((cudnn, ("conv", "rnn")), (matmul, ())):
            _switch_tf32(restored, older, [getattr(older, name, None) for name in newer] or [older], setting)
        yield


def _switch_tf32(restored: ExitStack, older: Any, newer: Sequence[Any], setting: Setting) -> None:
    """Turn TF32 on or off, and register with ``restored`` the calls that restore the earlier values.

    Since torch 2.9 there is ``fp32_precision`` of ``newer`` in addition to ``allow_tf32`` of ``older``. ``allow_tf32``
    keeps a value of its own and raises RuntimeError on reading while the two disagree. In that case it must not be
    written: its earlier value is unknown and cannot be restored, so the two would disagree for good, and torch.export,
    which reads it, would fail.
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
