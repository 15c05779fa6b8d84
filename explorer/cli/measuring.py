"""``explorer latency``: measure or predict the latency of networks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.status import Status

from explorer.analysis.amounts import format_percent
from explorer.cli import WorkFailed
from explorer.cli.address import Addressed, Input, find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.options import as_json, device, print_json, print_table, storage, with_input
from explorer.errors import ExplorerError
from explorer.measure.result import Latency, LatencyEnvironment
from explorer.networks.architecture import Architecture
from explorer.space.search_space import SearchSpace, load_space
from explorer.system.files import require_writable

if TYPE_CHECKING:  # the functions import them when they are called
    from explorer.measure.predictor.predictor import Predictor
    from explorer.measure.settings import Setting

SETTING_FIELDS = ("batch", "dtype", "layout", "mode")  # of a latency environment


class Listed(click.ParamType):  # type: ignore[type-arg]  # before click 8.2 it is not generic
    """The type of an option that takes words or numbers separated by commas.

    Args:
        kind: ``str`` or ``int``.
    """

    name = "list"

    def __init__(self, kind: type[str] | type[int] = str) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in value.split(",") if word.strip()]
        try:
            return tuple(dict.fromkeys(self._kind(word) for word in words))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers; write them as in 1,32", param, ctx)


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1)
@device
@click.option(
    "--batch", "batches", type=Listed(int), default="1", show_default=True, metavar="N,...", help="Images per run."
)
@click.option(
    "--dtype",
    "dtypes",
    type=Listed(),
    default="float32",
    show_default=True,
    metavar="NAME,...",
    help="float32, tf32, bfloat16, float16.",
)
@click.option(
    "--layout",
    "layouts",
    type=Listed(),
    default="nchw",
    show_default=True,
    metavar="NAME,...",
    help="nchw, channels_last.",
)
@click.option(
    "--mode",
    "modes",
    type=Listed(),
    metavar="NAME,...",
    help="eager (default on a CPU), graph (default on a GPU), compile, onnxruntime.",
)
@click.option("--threads", type=Whole(1, 1_024), default=1, show_default=True, metavar="N", help="Threads on a CPU.")
@click.option(
    "--cores",
    type=Listed(int),
    metavar="N,...",
    help="CPU cores to use; the least busy ones by default.",
)
@click.option("--predicted", is_flag=True, help="Predict instead of measuring; requires a calibration of this device.")
@click.option("--calibrate", "space", metavar="SPACE", help="Fit a latency predictor to measured networks of SPACE.")
@click.option(
    "-n", "networks", type=Whole(min=1), metavar="N", help="Number of networks for --calibrate; 40 by default."
)
@as_json
@storage
@with_input
def latency(
    archs: tuple[str, ...],
    device: str,
    batches: tuple[int, ...],
    dtypes: tuple[str, ...],
    layouts: tuple[str, ...],
    modes: tuple[str, ...] | None,
    threads: int,
    cores: tuple[int, ...] | None,
    predicted: bool,
    space: str | None,
    networks: int | None,
    as_json: bool,
    storage: str,
    override: Input | None,
) -> None:
    """Measure the latency of ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, an exported folder).

    Several networks are timed in turn, with a fixed reference network between them. Measure networks to compare in
    one call.
    """
    from explorer.measure.protocol import MeasurementFailed
    from explorer.measure.settings import default_mode, make_settings
    from explorer.system.environment import find_device

    _check_usage(archs, predicted, space, networks)
    found = [find_architecture(arch, storage, override) for arch in archs]
    calibration_space = None if space is None else load_space(space)
    if calibration_space is not None and override is not None:
        calibration_space = override.apply(calibration_space)
    place = find_device(device)
    settings = make_settings(place, batches, dtypes, layouts, modes or [default_mode(place)])
    try:
        if calibration_space is not None:
            _calibrate(calibration_space, settings, place, networks, threads, cores, as_json)
        elif predicted:
            _predict(archs, found, settings, place, threads, as_json)
        else:
            _measure(archs, found, settings, place, threads, cores, as_json)
    except MeasurementFailed as error:
        raise WorkFailed(str(error)) from error


def _check_usage(archs: Sequence[str], predicted: bool, space: str | None, networks: int | None) -> None:
    """Raise UsageError for arguments that contradict each other."""
    context = click.get_current_context()
    if space is not None and (archs or predicted):
        raise click.UsageError("--calibrate measures networks of its SPACE; leave out ARCH and --predicted", context)
    if space is None and networks is not None:
        raise click.UsageError("-n is the number of networks of --calibrate SPACE", context)
    if space is None and not archs:
        raise click.UsageError("Missing argument 'ARCH...'.", context)


def _measure(
    archs: Sequence[str],
    found: Sequence[Addressed],
    settings: Sequence[Setting],
    place: str,
    threads: int,
    cores: Sequence[int] | None,
    as_json: bool,
) -> None:
    """Measure the networks in a child process and print their latencies."""
    from explorer.measure.child import measure_in_child

    architectures = [each.architecture for each in found]
    with _exclusive(place), _status_line(f"measuring {len(found) * len(settings)} latencies", as_json):
        measured = measure_in_child(architectures, settings, place, threads, cores)
    if as_json:
        print_json([each.to_dict() for each in measured])
    else:
        _print_latencies([arch for arch in archs for _ in settings], measured)


def _predict(
    archs: Sequence[str],
    found: Sequence[Addressed],
    settings: Sequence[Setting],
    place: str,
    threads: int,
    as_json: bool,
) -> None:
    """Predict the latencies of the networks and print them."""
    from explorer.measure.latency import present_environment
    from explorer.measure.predictor.predictor import find_predictor

    environments = [present_environment(place, setting, threads) for setting in settings]
    rows = []
    for each in found:
        digest = each.space.digest if each.space else ""
        for environment in environments:
            predictor = find_predictor(environment, each.architecture, digest)
            rows.append((each.architecture, environment, predictor, predictor.predict_one(each.architecture)))
    if as_json:
        print_json([_predicted_json(*row) for row in rows])
        return
    print_table(
        {"network": "left", "batch": "right", "predicted ms": "right", "within 10%": "right", "fitted to": "left"},
        [
            (arch, environment.batch, _ms(ms), format_percent(predictor.error.within_10_percent), predictor.space[0])
            for arch, (_, environment, predictor, ms) in zip((arch for arch in archs for _ in settings), rows)
        ],
    )


def _predicted_json(
    architecture: Architecture, environment: LatencyEnvironment, predictor: Predictor, ms: float
) -> dict[str, Any]:
    """Return one prediction as ``explorer latency --predicted --json`` prints it."""
    return {
        "digest": architecture.digest,
        **{name: getattr(environment, name) for name in SETTING_FIELDS},
        "predicted_ms": ms,
        "within_10_percent": predictor.error.within_10_percent,
        "error": asdict(predictor.error),
        "space": predictor.space[0],
        "environment": environment.to_dict(),
    }


def _calibrate(
    space: SearchSpace,
    settings: Sequence[Setting],
    place: str,
    networks: int | None,
    threads: int,
    cores: Sequence[int] | None,
    as_json: bool,
) -> None:
    """Fit a predictor to measured networks of a space, save it and print its error."""
    from explorer.measure.predictor.calibration import NETWORKS, calibrate
    from explorer.measure.predictor.predictor import predictors_folder, save

    if len(settings) > 1:
        raise ExplorerError(f"a predictor has one setting, found {len(settings)}; calibrate them one by one")
    require_writable(predictors_folder() / "predictor.json")
    wanted, done = networks or NETWORKS, 0
    with _exclusive(place), _status_line(f"measuring {wanted} networks of {space.name}", as_json) as status:

        def count(latency: Latency) -> None:
            nonlocal done
            done += 1
            if status is not None:
                status.update(f"{done} measurements of {wanted} networks of {space.name}")

        made = calibrate(space, settings[0], place, networks=wanted, threads=threads, cores=cores, on_latency=count)
    predictor, error = made.predictor, made.predictor.error
    path = save(predictor)
    contended = sum(latency.contended for latency in made.measured)
    if as_json:
        document = {
            "device": place,
            "space": space.name,
            "networks": predictor.networks,
            "within_10_percent": error.within_10_percent,
            "error": asdict(error),
            "contended": contended,
            "file": str(path),
            "environment": predictor.environment.to_dict(),
        }
        print_json(document)
        return
    click.echo(f"{place}: fitted to {predictor.networks} networks of {space.name}; {predictor.environment}")
    click.echo(
        f"{format_percent(error.within_10_percent)} of held-out networks are predicted within 10%; error: median"
        f" {format_percent(error.median)}, 90th percentile {format_percent(error.p90)}, bias {error.bias:+.1%}"
    )
    if contended:
        click.echo(
            f"contended: {contended} of {predictor.networks} measurements ran while other processes used the device"
        )
    click.echo(f"saved in {path}")


def _exclusive(place: str) -> AbstractContextManager[None]:
    """Return the lock of a device for measuring: it waits for other measurements, and trainings wait for it."""
    from explorer.system.device_lock import measuring

    return measuring(place, lambda: click.echo(f"another measurement is running on {place}; waiting for it", err=True))


def _status_line(what: str, silent: bool) -> AbstractContextManager[Status | None]:
    """Return a status line on standard error; None if ``silent``."""
    return nullcontext() if silent else Console(stderr=True).status(what)


def _print_latencies(named: Sequence[str], measured: Sequence[Latency]) -> None:
    """Print measured latencies as a table, and below it what they have in common."""
    varying = [name for name in SETTING_FIELDS if len({getattr(each.environment, name) for each in measured}) > 1]
    numbers = dict.fromkeys(["ms", "median", "95% interval", "p05 to p95", "runs", "images/s"], "right")
    print_table(
        {"network": "left", **dict.fromkeys(varying, "right"), **numbers},
        [
            (
                arch,
                *(getattr(each.environment, name) for name in varying),
                _ms(each.reported_ms),
                _ms(each.median_ms),
                f"{_ms(each.ci95_ms[0])} to {_ms(each.ci95_ms[1])}",
                f"{_ms(each.p05_ms)} to {_ms(each.p95_ms)}",
                each.runs,
                f"{each.throughput:,.0f}",
            )
            for arch, each in zip(named, measured)
        ],
    )
    click.echo()
    environment = measured[0].environment
    machine, torch = environment.machine, environment.machine.versions["torch"]
    fixed = [f"{name} {getattr(environment, name)}" for name in SETTING_FIELDS if name not in varying]
    clocks = (measured[0].device_state or {}).get("sm_mhz", [])
    at = f" at {max(clocks):g} MHz" if clocks else ""  # the only sign of a locked clock
    click.echo(f"{machine.device}: {machine.device_name}{at}, torch {torch}; {', '.join(fixed)}")
    for method in dict.fromkeys(each.method for each in measured):
        click.echo(method)
    notes = dict.fromkeys(note for each in measured for note in each.notes)
    if notes:
        robust = " ('ms' is robust to it; median and quantiles are not)" if machine.device == "cpu" else ""
        click.echo(f"contended: {'; '.join(notes)}{robust}")


def _ms(value: float) -> str:
    """Format milliseconds with three digits, or as a whole number from 100."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
