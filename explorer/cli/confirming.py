"""``explorer confirm``: train the networks of a frontier again from fresh seeds, and test them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from explorer.analysis.amounts import amount, format_percent, plural
from explorer.analysis.quantities import FRACTIONS, TRAINED
from explorer.cli import WorkFailed
from explorer.cli.amounts import Whole
from explorer.cli.options import (
    as_json,
    choices_line,
    console,
    data_dir,
    device,
    mix,
    plain,
    print_json,
    print_table,
    storage,
)
from explorer.cli.studies import warn_of_mixed_latencies
from explorer.system.signals import raise_interrupted

if TYPE_CHECKING:  # the functions import it when they are called
    from explorer.study.confirm.run import Confirmation


@click.command()
@click.argument("study", default="")
@click.option(
    "--seeds",
    type=Whole(1, 1_000),
    default=5,
    show_default=True,
    metavar="N",
    help="Trainings of each network.",
)
@click.option("--epochs", type=Whole(1, 100_000), metavar="N", help="Epochs of each training; the study's by default.")
@click.option(
    "--x", metavar="COST", help="The frontier's cost; the study's first cost objective by default, or else macs."
)
@click.option(
    "--y",
    type=click.Choice(list(TRAINED)),
    help="The metric to test; the study's first measured objective by default.",
)
@click.option(
    "--estimated",
    is_flag=True,
    help="Confirm the frontier of the best estimates, which fresh seeds change, instead of the search's.",
)
@mix
@click.option(
    "--workers", type=Whole(1, 1_024, auto=True), metavar="N", help="Parallel trainings; one per core by default."
)
@device
@data_dir
@as_json
@storage
def confirm(study: str, storage: str, device: str, as_json: bool, **options: Any) -> None:
    """Train the networks of STUDY's frontier again from fresh seeds, and test them on images that no search sees.

    The same command resumes an interrupted confirmation; with more --seeds it adds trainings.
    """
    from explorer.study.confirm.display import show_confirmation
    from explorer.study.confirm.run import run_confirmation
    from explorer.system.environment import find_device

    with show_confirmation() as progress:
        found = run_confirmation(storage, study, device=find_device(device), progress=progress, **options)
    if as_json:
        print_json(_documents(found))
    else:
        _print(found)
    warn_of_mixed_latencies(found.study, {found.x}, on_stderr=True)
    if not found.interrupted and (found.failed or (found.missing and not found.stopped)):
        raise WorkFailed(found.ended)
    click.echo(found.ended, err=True)
    if found.interrupted:
        raise_interrupted(found.signal)


def _documents(found: Confirmation) -> list[dict[str, Any]]:
    """Return the confirmed networks as ``explorer confirm --json`` prints them."""
    trials = {trial.digest: trial for trial in found.frontier}
    documents = []
    for each in found.networks:
        data, trial = each.to_json(), trials[each.digest]
        named = {"x": found.x, "y": found.y, found.x: data.pop("x"), "validation": trial.objectives.get(found.y)}
        documents.append({**data, **named, "choices": dict(trial.choices)})
    return documents


def _print(found: Confirmation) -> None:
    """Print the confirmed networks as a table, with an explanation of its columns."""
    out = console()
    if not found.networks:
        return
    trials = {trial.digest: trial for trial in found.frontier}
    is_fraction = found.y in FRACTIONS

    def shown(value: float | None) -> str:
        return "" if value is None else format_percent(value) if is_fraction else f"{value:.3f}"

    columns = ["trial", found.x, "searched", "test", "std", "seeds", "on the frontier"]
    print_table(
        {**dict.fromkeys(columns, "right"), "choices": "left"},
        [
            (
                each.trial,
                amount(found.x, each.x),
                shown(trials[each.digest].objectives.get(found.y)),
                shown(each.test_mean),
                shown(each.test_std),
                each.seeds,
                "" if each.frontier_probability is None else f"{each.frontier_probability:.0%}",
                choices_line(trials[each.digest].choices),
            )
            for each in found.networks
        ],
    )
    epochs = found.networks[0].epochs
    out.print(
        plain(
            f"\n{found.y} after {plural(epochs, 'epoch')}. searched: one training, on validation images; test: mean"
            " over fresh seeds, on images that no search sees;\nstd: standard deviation of one training; on the"
            f" frontier: probability that no confirmed network with at most its {found.x} has a better mean"
        )
    )
