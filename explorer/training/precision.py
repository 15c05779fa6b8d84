"""Which precision trains faster here: measured, never guessed from a processor's name.

On a CPU the network at hand takes some steps in each precision. bfloat16 halves the time of dense convolutions where
the processor multiplies it, is slower where it must be emulated, and slower for depthwise convolutions even on
processors that have it; so the answer holds for one kind of network, shape and machine. It is kept under
``$XDG_CACHE_HOME/explorer/precision`` (``~/.cache/explorer/precision``): a second training of the kind asks no
more, and, other than two measurements of two nearly equal times, gives the same bits.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from explorer.system.user_folders import user_cache
from explorer.training.device import PRECISIONS, autocast

MIN_SPEEDUP = 1.1  # how many times faster bfloat16 must be; of nearly equals float32 is taken
PROBE_BATCH = 32
WARM_UP, RUNS = 1, 3

_chosen: dict[str, str] = {}


def choose_precision(
    net: nn.Module, shape: tuple[int, int, int], classes: int, batch_size: int, device: torch.device
) -> str:
    """The precision in which networks of this kind train faster on ``device``. The network stays as it is.

    shape: of one image, (C, H, W). A GPU computes in bfloat16 where it has units for it.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    images = min(batch_size, PROBE_BATCH)
    kind = {"cpu": _cpu(), "torch": torch.__version__, "images": [images, *shape], "convolutions": _convolutions(net)}
    key = hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:16]
    if key not in _chosen:
        path = cache_folder() / f"{key}.json"
        _chosen[key] = _read(path) or _store(path, kind, measure_precisions(net, (images, *shape), classes))
    return _chosen[key]


def measure_precisions(net: nn.Module, batch: tuple[int, int, int, int], classes: int) -> dict[str, float]:
    """Precision -> seconds of one training step of ``net`` on one core, the least of some, taken in turn.

    batch: (N, C, H, W). Times are the process's own, so that other work on the machine matters little.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several that wait for each other would be counted as working
    random = torch.Generator().manual_seed(0)
    images = torch.randn(batch, generator=random, dtype=torch.float32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, batch[:1], generator=random)
    net = copy.deepcopy(net).train()
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for _ in range(WARM_UP + RUNS):
        for name, taken in seconds.items():
            began = time.process_time()
            with autocast(torch.device("cpu"), name):
                logits = net(images)
            F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            taken.append(time.process_time() - began)
            net.zero_grad(set_to_none=True)
    torch.set_num_threads(threads)
    return {name: min(taken[WARM_UP:]) for name, taken in seconds.items()}


def cache_folder() -> Path:
    return user_cache("precision")


def _convolutions(net: nn.Module) -> str:
    """The least dense kind of convolution in the network: dense, grouped or depthwise."""
    kinds = {"dense": 0, "grouped": 1, "depthwise": 2}

    def kind(conv: nn.Conv2d) -> str:
        return "dense" if conv.groups == 1 else "depthwise" if conv.groups == conv.in_channels else "grouped"

    found = (kind(module) for module in net.modules() if isinstance(module, nn.Conv2d))
    return max(found, key=kinds.__getitem__, default="none")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        import platform

        return f"{platform.processor()} {platform.machine()}"
    named = ("model name", "flags", "Model", "Features", "CPU implementer", "CPU part")
    return hashlib.sha256("\n".join(line for line in lines if line.startswith(named)).encode()).hexdigest()[:16]


def _read(path: Path) -> str:
    try:
        found = json.loads(path.read_text())["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if found in PRECISIONS else ""


def _store(path: Path, kind: dict[str, Any], seconds: dict[str, float]) -> str:
    """Keeps the faster precision; where another process was first, its answer holds."""
    chosen = "bfloat16" if seconds["float32"] >= MIN_SPEEDUP * seconds["bfloat16"] else "float32"
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"precision": chosen, "seconds": seconds, "of": kind}))
        try:
            os.link(temporary, path)
        except FileExistsError:
            return _read(path) or chosen
        finally:
            temporary.unlink()
    except OSError:  # a cache that cannot be written costs a measurement in each process
        pass
    return chosen
