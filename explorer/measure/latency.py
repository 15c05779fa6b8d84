"""How long networks take: each in its inference form, timed in turn with the others and a fixed reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import nn

from explorer.errors import MeasurementError
from explorer.measure.child import measure_in_child
from explorer.measure.cpu import Cpu
from explorer.measure.cuda import Cuda
from explorer.measure.fold import InferenceForm, inference_form
from explorer.measure.predictor import reference
from explorer.measure.protocol import (
    VERSION,
    Contestant,
    MeasurementFailed,
    Timings,
    corrected,
    drift,
    pace,
    take_turns,
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

AT_ONCE = 16  # contestants that take turns; more are measured in groups
ATTEMPTS = 3  # at a measurement whose reference drifts too far


class Subject(NamedTuple):
    """A network to be timed. ``digest``: its architecture's, or an empty text."""

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
    """The latency of one network for one batch, measured now.

    An Architecture is built and timed in a process of its own; a module is timed in this one, whose threads, pinning,
    precision and random numbers are put back afterwards. ``input``: (C, H, W), needed for a module that ``build`` did
    not make. ``mode``: eager on a CPU and graph on a GPU unless named. ``threads``, ``cores``: of a CPU; the least busy
    cores unless named. Another measurement on the device is waited for, and this project's trainings there wait for
    this one. Raises MeasurementError for what the device cannot do, MeasurementFailed when it changes under way.
    """
    place = find_device(device)
    settings = make_settings(place, [batch], [dtype], [layout], [mode or default_mode(place)])
    if isinstance(network, Architecture):
        with measuring(place):
            return measure_in_child([network], settings, place, threads, cores)[0]
    shape = network.architecture.input if input is None and isinstance(network, Network) else input
    if shape is None:
        raise MeasurementError("the module's input is not known; say input=(channels, height, width)")
    digest = network.architecture.digest if isinstance(network, Network) else ""
    with measuring(place):
        return measure([Subject(network, TensorShape(*shape), digest)], settings, place, threads, cores)[0]


def measure_architectures(
    architectures: Sequence[Architecture],
    settings: Sequence[Setting],
    device: str,
    threads: int = 1,
    cores: Collection[int] | None = None,
    patience: float = 1.0,
) -> Iterator[Latency]:
    """Each architecture under each setting, in this process, in the order given; those near each other take turns.

    ``patience``: below 1 for a number in which an error of some per cent may be.
    """
    group = max(1, AT_ONCE // len(settings))
    for start in range(0, len(architectures), group):
        some = architectures[start : start + group]
        subjects = [Subject(build_network(each), each.input, each.digest) for each in some]
        yield from measure(subjects, settings, device, threads, cores, patience)


def measure(
    subjects: Sequence[Subject],
    settings: Sequence[Setting],
    device: str,
    threads: int = 1,
    cores: Collection[int] | None = None,
    patience: float = 1.0,
) -> list[Latency]:
    """Every subject under every setting, all taking turns, in this process."""
    place: Any = Cpu(threads, cores, patience) if device == "cpu" else Cuda(device, patience=patience)
    return measure_on(place, subjects, settings)


def present_environment(device: str, setting: Setting, threads: int = 1) -> LatencyEnvironment:
    """The environment that a latency measured now would carry."""
    place: Any = Cpu(threads) if device == "cpu" else Cuda(device)
    return _environment(place, describe_environment(place.name, place.threads), setting)


def measure_on(place: Any, subjects: Sequence[Subject], settings: Sequence[Setting]) -> list[Latency]:
    """``place``: a ``Cpu``, a ``Cuda``, or what behaves like one."""
    machine = describe_environment(place.name, place.threads)
    with ExitStack() as stack:
        stack.enter_context(place.session())
        stack.enter_context(torch.random.fork_rng(devices=[]))  # what is drawn here is the caller's to draw
        forms = [inference_form(subject.network) for subject in subjects]
        cases = [(subject, form, setting) for subject, form in zip(subjects, forms) for setting in settings]
        contestants = [place.contestant(form, setting, subject.shape) for subject, form, setting in cases]
        yardstick = InferenceForm(reference.reference_network(), 0, 0, traced=False)
        judge = place.contestant(yardstick, Setting(reference.BATCH, mode=default_mode(place.name)), reference.SHAPE)
        for attempt in range(1, ATTEMPTS + 1):
            timings, paces, of_all = _attempt(place, contestants, judge)
            try:
                return [
                    _latency(place, machine, case, contestant, timing, paces, of_all)
                    for case, contestant, timing in zip(cases, contestants, timings)
                ]
            except MeasurementFailed:
                if attempt == ATTEMPTS:
                    raise
    raise AssertionError("an attempt returns or raises")


def _attempt(
    place: Any, contestants: Sequence[Contestant], judge: Contestant
) -> tuple[list[Timings], list[float], dict[str, Any]]:
    """Each contestant's timings, the pace of each round, and what the latencies of all of them have in common."""
    states: list[Any] = []
    timings, kept = take_turns(contestants, judge, place.effort, lambda: states.append(place.observe()))
    states.append(place.observe())
    paces, notes = pace(kept, place.statistic), place.disturbance(*states)
    of_all = {
        "reference_ms": place.statistic(kept.runs),
        "drift": drift(paces),
        "contended": bool(notes),
        "notes": tuple(notes),
        "device_state": place.readings(*states),
    }
    return timings, paces, of_all


def _latency(
    place: Any,
    machine: Environment,
    case: tuple[Subject, InferenceForm, Setting],
    contestant: Any,
    timings: Timings,
    paces: Sequence[float],
    of_all: Mapping[str, Any],
) -> Latency:
    subject, form, setting = case
    times = [run.ms for run in timings.runs]
    reported = place.statistic(corrected(timings, paces) if place.corrects else timings.runs)
    return Latency(
        digest=subject.digest,
        reported_ms=reported,
        median_ms=median(times),
        p05_ms=quantile(times, 5),
        p95_ms=quantile(times, 95),
        ci95_ms=median_interval(times),
        runs=len(times),
        throughput=1e3 * setting.batch / reported,
        method=f"{form}; {place.method()}",
        environment=_environment(place, machine, setting),
        peak_memory_bytes=place.peak_memory(contestant),
        joules_per_image=place.joules_per_image(contestant),
        **of_all,
    )


def _environment(place: Any, machine: Environment, setting: Setting) -> LatencyEnvironment:
    if setting.mode == "onnxruntime":
        machine = replace(machine, versions={**machine.versions, "onnxruntime": version("onnxruntime")})
    return LatencyEnvironment(
        machine, setting.batch, setting.dtype, setting.layout, setting.mode, VERSION, place.limits()
    )
