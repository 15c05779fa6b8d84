"""Fit a latency predictor from measured networks of a space, and predict latencies with a stored one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from explorer.errors import MeasurementError
from explorer.measure.child import measure_in_child
from explorer.measure.predictor.features import tabulate
from explorer.measure.predictor.predictor import MIN_NETWORKS, Predictor, find_predictor, fit
from explorer.measure.predictor.regression import most_informative
from explorer.measure.result import Latency
from explorer.measure.settings import Setting, default_mode, make_settings
from explorer.measure.statistics import median
from explorer.networks.architecture import Architecture
from explorer.space.search_space import SearchSpace
from explorer.system.environment import find_device

NETWORKS = 40  # the errors in docs/how_to/latency.md are for this number
TIME_SCALE = 0.3  # of the full measuring time; the fit averages the larger errors of single measurements
POOL = 4  # networks sampled for each one that is measured
DRAWS_PER_NETWORK = 20  # samples for each network wanted, after which the space counts as exhausted


class Calibration(NamedTuple):
    """A predictor and the measurements that it was fitted to.

    Attributes:
        predictor: The fitted predictor.
        measured: One latency for each network.
    """

    predictor: Predictor
    measured: list[Latency]


def calibrate(
    space: SearchSpace,
    setting: Setting,
    device: str,
    *,
    networks: int = NETWORKS,
    threads: int = 1,
    cores: Collection[int] | None = None,
    seed: int = 0,
    on_latency: Callable[[Latency], object] = lambda latency: None,
) -> Calibration:
    """Measure distinct networks of a space, and fit a predictor to their latencies.

    The networks are chosen from POOL times as many uniform samples, by ``most_informative``. Networks whose measurement
    is contended are measured a second time after all others; the uncontended or lower result counts.

    The speed of a device changes, for example with the load of other virtual machines on its host. Each latency is
    therefore divided by that of the reference network in the same measurement, and multiplied by the median of these.

    Args:
        space: The space.
        setting: Batch, dtype, layout and mode of the measurements.
        device: A device name from ``find_device``.
        networks: How many networks to measure, at least 20. A smaller space is measured whole.
        threads: Computing threads on a CPU.
        cores: Numbers of the CPU cores to pin to. Default: the least busy ones.
        seed: Seed of the sample.
        on_latency: Called with each latency as soon as it is measured.

    Raises:
        MeasurementError: The space or ``networks`` is too small, or the device cannot run a network.
        MeasurementFailed: The device changed during the measurement, or the measuring process died.
    """
    if networks < MIN_NETWORKS:
        raise MeasurementError(
            f"{networks} networks are too few to fit and test a predictor; use {MIN_NETWORKS} or more"
        )
    sampled: dict[str, Architecture] = {}
    pool = POOL * networks
    for derivation in space.sample(min(DRAWS_PER_NETWORK * networks, max(1_000, pool)), seed=seed):
        architecture = space.architecture(derivation)
        sampled.setdefault(architecture.digest, architecture)
        if len(sampled) == pool:
            break
    if len(sampled) < MIN_NETWORKS:
        raise MeasurementError(
            f"{space.name} has {len(sampled)} distinct networks; a predictor needs at least {MIN_NETWORKS}"
        )
    candidates = list(sampled.values())
    _, x, levels = tabulate(candidates, setting.batch)
    architectures = [candidates[index] for index in most_informative(x, levels, networks)]
    measured = measure_in_child(architectures, [setting], device, threads, cores, TIME_SCALE, on_latency)
    contended = [index for index, latency in enumerate(measured) if latency.contended]
    if contended:
        chosen = [architectures[index] for index in contended]
        second = measure_in_child(chosen, [setting], device, threads, cores, TIME_SCALE, on_latency)
        for index, latency in zip(contended, second):
            measured[index] = min(measured[index], latency, key=lambda each: (each.contended, _relative(each)))
    reference_ms = median([latency.reference_ms for latency in measured])
    times = [reference_ms * _relative(latency) for latency in measured]
    return Calibration(fit(architectures, times, measured[0].environment, (space.name, space.digest)), measured)


def _relative(latency: Latency) -> float:
    """Return the latency as a multiple of the reference network's."""
    return latency.reported_ms / latency.reference_ms


def predict_latency(
    architectures: Sequence[Architecture],
    *,
    device: str = "auto",
    batch: int = 1,
    dtype: str = "float32",
    layout: str = "nchw",
    mode: str | None = None,
    threads: int = 1,
    space: SearchSpace | None = None,
) -> list[float]:
    """Predict the latency of architectures with the predictor that 'explorer latency --calibrate' stored.

    Only a predictor of the same environment (device, versions, batch, dtype, layout, mode, threads) is used.

    Args:
        architectures: The architectures.
        device: "auto" (the first GPU, else the CPU), "cpu" or "cuda:N".
        batch: Images per run.
        dtype: "float32", "tf32", "bfloat16" or "float16".
        layout: "nchw" or "channels_last".
        mode: "eager", "graph", "compile" or "onnxruntime". Default: "eager" on a CPU, "graph" on a GPU.
        threads: Computing threads on a CPU.
        space: The space that the architectures come from. Its own predictor is preferred; by default the newest
            predictor that covers the network with the most layers is used.

    Returns:
        Milliseconds per batch, in the order given.

    Raises:
        MeasurementError: There is no such predictor.
    """
    from explorer.measure.latency import present_environment

    if not architectures:
        return []
    device = find_device(device)
    (setting,) = make_settings(device, [batch], [dtype], [layout], [mode or default_mode(device)])
    environment = present_environment(device, setting, threads)
    largest = max(architectures, key=lambda architecture: architecture.layer_count)
    return find_predictor(environment, largest, space.digest if space else "").predict(architectures)
