"""Timing on a CPU that others use too: a few pinned threads, and a statistic that their work does not inflate."""

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
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from explorer.errors import MeasurementError
from explorer.measure.fold import InferenceForm
from explorer.measure.protocol import Contestant, Effort, Run
from explorer.measure.settings import Setting
from explorer.networks.ops.base import TensorShape
from explorer.system.cores import allowed_cores

PART_MS = 0.5  # the shortest stretch of a network that is timed by itself
SETTLED_SHARE = 0.005
LEAST_MS = 500.0
CONTENDED_SHARE = 0.05  # of the pinned cores' time that went to others
BUSY_SHARE = 0.5  # of the other cores' time: they share caches, perhaps even the core itself
MOST_COMPILED = 1 << 16  # modules of one class in one process
TORCH_DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def low_statistic(runs: Sequence[Run]) -> float:
    """The sum, over the parts of the network, of the shortest time that the part ever took, in ms.

    Other load can lengthen a run and never shorten it. On a busy machine no run of a long network is spared, but
    each part of it is, now and then. A time of 0 is a clock of processor time that had not moved on, as happens on a
    busy virtual machine, and does not count.
    """
    return sum(min((ms for ms in part if ms > 0), default=0.0) for part in zip(*(run.parts for run in runs)))


def has_settled(runs: Sequence[Run], least_ms: float = LEAST_MS) -> bool:
    """Whether the second half of the runs lowered the low statistic by no more than SETTLED_SHARE, and the runs
    amount to ``least_ms`` of the network's own time."""
    if sum(sum(run.parts) for run in runs) < least_ms:
        return False
    return low_statistic(runs[: len(runs) // 2]) <= (1 + SETTLED_SHARE) * low_statistic(runs)


class CpuTimes(NamedTuple):
    """Seconds since the machine started that each core was at work, idle ones left out; and those of this process."""

    cores: dict[int, float]
    own: float
    moment: float


class Cpu:
    """The CPU as a device to measure on: ``threads`` computing threads, pinned to as many ``cores``, by default those
    that are least busy now. ``patience``: below 1 for a number in which an error of some per cent may be.

    Raises MeasurementError for cores that this process may not use.
    """

    name = "cpu"
    corrects = False  # a shortest time needs no correction for the load of other moments

    def __init__(self, threads: int = 1, cores: Collection[int] | None = None, patience: float = 1.0):
        if threads < 1:
            raise MeasurementError(f"threads must be at least 1, found {threads}")
        allowed = allowed_cores()
        if cores is not None and (foreign := sorted(set(cores) - set(allowed))):
            usable = ", ".join(map(str, allowed)) or "none by name"
            raise MeasurementError(f"core {foreign[0]} cannot be had; this process may use {usable}")
        if allowed and threads > len(cores or allowed):
            raise MeasurementError(f"{threads} threads on {len(cores or allowed)} cores would wait for each other")
        self.threads = threads
        self.effort = Effort(
            partial(has_settled, least_ms=patience * LEAST_MS),
            turn_ms=10,
            least_runs=max(6, round(40 * patience)),
            most_ms=12_000 * patience,
            warm_up_ms=1_000 * patience,
        )
        self.cores = sorted(cores) if cores else least_busy(allowed)[:threads]
        # One thread's work shows in its own clock, which stands still while the thread does not run. The work of
        # several has no such clock: theirs is the wall's.
        self._clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns

    @contextmanager
    def session(self) -> Iterator[None]:
        """Pins this thread and sets torch's threads, of which the process may have some already; all is put back
        afterwards, and threads that were begun within are where this one was."""
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

    def contestant(self, form: InferenceForm, setting: Setting, shape: TensorShape) -> Contestant:
        """The network, ready to be run. Raises MeasurementError when it cannot be in this mode."""
        x, module = laid_out(random_images(setting.batch, shape), form.module, setting)
        if setting.mode == "onnxruntime":
            return _Whole(_onnx_session(module, x, self.threads), self._clock)
        if setting.mode == "compile":
            return _Whole(partial(compiled(module, x), x), self._clock)
        if not isinstance(module, fx.GraphModule):
            return _Whole(partial(module, x), self._clock)
        return _InParts(module, x, self._clock)

    def statistic(self, runs: Sequence[Run]) -> float:
        return low_statistic(runs)

    def method(self) -> str:
        cores = f", pinned to core {', '.join(map(str, self.cores))}" if self.cores else ", not pinned"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        clock = "its CPU time" if self.threads == 1 else "wall time"
        return f"{threads}{cores}; reported: sum of the shortest times of parts of {PART_MS:g} ms and more, {clock}"

    def observe(self) -> CpuTimes:
        return cpu_times()

    def limits(self) -> dict[str, float]:
        """A CPU does not tell."""
        return {}

    def peak_memory(self, contestant: Contestant) -> int | None:
        return None

    def joules_per_image(self, contestant: Contestant) -> float | None:
        return None

    def readings(self, before: CpuTimes, after: CpuTimes) -> None:
        """A CPU tells neither clocks nor temperature."""

    def disturbance(self, before: CpuTimes, after: CpuTimes) -> list[str]:
        """What other work there was in between, in words; empty when there was none to speak of."""
        return other_load(before, after, self.cores)


def _affinities() -> dict[int, set[int]]:
    """Of this thread, and of the process's others where the system lists them, the cores that it may use."""
    found = {threading.get_native_id(): os.sched_getaffinity(0)}
    tasks = "/proc/self/task"
    for name in os.listdir(tasks) if os.path.isdir(tasks) else ():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            found[int(name)] = os.sched_getaffinity(int(name))
    return found


def _pin(thread: int, cores: Collection[int]) -> None:
    with suppress(ProcessLookupError):
        os.sched_setaffinity(thread, cores)


def random_images(batch: int, shape: TensorShape) -> Tensor:
    """(batch, C, H, W), float32 on the CPU whatever the caller's defaults; the same at every call."""
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(batch, *shape, generator=generator, device="cpu", dtype=torch.float32)


def laid_out(x: Tensor, module: nn.Module, setting: Setting, device: str = "cpu") -> tuple[Tensor, nn.Module]:
    """Input and a copy of the network in the setting's dtype and layout on ``device``."""
    memory_format = torch.channels_last if setting.layout == "channels_last" else torch.contiguous_format
    dtype = TORCH_DTYPES[setting.dtype]
    module = copy.deepcopy(module)
    module.to(device=device, dtype=dtype, memory_format=memory_format)  # type: ignore[call-overload]  # torch annotates no memory_format
    return x.to(device=device, dtype=dtype, memory_format=memory_format), module


class _Whole:
    """A network that is timed from end to end."""

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


class _InParts:
    """A traced network that reads the clock on its way, between stretches of PART_MS and more."""

    def __init__(self, module: fx.GraphModule, x: Tensor, clock: Callable[[], int]):
        self._x = x
        self._clock = clock
        self._stamps: list[int] = []
        names = [node.name for node in module.graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
        self._module = self._marked(module, names[:-1])
        shortest = [min(part) for part in zip(*(run.parts for run in self.run(5)))]
        ends, since = [], 0.0
        for name, ms in zip(names[:-1], shortest):
            since += ms
            if since >= PART_MS:
                ends.append(name)
                since = 0.0
        self._module = self._marked(module, ends)

    def _marked(self, module: fx.GraphModule, after: Collection[str]) -> fx.GraphModule:
        stamps, clock = self._stamps, self._clock

        def mark() -> None:
            stamps.append(clock())

        graph = copy.deepcopy(module.graph)
        for node in list(graph.nodes):
            if node.name in set(after):
                with graph.inserting_after(node):
                    graph.call_function(mark)
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


def compiled(module: nn.Module, x: Tensor) -> Callable[[Tensor], Any]:
    """The network compiled for inputs of exactly this shape, now and not at its first run.

    Of modules of one class, or of one on another shape, torch would compile the second for any shape and run the ninth
    uncompiled, without a word that reaches the caller.
    """
    by_itself = torch._dynamo.config.patch(recompile_limit=MOST_COMPILED)
    with warnings.catch_warnings(), torch.inference_mode(), by_itself:
        warnings.simplefilter("ignore")  # of its own making: the compiler uses what torch has deprecated
        call = torch.compile(module, dynamic=False)
        call(x)
    return call


def _onnx_session(module: nn.Module, x: Tensor, threads: int) -> Callable[[], Any]:
    import io

    import onnxruntime

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # of its own insides, as above
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
            assert program is not None  # as it is with dynamo
    finally:
        logger.setLevel(level)
    model = io.BytesIO()
    program.save(model)  # type: ignore[arg-type]  # it also writes to an open file
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, feed)


def cpu_times(stat: Path = Path("/proc/stat")) -> CpuTimes:
    """What Linux counts; no cores elsewhere."""
    cores = {}
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        word, *numbers = line.split()
        if word.startswith("cpu") and word != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
                int(number) for number in [*numbers, *["0"] * 8]
            )
            cores[int(word[3:])] = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return CpuTimes(cores, time.process_time(), time.monotonic())


def least_busy(cores: Sequence[int], moment: float = 0.1) -> list[int]:
    """The cores, those that are least at work within the next ``moment`` seconds first."""
    if len(cores) < 2:
        return list(cores)
    before = cpu_times()
    time.sleep(moment)
    after = cpu_times()
    return sorted(cores, key=lambda core: (after.cores.get(core, 0.0) - before.cores.get(core, 0.0), -core))


def other_load(before: CpuTimes, after: CpuTimes, pinned: Collection[int]) -> list[str]:
    """Who else worked between the two: on the ``pinned`` cores beside this process, and on the others."""
    elapsed = after.moment - before.moment
    worked = {core: after.cores[core] - before.cores.get(core, 0.0) for core in after.cores}
    others = [core for core in worked if core not in pinned]
    notes = []
    if pinned and elapsed > 0 and worked:
        on_ours = sum(worked.get(core, 0.0) for core in pinned) - (after.own - before.own)
        if (share := on_ours / elapsed / len(pinned)) > CONTENDED_SHARE:
            notes.append(f"other processes took {min(share, 1):.0%} of the pinned cores' time")
    if others and elapsed > 0 and (share := sum(worked[core] for core in others) / elapsed / len(others)) > BUSY_SHARE:
        notes.append(f"the other cores were busy {min(share, 1):.0%} of the time")
    return notes
