"""Measurements in a separate process.

They and the caller's threads, pinning, allocator and caches do not affect each other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict

from explorer.errors import MeasurementError
from explorer.measure.protocol import MeasurementFailed
from explorer.measure.result import Latency
from explorer.measure.settings import Setting
from explorer.networks.architecture import Architecture
from explorer.system.signals import SIGNAL_SECONDS

# By default glibc returns large blocks to the system and maps them again in every run. This takes longer than some
# layers, and depends on the end address of the heap. Servers use allocators that keep memory, and so does this process.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
# SIGINT ends the process without a traceback, because the parent reports Ctrl-C to the user.
_MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); from explorer.measure.child_main import main; main()"
)


def measure_in_child(
    architectures: Sequence[Architecture],
    settings: Sequence[Setting],
    device: str,
    threads: int = 1,
    cores: Collection[int] | None = None,
    time_scale: float = 1.0,
    on_latency: Callable[[Latency], object] = lambda latency: None,
) -> list[Latency]:
    """Measure each architecture under each setting in a new process.

    Args:
        architectures: The architectures.
        settings: The settings.
        device: A device name from ``find_device``.
        threads: Computing threads on a CPU.
        cores: Numbers of the CPU cores to pin to. Default: the least busy ones.
        time_scale: Factor on the measuring time; below 1 the error grows to some per cent.
        on_latency: Called with each latency as soon as it is measured.

    Returns:
        The latencies: all settings of the first architecture, then those of the second, and so on.

    Raises:
        MeasurementError: The device cannot run one of them.
        MeasurementFailed: The device changed during the measurement, or the process died.
    """
    request = {
        "architectures": [architecture.to_json() for architecture in architectures],
        "settings": [asdict(setting) for setting in settings],
        "device": device,
        "threads": threads,
        "cores": None if cores is None else sorted(cores),
        "time_scale": time_scale,
    }
    variables = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path)}
    latencies: list[Latency] = []
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **KEEP_MEMORY, **variables},
    ) as child:
        try:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write(json.dumps(request))
            child.stdin.close()
            for line in child.stdout:
                answer = json.loads(line)
                if "error" in answer:
                    raise (MeasurementFailed if answer["failed"] else MeasurementError)(answer["error"])
                latencies.append(Latency.from_dict(answer))
                on_latency(latencies[-1])
        except BrokenPipeError:
            pass  # the process died before it read the request; its exit status is reported below
        finally:
            if sys.exc_info()[0] is not None:
                child.kill()
    if child.returncode in (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP):
        time.sleep(SIGNAL_SECONDS)  # a signal to the process group reaches this process too, and ends it as usual
    if child.returncode == -signal.SIGKILL:
        raise MeasurementFailed(
            "the measuring process was killed, probably because memory ran out; use a smaller batch or fewer"
            " networks at once"
        )
    if child.returncode or len(latencies) < len(architectures) * len(settings):
        raise MeasurementFailed(f"the measuring process ended with status {child.returncode} and without a result")
    return latencies
