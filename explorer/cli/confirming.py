"""``explorer confirm``: how much of a frontier holds when its networks are trained again."""

from __future__ import annotations

import click

from explorer.analysis.quantities import FRACTIONS, TRAINED
from explorer.cli import WorkFailed
from explorer.cli.amounts import Whole
from explorer.cli.options import (
    amount,
    as_json,
    choices_line,
    console,
    data_dir,
    device,
    percent,
    plain,
    print_json,
    print_table,
    storage,
)
from explorer.cli.studies import mix, tell_mixed
from explorer.system.signals import raise_interrupted


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
    help="What is tested; the study's first measured objective by default.",
)
@mix
@click.option(
    "--workers", type=Whole(1, 1_024, auto=True), metavar="N", help="Trainings side by side; a core each by default."
)
@device
@data_dir
@as_json
@storage
def confirm(study, storage, device, as_json, **options) -> None:
    """Train the networks of STUDY's frontier again from fresh seeds, and test them on images that no search sees.

    The same line again goes on where it was interrupted; with more --seeds it adds to those there are.
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
    tell_mixed(found.study, {found.x}, on_stderr=True)
    if found.interrupted:
        raise_interrupted(found.signal)
    if found.missing or found.failed:
        raise WorkFailed(found.ended)


def _documents(found) -> list[dict]:
    """The confirmed networks as ``explorer confirm --json`` gives them."""
    trials = {trial.digest: trial for trial in found.frontier}
    documents = []
    for each in found.networks:
        data, trial = each.to_json(), trials[each.digest]
        named = {"x": found.x, "y": found.y, found.x: data.pop("x"), "validation": trial.objectives.get(found.y)}
        documents.append({**data, **named, "choices": dict(trial.choices)})
    return documents


def _print(found) -> None:
    out = console()
    if not found.networks:
        return
    trials = {trial.digest: trial for trial in found.frontier}
    shared = found.y in FRACTIONS

    def shown(value: float | None) -> str:
        return "" if value is None else percent(value) if shared else f"{value:.3f}"

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
            f"\n{found.y} after {epochs} epochs. searched: one training, on validation images; test: mean over fresh "
            "seeds, on images that no search has seen;\nstd: of one training; on the frontier: the probability that "
            f"no confirmed network of at most its {found.x} has a better mean"
        )
    )
