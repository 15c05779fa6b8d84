"""Timing on a CPU that other processes use too: few pinned threads, and a statistic that is robust to other load."""

from __future__ import annotations

import copy
import gc
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn

from explorer.errors import MeasurementError
from explorer.measure.cpu_load import CpuTimes, cpu_times, least_busy, other_load
from explorer.measure.fold import InferenceForm
from explorer.measure.protocol import Run, StoppingRule, Workload
from explorer.measure.settings import Setting
from explorer.networks.ops.base import TensorShape
from explorer.system.cores import allowed_cores

PART_MS = 0.5  # shortest part of a network that is timed separately: each reading of the clock takes time
CONVERGED_SHARE = 0.005  # largest share by which the second half of the runs may still lower the statistic
MIN_TOTAL_MS = 500.0  # the network's own time before the statistic can count as converged
RECOMPILE_LIMIT = 1 << 16  # torch's default allows 8 compiled modules of one class, a search measures more
TORCH_DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def low_statistic(runs: Sequence[Run]) -> float:
    """Return the sum, over the parts of the network, of the shortest time of each part, in milliseconds.

    Other load can lengthen a run and never shorten it. On a busy machine no run of a long network is undisturbed, but
    each of its parts is undisturbed in some run. Times of 0 are left out: on a busy virtual machine the clock of
    processor time sometimes does not advance.

    Args:
        runs: At least one run; all have the same number of parts.
    """
    return sum(min((ms for ms in part if ms > 0), default=0.0) for part in zip(*(run.parts for run in runs)))


