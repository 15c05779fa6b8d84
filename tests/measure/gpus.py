"""A stand-in for ``torch.cuda`` and for NVML: it computes on the CPU and keeps a clock and a log of its own."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace


class FakeCuda:
    """``replay_ms``: what a replay or a launch takes. ``log``: what was asked of the device, in order."""

    def __init__(self, replay_ms: float = 0.25, cache: int = 1 << 20):
        self.now, self.replay_ms, self.cache = 0.0, replay_ms, cache
        self.log: list[str] = []
        self.captured = 0
        outer = self

        class Event:
            def __init__(self, enable_timing=False):
                assert enable_timing

            def record(self):
                outer.log.append("event")
                self.moment = outer.now

            def elapsed_time(self, other):
                return other.moment - self.moment

        class CUDAGraph:
            def pool(self):
                return "pool"

            def replay(self):
                outer.log.append(f"replay {self.number}")
                outer.now += outer.replay_ms

        class Stream:
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
    def graph(self, graph, pool=None):
        graph.number = self.captured
        self.log.append(f"capture {self.captured} in {pool}")
        self.captured += 1
        yield

    def current_stream(self):
        return self.Stream()

    def synchronize(self):
        self.log.append("synchronize")

    def _sleep(self, cycles):
        self.log.append("sleep")

    def memory_allocated(self, name):
        return 1000

    def max_memory_allocated(self, name):
        return 5000

    def reset_peak_memory_stats(self, name):
        self.log.append("reset peak")


class FakeNvml:
    """NVML with one card. ``answers``: function name -> value, an exception to raise, or a list of values in turn."""

    class NVMLError(Exception):
        pass

    nvmlClocksThrottleReasonGpuIdle = 1
    nvmlClocksThrottleReasonSwPowerCap = 4
    nvmlClocksThrottleReasonHwThermalSlowdown = 64
    nvmlClocksThrottleReasonAll = 127
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, **answers):
        self.answers = answers
        self.asked_for = ""

    def nvmlInit(self):
        self._answer("nvmlInit")

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.asked_for = uuid
        return self._answer("nvmlDeviceGetHandleByUUID", "card")

    def __getattr__(self, name):
        if name not in self.__dict__["answers"]:
            raise AttributeError(name)
        return lambda handle, *arguments: self._answer(name)

    def _answer(self, name, usual=None):
        found = self.answers.get(name, usual)
        if isinstance(found, Exception):
            raise found
        return found.pop(0) if isinstance(found, list) and found and not hasattr(found[0], "pid") else found
