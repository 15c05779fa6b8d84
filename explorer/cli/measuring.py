"""``explorer latency``: how long networks take."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import click
from rich.console import Console

from explorer.address import find_architecture
from explorer.cli import WorkFailed
from explorer.cli.options import as_json, print_json, print_table, storage, with_input
from explorer.records import Latency

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
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
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
@click.option("--threads", type=click.IntRange(1, 1_024), default=1, show_default=True, metavar="N", help="Of a CPU.")
@click.option("--cores", type=Listed(int), metavar="N,...", help="Of a CPU, to pin them to; the least busy by default.")
@as_json
@storage
@with_input
def latency(archs, device, batches, dtypes, layouts, modes, threads, cores, as_json, storage, override) -> None:
    """How long ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, architecture.json) takes for a batch.

    Several are timed in turn, with a fixed reference network between them: what is compared belongs in one call.
    """
    from explorer.measure.child import measure_in_child
    from explorer.measure.environment import find_device
    from explorer.measure.protocol import MeasurementFailed
    from explorer.measure.settings import default_mode, make_settings

    if not archs:
        raise click.UsageError("Missing argument 'ARCH...'.", click.get_current_context())
    found = [find_architecture(arch, storage, override).architecture for arch in archs]
    place = find_device(device)
    settings = make_settings(place, batches, dtypes, layouts, modes or [default_mode(place)])
    with _waiting(f"measuring {len(found) * len(settings)} latencies", as_json):
        try:
            measured = measure_in_child(found, settings, place, threads, cores)
        except MeasurementFailed as error:
            raise WorkFailed(str(error)) from error
    if as_json:
        print_json([each.to_dict() for each in measured])
    else:
        named = [arch for arch in archs for _ in settings]
        _print_latencies(named, measured)


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
    click.echo(f"{machine.device}: {machine.device_name}, torch {torch}; {', '.join(fixed)}")
    for method in dict.fromkeys(each.method for each in measured):
        click.echo(method)
    notes = dict.fromkeys(note for each in measured for note in each.notes)
    if notes:
        stands = " ('ms' is chosen to stand that; median and quantiles do not)" if machine.device == "cpu" else ""
        click.echo(f"contended: {'; '.join(notes)}{stands}")


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
