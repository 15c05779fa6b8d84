"""Process state that training depends on: device, threads and autograd mode. All of it is restored after training."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from explorer.errors import TrainingError, did_you_mean

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
AUTO = "auto"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h of glibc
MAX_MMAP_THRESHOLD = 32 << 20  # bytes; glibc allows no more

_threads_used = False  # whether this process, or the one that it was forked from, used more than one thread


def _one_thread_after_fork() -> None:
    """In a forked child, such as a DataLoader worker, use one thread if the parent used several.

    OpenMP's threads are not forked, and a computation with several threads would wait for them without end.
    """
    if _threads_used:
        torch.set_num_threads(1)


os.register_at_fork(after_in_child=_one_thread_after_fork)


@contextmanager
def process_settings(device: str, threads: int) -> Iterator[torch.device]:
    """Set the number of threads and enable gradients within the ``with`` block; restore the caller's settings after it.

    Gradients are enabled even within the caller's ``torch.no_grad`` or ``torch.inference_mode``. On a CPU no random
    state is read or changed; on a GPU the device's random state is restored. On a GPU all work uses a new stream,
    because the default stream cannot be captured in a CUDA graph.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: Number of computing threads, at least 1.

    Yields:
        The device.

    Raises:
        TrainingError: The device is unknown or missing, or ``threads`` is less than 1.
    """
    if threads < 1:
        raise TrainingError(f"threads must be at least 1, found {threads}")
    torch_device = _checked_device(device)
    global _threads_used
    _threads_used |= threads > 1
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode(False), torch.enable_grad(), _default_device_cpu(), _cuda_settings(torch_device):
            yield torch_device
    finally:
        torch.set_num_threads(threads_before)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory for the next training step within the ``with`` block, and return it to the system after it.

    Otherwise glibc returns the activations of a step to the system at the end of the step, and the kernel clears every
    page again in the next one. Tensors above 32 MiB are still returned. Other C libraries are not changed.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt, malloc_trim = libc.mallopt, libc.malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no library without a name
        yield
        return
    mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
    mallopt(M_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        mallopt(M_TRIM_THRESHOLD, 2 * MAX_MMAP_THRESHOLD)  # what glibc sets when a tensor of 32 MiB is freed
        malloc_trim(0)


@contextmanager
def _default_device_cpu() -> Iterator[None]:
    """Create new tensors on the CPU unless a device is named.

    A default device makes torch run Python code in each of its functions, so it is set only if the caller's default
    is not the CPU.
    """
    if torch.get_default_device().type == "cpu":
        yield
    else:
        with torch.device("cpu"):
            yield


@contextmanager
def _cuda_settings(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    benchmark_before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True  # shapes do not change, so comparing algorithms saves time
    try:
        with torch.cuda.device(device):
            random_before = torch.cuda.get_rng_state()
            outside, stream = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(outside)
            try:
                with torch.cuda.stream(stream):
                    yield
                outside.wait_stream(stream)
            finally:
                torch.cuda.set_rng_state(random_before)
    finally:
        torch.backends.cudnn.benchmark = benchmark_before


def dropout_generator(device: torch.device) -> torch.Generator:
    """Return the generator for dropout on ``device``.

    On a CPU it is a new one; on a GPU it is the device's default generator, as CUDA graphs require.
    """
    if device.type != "cuda":
        return torch.Generator()
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context in which a network computes. Its weights stay float32.

    Autocast's cache of weights is off: each weight is used once in a step, and a captured graph must not hold copies.

    Args:
        device: The device.
        precision: ``float32`` or ``bfloat16``.

    Raises:
        TrainingError: The precision is unknown.
    """
    if precision not in PRECISIONS:
        near = did_you_mean(precision, PRECISIONS)
        raise TrainingError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}{near}")
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32", cache_enabled=False)


def _checked_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"unknown device {name!r}; known: cpu, cuda, cuda:0, ...") from error
    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"cannot train on {name!r}; known devices: cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise TrainingError(f"no device {name!r}: {count} CUDA devices found; 'cpu' always works")
    return device