def has_converged(runs: Sequence[Run], min_total_ms: float = MIN_TOTAL_MS) -> bool:
    """Return whether the second half of the runs lowered the low statistic by at most CONVERGED_SHARE.

    Args:
        runs: All runs so far.
        min_total_ms: The network's own time over all runs, in milliseconds, below which the answer is False.
    """
    if sum(sum(run.parts) for run in runs) < min_total_ms:
        return False
    return low_statistic(runs[: len(runs) // 2]) <= (1 + CONVERGED_SHARE) * low_statistic(runs)


class Cpu:
    """The CPU as a device to measure on.

    Args:
        threads: Computing threads, at least 1 and at most the number of cores.
        cores: Numbers of the cores to pin to. Default: the ``threads`` cores that are least busy now.
        time_scale: Factor on the measuring time; below 1 the error grows to some per cent.

    Raises:
        MeasurementError: This process may not use one of the cores, or there are more threads than cores.
    """

    name = "cpu"
    corrects_drift = False  # the shortest time of a part does not depend on the load at other times

    def __init__(self, threads: int = 1, cores: Collection[int] | None = None, time_scale: float = 1.0):
        if threads < 1:
            raise MeasurementError(f"threads must be at least 1, found {threads}")
        allowed = allowed_cores()
        if cores is not None and (foreign := sorted(set(cores) - set(allowed))):
            usable = ", ".join(map(str, allowed)) or "none by name"
            raise MeasurementError(f"core {foreign[0]} is not available; this process may use {usable}")
        if allowed and threads > len(cores or allowed):
            raise MeasurementError(f"{threads} threads on {len(cores or allowed)} cores would wait for each other")
        self.threads = threads
        self.stopping_rule = StoppingRule(
            partial(has_converged, min_total_ms=time_scale * MIN_TOTAL_MS),
            turn_ms=10,
            min_runs=max(6, round(40 * time_scale)),
            max_ms=12_000 * time_scale,
            max_warm_up_ms=1_000 * time_scale,
        )
        self.cores = sorted(cores) if cores else least_busy(allowed)[:threads]
        # The CPU clock of a thread stops while another process has the core. Several threads have no common CPU clock,
        # so wall time is used for them.
        self._clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns

    @contextmanager
    def session(self) -> Iterator[None]:
        """Pin threads and set torch's number of threads within the ``with`` block; restore both afterwards.

        With one computing thread only the calling thread is pinned, else all threads of the process. Threads that
        started within the block get the affinity that the calling thread had before it.
        """
        pinned, threads, collecting = bool(self.cores), torch.get_num_threads(), gc.isenabled()
        own = threading.get_native_id()
        before = _affinities() if pinned else {}
        torch.set_num_threads(self.threads)
        gc.disable()
        try:
            for thread in before if self.threads > 1 else before.keys() & {own}:
                _pin(thread, self.cores)
            yield
        finally:
            for thread in _affinities() if pinned else ():
                _pin(thread, before.get(thread, before[own]))
            torch.set_num_threads(threads)
            if collecting:
                gc.enable()

    def workload(self, form: InferenceForm, setting: Setting, shape: TensorShape) -> Workload:
        """Return the network as a workload.

        Args:
            form: The network's inference form.
            setting: Batch, dtype, layout and mode.
            shape: Shape of one input image.

        Raises:
            MeasurementError: The network cannot run in this mode.
        """
        x, module = convert(random_images(setting.batch, shape), form.module, setting)
        if setting.mode == "onnxruntime":
            return _WholeNetwork(_onnx_session(module, x, self.threads), self._clock)
        if setting.mode == "compile":
            return _WholeNetwork(partial(compile_network(module, x), x), self._clock)
        if not isinstance(module, fx.GraphModule):
            return _WholeNetwork(partial(module, x), self._clock)
        return _NetworkInParts(module, x, self._clock)

    def statistic(self, runs: Sequence[Run]) -> float:
        """Return the reported time, the low statistic, in milliseconds."""
        return low_statistic(runs)

    def method(self) -> str:
        """Return a line that says how the reported time is measured."""
        cores = f", pinned to core {', '.join(map(str, self.cores))}" if self.cores else ", not pinned"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        clock = "its CPU time" if self.threads == 1 else "wall time"
        return f"{threads}{cores}; reported: sum of the shortest times of parts of {PART_MS:g} ms and more, {clock}"

    def observe(self) -> CpuTimes:
        """Return the processor times now."""
        return cpu_times()

    def limits(self) -> dict[str, float]:
        """Return nothing: the limits of a CPU's clocks are not read."""
        return {}

    def peak_memory(self, workload: Workload) -> int | None:
        """Return None: the memory of a workload on a CPU is not measured."""
        return None

    def joules_per_image(self, workload: Workload) -> float | None:
        """Return None: the energy of a CPU is not measured."""
        return None

    def readings(self, before: CpuTimes, after: CpuTimes) -> None:
        """Return None: the clocks and temperature of a CPU are not read."""

    def disturbance(self, before: CpuTimes, after: CpuTimes) -> list[str]:
        """Return a note for each kind of other load between the two observations; see ``other_load``."""
        return other_load(before, after, self.cores)


def _affinities() -> dict[int, set[int]]:
    """Return thread id -> cores that the thread may use.

    Covers all threads of the process on Linux, else only the calling thread.
    """
    found = {threading.get_native_id(): os.sched_getaffinity(0)}
    tasks = "/proc/self/task"
    for name in os.listdir(tasks) if os.path.isdir(tasks) else ():
        with suppress(ProcessLookupError):  # the thread has ended since
            found[int(name)] = os.sched_getaffinity(int(name))
    return found


def _pin(thread: int, cores: Collection[int]) -> None:
    """Bind a thread to the cores; do nothing if the thread has ended."""
    with suppress(ProcessLookupError):
        os.sched_setaffinity(thread, cores)


def random_images(batch: int, shape: TensorShape) -> Tensor:
    """Return the same random images at every call, whatever torch's default device and dtype.

    Args:
        batch: Number of images.
        shape: Shape (C, H, W) of one image.

    Returns:
        A float32 tensor (batch, C, H, W) on the CPU.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(batch, *shape, generator=generator, device="cpu", dtype=torch.float32)


def convert(x: Tensor, module: nn.Module, setting: Setting, device: str = "cpu") -> tuple[Tensor, nn.Module]:
    """Return the input and a copy of the network in the setting's dtype and layout.

    Args:
        x: Input (N, C, H, W).
        module: The network, which stays as it is.
        setting: The dtype and layout.
        device: torch device of the results.
    """
    memory_format = torch.channels_last if setting.layout == "channels_last" else torch.contiguous_format
    dtype = TORCH_DTYPES[setting.dtype]
    module = copy.deepcopy(module)
    module.to(device=device, dtype=dtype, memory_format=memory_format)  # type: ignore[call-overload]  # torch annotates no memory_format
    return x.to(device=device, dtype=dtype, memory_format=memory_format), module


class _WholeNetwork:
    """A network that is timed from end to end, as one part."""

    def __init__(self, call: Callable[[], Any], clock: Callable[[], int]):
        self._call = call
        self._clock = clock

    def run(self, times: int) -> list[Run]:
        runs, call, clock, wall = [], self._call, self._clock, time.perf_counter_ns
        with torch.inference_mode():
            for _ in range(times):
                began, first = wall(), clock()
                call()
                last, ended = clock(), wall()
                runs.append(Run((ended - began) / 1e6, ((last - first) / 1e6,)))
        return runs


class _NetworkInParts:
    """A traced network that reads the clock between parts of at least PART_MS.

    Five runs with a clock reading after every operation decide where the parts end.
    """

    def __init__(self, module: fx.GraphModule, x: Tensor, clock: Callable[[], int]):
        self._x = x
        self._clock = clock
        self._stamps: list[int] = []
        names = [node.name for node in module.graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
        self._module = self._with_clock(module, names[:-1])
        shortest = [min(part) for part in zip(*(run.parts for run in self.run(5)))]
        ends, part_ms = [], 0.0
        for name, ms in zip(names[:-1], shortest):
            part_ms += ms
            if part_ms >= PART_MS:
                ends.append(name)
                part_ms = 0.0
        self._module = self._with_clock(module, ends)

    def _with_clock(self, module: fx.GraphModule, after: Collection[str]) -> fx.GraphModule:
        """Return a copy of the module that reads the clock after the operations named ``after``."""
        stamps, clock = self._stamps, self._clock

        def read_clock() -> None:
            stamps.append(clock())

        graph = copy.deepcopy(module.graph)
        for node in list(graph.nodes):
            if node.name in set(after):
                with graph.inserting_after(node):
                    graph.call_function(read_clock)
        return fx.GraphModule(module, graph)

    def run(self, times: int) -> list[Run]:
        module, x, stamps, clock, wall = self._module, self._x, self._stamps, self._clock, time.perf_counter_ns
        runs = []
        with torch.inference_mode():
            for _ in range(times):
                stamps.clear()
                began, first = wall(), clock()
                module(x)
                last, ended = clock(), wall()
                stops = [first, *stamps, last]
                parts = tuple((b - a) / 1e6 for a, b in pairwise(stops))
                runs.append(Run((ended - began) / 1e6, parts))
        return runs


def compile_network(module: nn.Module, x: Tensor) -> Callable[[Tensor], Any]:
    """Compile a network for inputs of exactly the shape of ``x``, at once rather than at its first run.

    With torch's defaults the second module of one class, or the second input shape of a module, would be compiled for
    any shape, and the ninth would silently run uncompiled.

    Args:
        module: The network.
        x: An input, which is run once.

    Returns:
        The compiled network.
    """
    unlimited = torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT)
    with warnings.catch_warnings(), torch.inference_mode(), unlimited:
        warnings.simplefilter("ignore")  # the compiler itself uses deprecated parts of torch
        call = torch.compile(module, dynamic=False)
        call(x)
    return call


def _onnx_session(module: nn.Module, x: Tensor, threads: int) -> Callable[[], Any]:
    """Export the network to ONNX and return a function that runs it on ``x`` in onnxruntime."""
    import io

    import onnxruntime

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the exporter warns about its own internals, as above
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
            assert program is not None  # with dynamo=True it never is
    finally:
        logger.setLevel(level)
    model = io.BytesIO()
    program.save(model)  # type: ignore[arg-type]  # save() also accepts an open file; torch annotates paths only
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, feed)
