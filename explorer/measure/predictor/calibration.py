"""Learning a device's latencies from networks of a space, and answering from what was learnt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from explorer.errors import MeasurementError
from explorer.measure.child import measure_in_child
from explorer.measure.predictor.predictor import MIN_NETWORKS, Predictor, find_predictor, fit
from explorer.measure.settings import Setting, default_mode, make_settings
from explorer.networks.architecture import Architecture
from explorer.records import Latency
from explorer.space.search_space import SearchSpace
from explorer.system.environment import find_device

NETWORKS = 160
TIME_SCALE = 0.3  # a part of a second a network: the fit evens single errors out
DRAWS_PER_NETWORK = 20  # for each network wanted, before a space counts as having no more


class Calibration(NamedTuple):
    """A predictor with the measurements that it was learnt from."""

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
    """Measures so many distinct networks of ``space``, uniform draws, and learns from them.

    Those beside which other work ran are measured again when all have been, some minutes later perhaps, and the lower
    number counts. ``on_latency`` hears of each measurement. Raises MeasurementError when the space has too few
    networks, and what measuring raises.
    """
    if networks < MIN_NETWORKS:
        raise MeasurementError(
            f"{networks} networks are too few to learn from and to test on; ask for {MIN_NETWORKS} or more"
        )
    drawn: dict[str, Architecture] = {}
    for derivation in space.sample(min(DRAWS_PER_NETWORK * networks, max(1_000, networks)), seed=seed):
        architecture = space.architecture(derivation)
        drawn.setdefault(architecture.digest, architecture)
        if len(drawn) == networks:
            break
    if len(drawn) < MIN_NETWORKS:
        raise MeasurementError(
            f"{space.name} has {len(drawn)} networks that differ; {MIN_NETWORKS} are needed to learn from"
        )
    architectures = list(drawn.values())
    measured = measure_in_child(architectures, [setting], device, threads, cores, TIME_SCALE, on_latency)
    again = [place for place, latency in enumerate(measured) if latency.contended]
    if again:
        chosen = [architectures[place] for place in again]
        second = measure_in_child(chosen, [setting], device, threads, cores, TIME_SCALE, on_latency)
        for place, latency in zip(again, second):
            measured[place] = min(measured[place], latency, key=lambda each: (each.contended, each.reported_ms))
    times = [latency.reported_ms for latency in measured]
    return Calibration(fit(architectures, times, measured[0].environment, (space.name, space.digest)), measured)


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
    """Milliseconds for each architecture by the predictor that 'explorer latency --calibrate' kept for this very
    environment; ``space``: the one they come from, where several were calibrated.

    Raises MeasurementError when there is none.
    """
    from explorer.measure.latency import present_environment

    if not architectures:
        return []
    place = find_device(device)
    (setting,) = make_settings(place, [batch], [dtype], [layout], [mode or default_mode(place)])
    environment = present_environment(place, setting, threads)
    largest = max(architectures, key=lambda architecture: architecture.layer_count)
    return find_predictor(environment, largest, space.digest if space else "").predict(architectures)
