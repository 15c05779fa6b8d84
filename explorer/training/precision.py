"""Choose the precision, float32 or bfloat16, in which a network trains faster on this machine.

On a CPU the choice is measured with a few training steps in each precision. bfloat16 halves the time of dense
convolutions if the processor multiplies it in hardware. It is slower if it is emulated, and slower for depthwise
convolutions even on processors with bfloat16 units. The choice is valid for one kind of network, image shape and
machine. It is cached in ``$XDG_CACHE_HOME/explorer/precision`` (``~/.cache/explorer/precision``), so that later runs of
the same kind do not measure again and have the same precision even if both are nearly equally fast.
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

from explorer.networks.ops.conv import is_depthwise
from explorer.system.environment import cpu_identity
from explorer.system.user_folders import user_cache
from explorer.training.device import PRECISIONS, autocast

MIN_SPEEDUP = 1.1  # least speedup by which bfloat16 is chosen
PROBE_BATCH = 32  # images of a measured step, at most, so that measuring is quick
WARM_UP, RUNS = 1, 3

_chosen: dict[str, str] = {}


def choose_precision(
    net: nn.Module, shape: tuple[int, int, int], classes: int, batch_size: int, device: torch.device
) -> str:
    """Return the precision in which networks of this kind train faster on ``device``.

    On a GPU it is bfloat16 if the GPU supports it in hardware; nothing is measured there.

    Args:
        net: The network; it is not changed.
        shape: Shape of one image, (C, H, W).
        classes: Number of classes.
        batch_size: Images of a training step.
        device: The device.

    Returns:
        ``float32`` or ``bfloat16``.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    images = min(batch_size, PROBE_BATCH)
    kind = {
        "cpu": cpu_identity(),
        "torch": torch.__version__,
        "images": [images, *shape],
        "convolutions": _convolutions(net),
    }
    key = hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:16]
    if key not in _chosen:
        path = cache_folder() / f"{key}.json"
        _chosen[key] = _read(path) or _store(path, kind, measure_precisions(net, (images, *shape), classes))
    return _chosen[key]


def measure_precisions(net: nn.Module, batch: tuple[int, int, int, int], classes: int) -> dict[str, float]:
    """Measure the time of one training step on one core in each precision.

    Times are CPU times of this process, so that other load on the machine has little influence. The precisions
    alternate, and the least of three times counts.

    Args:
        net: The network; a copy is trained.
        batch: Shape of the batch, (N, C, H, W).
        classes: Number of classes.

    Returns:
        Precision -> seconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with several threads, the CPU time would include the time that they wait for each other
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
    """Return the folder of the cached choices."""
    return user_cache("precision")


def _convolutions(net: nn.Module) -> str:
    """Return the least dense kind of convolution in the network: dense, grouped or depthwise; none without any."""
    kinds = {"dense": 0, "grouped": 1, "depthwise": 2}

    def kind(conv: nn.Conv2d) -> str:
        return (
            "dense" if conv.groups == 1 else "depthwise" if is_depthwise(conv.groups, conv.in_channels) else "grouped"
        )

    found = (kind(module) for module in net.modules() if isinstance(module, nn.Conv2d))
    return max(found, key=kinds.__getitem__, default="none")


def _read(path: Path) -> str:
    """Return the cached choice; empty if there is none, or if the file is damaged."""
    try:
        found = json.loads(path.read_text())["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if found in PRECISIONS else ""


def _store(path: Path, kind: dict[str, Any], seconds: dict[str, float]) -> str:
    """Cache and return the faster precision; if another process has cached its choice first, return that one."""
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
    except OSError:  # without a writeable cache, each process measures for itself
        pass
    return chosen
