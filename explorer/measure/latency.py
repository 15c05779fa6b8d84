"""Measure the latency of networks: each in its inference form, timed in turn with the others and a fixed reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import nn

from explorer.errors import MeasurementError
from explorer.measure import reference
from explorer.measure.child import measure_in_child
from explorer.measure.cpu import Cpu
from explorer.measure.cuda import Cuda
from explorer.measure.fold import InferenceForm, inference_form
from explorer.measure.protocol import (
    VERSION,
    MeasurementFailed,
    Timings,
    Workload,
    correct_drift,
    drift,
    round_slowdowns,
    time_interleaved,
)
from explorer.measure.result import Latency, LatencyEnvironment
from explorer.measure.settings import Setting, default_mode, make_settings
from explorer.measure.statistics import median, median_interval, quantile
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network
from explorer.networks.ops.base import TensorShape
from explorer.records import Environment
from explorer.system.device_lock import measuring
from explorer.system.environment import describe_environment, find_device

MAX_INTERLEAVED = 16  # workloads in one group: all of them are in memory at once, and a round must be short
MAX_ATTEMPTS = 3  # measurements of a group whose reference drifts beyond MAX_DRIFT


class Subject(NamedTuple):
    """A network to measure.

    Attributes:
        network: The module.
        shape: Shape of one input image.
        digest: Digest of its architecture; empty if there is none.
    """

    network: nn.Module
    shape: TensorShape
    digest: str = ""


def latency(
    network: Architecture | nn.Module,
    *,
    device: str = "auto",
    batch: int = 1,
    dtype: str = "float32",
    layout: str = "nchw",
    mode: str | None = None,
    threads: int = 1,
    cores: Collection[int] | None = None,
    input: Sequence[int] | None = None,
) -> Latency:
    """Measure the latency of one network for one batch.

    An Architecture is built and measured in a separate process. A module is measured in the calling process; its
    threads, pinning, precision and random number generators are restored afterwards. The call waits for other
    measurements on the device to end, and this project's trainings on the device pause during the measurement.

    Args:
        network: An architecture or a module.
        device: "auto" (the first GPU, else the CPU), "cpu" or "cuda:N".
        batch: Images per run, in 1..65,536.
        dtype: "float32", "tf32", "bfloat16" or "float16".
        layout: "nchw" or "channels_last".
        mode: "eager", "graph" (CUDA graph), "compile" or "onnxruntime". Default: "eager" on a CPU, "graph" on a GPU.
        threads: Computing threads on a CPU.
        cores: Numbers of the CPU cores to pin to. Default: the least busy ones.
        input: Shape (C, H, W) of one image. Needed for a module that ``explorer.build`` did not make.

    Returns:
        The latency, with its statistics and environment.

    Raises:
        MeasurementError: The device does not support the setting, or the input shape is not known.
        MeasurementFailed: The device changed during the measurement, or the measuring process died.
    """
    device = find_device(device)
    settings = make_settings(device, [batch], [dtype], [layout], [mode or default_mode(device)])
    if isinstance(network, Architecture):
        with measuring(device):
            return measure_in_child([network], settings, device, threads, cores)[0]
    shape = network.architecture.input if input is None and isinstance(network, Network) else input
    if shape is None:
        raise MeasurementError("the module's input is not known; pass input=(channels, height, width)")
    digest = network.architecture.digest if isinstance(network, Network) else ""
    with measuring(device):
        return measure([Subject(network, TensorShape(*shape), digest)], settings, device, threads, cores)[0]


def measure_architectures(
    architectures: Sequence[Architecture],
    settings: Sequence[Setting],
    device: str,
    threads: int = 1,
    cores: Collection[int] | None = None,
    time_scale: float = 1.0,
) -> Iterator[Latency]:
    """Measure each architecture under each setting in this process, in interleaved groups of MAX_INTERLEAVED.

    Args:
        architectures: The architectures.
        settings: The settings.
        device: A device name from ``find_device``.
        threads: Computing threads on a CPU.
        cores: Numbers of the CPU cores to pin to. Default: the least busy ones.
        time_scale: Factor on the measuring time; below 1 the error grows to some per cent.

    Yields:
        The latencies: all settings of the first architecture, then those of the second, and so on.
    """
    group_size = max(1, MAX_INTERLEAVED // len(settings))
    for start in range(0, len(architectures), group_size):
        group = architectures[start : start + group_size]
        subjects = [
            Subject(build_network(architecture), architecture.input, architecture.digest) for architecture in group
        ]
        yield from measure(subjects, settings, device, threads, cores, time_scale)


def measure(
    subjects: Sequence[Subject],
    settings: Sequence[Setting],
    device: str,
    threads: int = 1,
    cores: Collection[int] | None = None,
    time_scale: float = 1.0,
) -> list[Latency]:
    """Measure each subject under each setting in this process, all interleaved.

    Args:
        subjects: The networks.
        settings: As for ``measure_architectures``, like all further arguments.
        device: A device name from ``find_device``.
        threads: Computing threads on a CPU.
        cores: Numbers of the CPU cores to pin to.
        time_scale: Factor on the measuring time.

    Raises:
        MeasurementError: The device cannot run one of them.
        MeasurementFailed: The device drifted too far in each of MAX_ATTEMPTS attempts.
    """
    backend: Any = Cpu(threads, cores, time_scale) if device == "cpu" else Cuda(device, time_scale=time_scale)
    return measure_on(backend, subjects, settings)


def present_environment(device: str, setting: Setting, threads: int = 1) -> LatencyEnvironment:
    """Return the environment of a latency that is measured now.

    Args:
        device: A device name from ``find_device``.
        setting: The setting.
        threads: Computing threads on a CPU.
    """
    backend: Any = Cpu(threads) if device == "cpu" else Cuda(device)
    return _environment(backend, describe_environment(backend.name, backend.threads), setting)


def measure_on(backend: Any, subjects: Sequence[Subject], settings: Sequence[Setting]) -> list[Latency]:
    """Measure each subject under each setting on a backend.

    Args:
        backend: A ``Cpu``, a ``Cuda``, or an object with the same methods.
        subjects: The networks.
        settings: The settings.

    Raises:
        MeasurementFailed: The device drifted too far in each of MAX_ATTEMPTS attempts.
    """
    machine = describe_environment(backend.name, backend.threads)
    with ExitStack() as stack:
        stack.enter_context(backend.session())
        stack.enter_context(torch.random.fork_rng(devices=[]))  # leave the caller's random numbers as they are
        forms = [inference_form(subject.network) for subject in subjects]
        cases = [(subject, form, setting) for subject, form in zip(subjects, forms) for setting in settings]
        workloads = [backend.workload(form, setting, subject.shape) for subject, form, setting in cases]
        reference_form = InferenceForm(reference.reference_network(), 0, 0, traced=False)
        reference_setting = Setting(reference.BATCH, mode=default_mode(backend.name))
        reference_workload = backend.workload(reference_form, reference_setting, reference.SHAPE)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            timings, slowdowns, shared = _attempt(backend, workloads, reference_workload)
            try:
                return [
                    _latency(backend, machine, case, workload, timing, slowdowns, shared)
                    for case, workload, timing in zip(cases, workloads, timings)
                ]
            except MeasurementFailed:
                if attempt == MAX_ATTEMPTS:
                    raise
    raise AssertionError("an attempt returns or raises")


def _attempt(
    backend: Any, workloads: Sequence[Workload], reference_workload: Workload
) -> tuple[list[Timings], list[float], dict[str, Any]]:
    """Return each workload's timings, the slowdown of each round, and the fields that all latencies share."""
    states: list[Any] = []
    timings, reference_timings = time_interleaved(
        workloads, reference_workload, backend.stopping_rule, lambda: states.append(backend.observe())
    )
    states.append(backend.observe())
    slowdowns = round_slowdowns(reference_timings, backend.statistic)
    notes = backend.disturbance(*states)
    shared = {
        "reference_ms": backend.statistic(reference_timings.runs),
        "drift": drift(slowdowns),
        "contended": bool(notes),
        "notes": tuple(notes),
        "device_state": backend.readings(*states),
    }
    return timings, slowdowns, shared


