"""``explorer reproduce``: a published table, ours beside theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explorer.analysis.amounts import format_count, plural
from explorer.cli import WorkFailed
from explorer.cli.amounts import Whole
from explorer.cli.options import (
    as_json,
    console,
    data_dir,
    device,
    plain,
    print_json,
    print_table,
    storage,
)
from explorer.cli.setting_options import setting_options
from explorer.reproduction.catalogue import EXPERIMENTS, check_scale, find_experiment
from explorer.reproduction.comparison import verdict
from explorer.reproduction.experiment import SCALES
from explorer.study.settings import SearchSettings
from explorer.system.files import begins_with, check_output
from explorer.system.signals import raise_interrupted

if TYPE_CHECKING:  # the functions import it when they are called
    from explorer.reproduction.experiment import Quantity
    from explorer.reproduction.run import Reproduction

DOCTYPE = "<!doctype html>\n"
PLOT_START = f"{DOCTYPE}<!-- explorer reproduce -->\n"  # by which the command knows its own files


@click.command(epilog=f"NAME: {'; '.join(f'{each.name} ({each.about})' for each in EXPERIMENTS.values())}.")
@click.argument("name")
@click.option(
    "--scale",
    default="tiny",
    show_default=True,
    metavar=f"[{'|'.join(SCALES)}]",
    help="tiny: meant for two cores and 15 minutes; small: for one GPU and ten minutes; full: the paper's depths and"
    " recipe.",
)
@click.option(
    "--seeds", type=Whole(1, 1_000), metavar="N", help="Trainings of each case; the scale's own number by default."
)
@click.option("--study", metavar="NAME", help="Name of the study; reproduce-NAME-SCALE by default.")
@click.option(
    "--workers", type=Whole(1, 1_024, auto=True), metavar="N", help="Parallel trainings; one per core by default."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.html", help="Also draw the training curves of the cases."
)
@setting_options(each for each in SearchSettings.described() if each.name in ("precision", "artifacts"))
@device
@data_dir
@as_json
@storage
def reproduce(name: str, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Train the cases of a published table and print its numbers beside the measured ones.

    The same command again continues after an interruption; with more --seeds it adds trainings.
    """
    from explorer.reproduction.run import run_experiment
    from explorer.study.confirm.display import show_confirmation

    experiment, scale = find_experiment(name), check_scale(options["scale"])
    if plot is None and experiment.has_curves:
        plot = Path(f"{name}-{scale}.html")
    if plot is not None:
        _check_plot(plot)
    with show_confirmation() as progress:
        found = run_experiment(name, progress=progress, **options)
    if plot is not None:
        _write_plot(plot, found)
    if as_json:
        print_json({**found.to_json(), **({} if plot is None else {"plot": str(plot)})})
    else:
        _print(found)
        if plot is not None:
            click.echo(f"training curves: {plot}")
    if found.signal:
        raise_interrupted(found.signal)
    if found.stopped and not found.failed:
        click.echo(found.ended, err=True)
    elif found.missing or found.failed:
        raise WorkFailed(found.ended)


def _check_plot(plot: Path) -> None:
    """Raise ExplorerError if the plot cannot be written."""
    from explorer.dashboard.atlas import check_plotting

    check_plotting()
    check_output(plot, (".html", ".htm"), lambda file: begins_with(file, PLOT_START), "--plot")


def _write_plot(plot: Path, found: Reproduction) -> None:
    """Write the training curves as a page."""
    from explorer.dashboard.figures.training_curves import training_curves_figure, training_curves_table
    from explorer.system.files import write_atomically

    title = f"{found.experiment.name}, {found.scale}: {found.experiment.about}"
    figure = training_curves_figure(training_curves_table(found.records), title)
    page = figure.to_html(include_plotlyjs=True).removeprefix(DOCTYPE)
    write_atomically(plot, f"{PLOT_START}{page}".encode())


def _print(found: Reproduction) -> None:
    """Print the table, the differences, and what they can tell."""
    out, experiment = console(), found.experiment
    quantity = experiment.quantity
    out.print(plain(f"{experiment.name}, {found.scale}: {experiment.about}"))
    out.print(plain(f"published: {experiment.source}\n"))
    columns = ("published", "measured", "seeds", "std", "layers", "macs")
    print_table(
        {"case": "left", **dict.fromkeys(columns, "right"), "note": "left"},
        [
            (
                row.case.name,
                _number(row.case.published, quantity),
                _number(row.mean, quantity),
                len(row.values),
                _number(row.std, quantity),
                row.network.weight_layers,
                format_count(row.network.macs),
                "; ".join(filter(None, (row.case.note, *row.failures[:1]))),
            )
            for row in found.rows
        ],
    )
    unit = f" in {quantity.unit}" if quantity.unit else ""
    size = experiment.scales[found.scale]
    images = "all" if size.subset is None else f"{size.subset:,} training and validation"
    trained = f" after {plural(size.epochs, 'epoch')} of {images} images" if size.epochs else ""
    out.print(plain(f"\n{quantity.title}{unit}; measured: mean over the seeds{trained}; std: of one seed;"))
    out.print(plain("names and published numbers: of the published networks; layers and macs: of the measured ones\n"))
    print_table(
        {"difference": "left", "published": "right", "measured": "right", "95% interval": "right"},
        [
            (
                f"{each.case} - {each.against}",
                _number(each.published, quantity, "+"),
                _number(each.measured, quantity, "+"),
                "" if each.ci95 is None else " to ".join(_number(end, quantity, "+") for end in each.ci95),
            )
            for each in found.differences
        ],
    )
    out.print(plain(""))
    for line in verdict(found.differences, quantity):
        out.print(plain(line))
    out.print(plain(f"Different from the paper at any scale: {experiment.differs}."))
    if found.study is not None:
        out.print(plain(f"{found.ended}, {found.seconds:.0f} s; kept in study {found.study.name!r}."))


def _number(value: float | None, quantity: Quantity, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.{quantity.digits}f}"
