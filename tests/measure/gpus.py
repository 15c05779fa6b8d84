"""Fakes for ``torch.cuda`` and NVML that compute on the CPU, with a simulated clock and a log."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace


class FakeCuda:
    """``replay_ms``: time of a replay or launch. ``log``: calls in order. ``host_cycles``: host time to queue a replay;
    the device idles if it sleeps less. ``held``: bytes allocated at rest."""

    def __init__(self, replay_ms: float = 0.25, cache: int = 1 << 20, host_cycles: int = 1):
        self.now, self.replay_ms, self.cache, self.host_cycles = 0.0, replay_ms, cache, host_cycles
        self.held, self.slept, self.random = 1000, 0, 0
        self.log: list[str] = []
        self.captured = 0
        outer = self

        class Event:
            def __init__(self, enable_timing=False):
                assert enable_timing

            def record(self):
                outer.log.append("event")
                self.moment = outer.now

            def query(self):
                return outer.slept < outer.host_cycles * outer.log[::-1].index("sleep") / 3

            def elapsed_time(self, other):
                return other.moment - self.moment

        class CUDAGraph:
            def replay(self):
                outer.log.append(f"replay {self.number}")
                outer.now += outer.replay_ms

        class Stream:
            def __init__(self, device=None):
                self.device = device

            def wait_stream(self, other):
                outer.log.append("wait")

        self.Event, self.CUDAGraph, self.Stream = Event, CUDAGraph, Stream

    def get_device_properties(self, name):
        return SimpleNamespace(L2_cache_size=self.cache, uuid="0123")

    @contextmanager
    def device(self, name):
        yield

    @contextmanager
    def stream(self, stream):
        yield

    @contextmanager
    def graph(self, graph, pool=None, stream=None, capture_error_mode="global"):
        graph.number = self.captured
        self.log.append(f"capture {self.captured} in {pool} on {stream.device} {capture_error_mode}")
        self.captured += 1
        yield

    def graph_pool_handle(self):
        self.log.append("pool")
        return "pool"

    def get_rng_state(self, name):
        return self.random

    def set_rng_state(self, state, name):
        self.random = state

    def current_stream(self):
        return self.Stream()

    def synchronize(self):
        self.log.append("synchronize")

    def _sleep(self, cycles):
        self.log.append("sleep")
        self.slept = cycles

    def memory_allocated(self, name):
        return self.held

    def max_memory_allocated(self, name):
        return self.held + 4000

    def reset_peak_memory_stats(self, name):
        self.log.append("reset peak")


class FakeNvml:
    """NVML with one card, or a MIG instance of one (``kind`` "MIG-"). ``answers`` maps a function name to a value, an
    exception to raise, a list of successive values, or a function of the handle."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotFound(NVMLError):
        pass

    nvmlClocksThrottleReasonGpuIdle = 1
    nvmlClocksThrottleReasonSwPowerCap = 4
    nvmlClocksThrottleReasonHwThermalSlowdown = 64
    nvmlClocksThrottleReasonAll = 127
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, kind="GPU-", **answers):
        self.kind, self.answers = kind, answers
        self.asked_for = ""

    def nvmlInit(self):
        self._answer("nvmlInit")

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if not uuid.startswith(self.kind):
            raise self.NVMLError("not found")
        self.asked_for = uuid
        return self._answer("nvmlDeviceGetHandleByUUID", "card")

    def __getattr__(self, name):
        if name not in self.__dict__["answers"]:
            raise AttributeError(name)
        return lambda handle, *arguments: self._answer(name, handle=handle)

    def _answer(self, name, usual=None, handle=None):
        found = self.answers.get(name, usual)
        if callable(found):
            return found(handle)
        if isinstance(found, list) and found and not hasattr(found[0], "pid"):
            found = found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found
