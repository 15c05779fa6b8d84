"""``explorer latency``: how long networks take."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict

import click
from rich.console import Console

from explorer.cli import WorkFailed
from explorer.cli.address import find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.options import as_json, device, percent, print_json, print_table, storage, with_input
from explorer.errors import ExplorerError
from explorer.measure.result import Latency
from explorer.space.search_space import load_space
from explorer.system.files import require_writable

SETTING = ("batch", "dtype", "layout", "mode")


class Listed(click.ParamType):
    """Words or numbers, separated by commas."""

    name = "list"

    def __init__(self, kind: type = str):
        self._kind = kind

    def convert(self, value, param, ctx) -> tuple:
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
    "--batch", "batches", type=Listed(int), default="1", show_default=True, metavar="N,...", help="Images a run."
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
@click.option("--threads", type=Whole(1, 1_024), default=1, show_default=True, metavar="N", help="Of a CPU.")
@click.option("--cores", type=Listed(int), metavar="N,...", help="Of a CPU, to pin them to; the least busy by default.")
@click.option("--predicted", is_flag=True, help="Predict instead of measuring; needs a calibration of this device.")
@click.option("--calibrate", "space", metavar="SPACE", help="Learn to predict this device from networks of SPACE.")
@click.option("-n", "networks", type=Whole(min=1), metavar="N", help="With --calibrate: how many; 160 by default.")
@as_json
@storage
@with_input
def latency(
    archs,
    device,
    batches,
    dtypes,
    layouts,
    modes,
    threads,
    cores,
    predicted,
    space,
    networks,
    as_json,
    storage,
    override,
) -> None:
    """How long ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, an exported folder) takes for a batch.

    Several are timed in turn, with a fixed reference network between them: what is compared belongs in one call.
    """
    from explorer.measure.protocol import MeasurementFailed
    from explorer.measure.settings import default_mode, make_settings
    from explorer.system.environment import find_device

    _check_asked(archs, predicted, space, networks)
    found = [find_architecture(arch, storage, override) for arch in archs]
    read = None if space is None else load_space(space)
    if read is not None and override is not None:
        read = override.applied(read)
    place = find_device(device)
    settings = make_settings(place, batches, dtypes, layouts, modes or [default_mode(place)])
    try:
        if read is not None:
            _calibrate(read, settings, place, networks, threads, cores, as_json)
        elif predicted:
            _predict(archs, found, settings, place, threads, as_json)
        else:
            _measure(archs, found, settings, place, threads, cores, as_json)
    except MeasurementFailed as error:
        raise WorkFailed(str(error)) from error


def _check_asked(archs, predicted, space, networks) -> None:
    context = click.get_current_context()
    if space is not None and (archs or predicted):
        raise click.UsageError("--calibrate measures networks of its SPACE; leave out ARCH and --predicted", context)
    if space is None and networks is not None:
        raise click.UsageError("-n is the number of networks of --calibrate SPACE", context)
    if space is None and not archs:
        raise click.UsageError("Missing argument 'ARCH...'.", context)


def _measure(archs, found, settings, place, threads, cores, as_json) -> None:
    from explorer.measure.child import measure_in_child

    architectures = [each.architecture for each in found]
    with _alone_on(place), _waiting(f"measuring {len(found) * len(settings)} latencies", as_json):
        measured = measure_in_child(architectures, settings, place, threads, cores)
    if as_json:
        print_json([each.to_dict() for each in measured])
    else:
        _print_latencies([arch for arch in archs for _ in settings], measured)


def _predict(archs, found, settings, place, threads, as_json) -> None:
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
        {"network": "left", "batch": "right", "predicted ms": "right", "within 10%": "right", "learnt from": "left"},
        [
            (arch, environment.batch, _ms(ms), percent(predictor.error.within_10_percent), predictor.space[0])
            for arch, (_, environment, predictor, ms) in zip((arch for arch in archs for _ in settings), rows)
        ],
    )


def _predicted_json(architecture, environment, predictor, ms) -> dict:
    return {
        "digest": architecture.digest,
        **{name: getattr(environment, name) for name in SETTING},
        "predicted_ms": ms,
        "within_10_percent": predictor.error.within_10_percent,
        "error": asdict(predictor.error),
        "space": predictor.space[0],
        "environment": environment.to_dict(),
    }


def _calibrate(space, settings, place, networks, threads, cores, as_json) -> None:
    from explorer.measure.predictor.calibration import NETWORKS, calibrate
    from explorer.measure.predictor.predictor import predictors_folder, save

    if len(settings) > 1:
        raise ExplorerError(f"a predictor is of one setting, {len(settings)} were named; calibrate them one by one")
    require_writable(predictors_folder() / "predictor.json")
    wanted, done = networks or NETWORKS, 0
    with _alone_on(place), _waiting(f"measuring {wanted} networks of {space.name}", as_json) as status:

        def heard(latency: Latency) -> None:
            nonlocal done
            done += 1
            if status is not None:
                status.update(f"{done} measurements of {wanted} networks of {space.name}")

        made = calibrate(space, settings[0], place, networks=wanted, threads=threads, cores=cores, on_latency=heard)
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
    click.echo(f"{place}: learnt from {predictor.networks} networks of {space.name}; {predictor.environment}")
    click.echo(
        f"of held-out networks {percent(error.within_10_percent)} are predicted within 10%; error: median"
        f" {percent(error.median)}, 90th percentile {percent(error.p90)}, bias {error.bias:+.1%}"
    )
    if contended:
        click.echo(f"contended: {contended} of {predictor.networks} were measured beside other work")
    click.echo(f"kept in {path}")


def _alone_on(place: str):
    """Others that measure there are waited for, which is said; trainings there wait for this one."""
    from explorer.system.device_lock import measuring

    return measuring(
        place, lambda: click.echo(f"another measurement is under way on {place}; waiting for it", err=True)
    )


def _waiting(what: str, silent: bool):
    """A sign of life on standard error."""
    return nullcontext() if silent else Console(stderr=True).status(what)


def _print_latencies(named: Sequence[str], measured: Sequence[Latency]) -> None:
    varying = [name for name in SETTING if len({getattr(each.environment, name) for each in measured}) > 1]
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
    fixed = [f"{name} {getattr(environment, name)}" for name in SETTING if name not in varying]
    clocks = (measured[0].device_state or {}).get("sm_mhz", [])
    at = f" at {max(clocks):g} MHz" if clocks else ""  # which tells a locked clock, where nothing else does
    click.echo(f"{machine.device}: {machine.device_name}{at}, torch {torch}; {', '.join(fixed)}")
    for method in dict.fromkeys(each.method for each in measured):
        click.echo(method)
    notes = dict.fromkeys(note for each in measured for note in each.notes)
    if notes:
        stands = " ('ms' is chosen to stand that; median and quantiles do not)" if machine.device == "cpu" else ""
        click.echo(f"contended: {'; '.join(notes)}{stands}")


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