def _latency(
    backend: Any,
    machine: Environment,
    case: tuple[Subject, InferenceForm, Setting],
    workload: Any,
    timings: Timings,
    slowdowns: Sequence[float],
    shared: Mapping[str, Any],
) -> Latency:
    """Return the latency of one workload from its timings."""
    subject, form, setting = case
    times = [run.ms for run in timings.runs]
    reported = backend.statistic(correct_drift(timings, slowdowns) if backend.corrects_drift else timings.runs)
    return Latency(
        digest=subject.digest,
        reported_ms=reported,
        median_ms=median(times),
        p05_ms=quantile(times, 5),
        p95_ms=quantile(times, 95),
        ci95_ms=median_interval(times),
        runs=len(times),
        throughput=1e3 * setting.batch / reported,
        method=f"{form}; {backend.method()}",
        environment=_environment(backend, machine, setting),
        peak_memory_bytes=backend.peak_memory(workload),
        joules_per_image=backend.joules_per_image(workload),
        **shared,
    )


def _environment(backend: Any, machine: Environment, setting: Setting) -> LatencyEnvironment:
    """Return the environment of a latency measured on the backend under the setting."""
    if setting.mode == "onnxruntime":
        machine = replace(machine, versions={**machine.versions, "onnxruntime": version("onnxruntime")})
    return LatencyEnvironment(
        machine, setting.batch, setting.dtype, setting.layout, setting.mode, VERSION, backend.limits()
    )
