"""Measuring in a process of its own: the caller's threads, pinning, allocator and caches neither help nor suffer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict

from explorer.errors import MeasurementError
from explorer.measure.protocol import MeasurementFailed
from explorer.measure.settings import Setting
from explorer.networks.architecture import Architecture
from explorer.records import Latency

# glibc gives large maps back to the system and takes them anew in every run, which costs more than some layers and
# depends on where the heap happens to end. Servers use allocators that keep them; so does the child.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
# Ctrl-C ends it without a word, for it is the parent that answers to the user.
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
    """Each architecture under each setting, in the order given. ``on_latency`` hears of each as it is measured.
    ``time_scale``: below 1 for numbers in which an error of some per cent may be.

    Raises MeasurementError for what cannot be measured, and MeasurementFailed where measuring came to nothing.
    """
    request = {
        "architectures": [architecture.to_json() for architecture in architectures],
        "settings": [asdict(setting) for setting in settings],
        "device": device,
        "threads": threads,
        "cores": None if cores is None else sorted(cores),
        "time_scale": time_scale,
    }
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path)}
    found: list[Latency] = []
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **KEEP_MEMORY, **own},
    ) as child:
        try:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write(json.dumps(request))
            child.stdin.close()
            for line in child.stdout:
                answer = json.loads(line)
                if "error" in answer:
                    raise (MeasurementFailed if answer["failed"] else MeasurementError)(answer["error"])
                found.append(Latency.from_dict(answer))
                on_latency(found[-1])
        except BrokenPipeError:
            pass  # it died before it had read: its status says how
        finally:
            if sys.exc_info()[0] is not None:
                child.kill()
    if child.returncode == -signal.SIGKILL:
        raise MeasurementFailed(
            "the measuring process was killed, as the system does where memory runs out; name a smaller batch or fewer"
            " networks at once"
        )
    if child.returncode or len(found) < len(architectures) * len(settings):
        raise MeasurementFailed(f"the measuring process ended with status {child.returncode} and without a result")
    return found
