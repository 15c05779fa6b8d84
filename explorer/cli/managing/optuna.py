"""``explorer import-optuna`` and ``export-optuna``: exchange studies with Optuna."""

from __future__ import annotations

import click

from explorer.analysis.amounts import plural
from explorer.cli.address import Input
from explorer.cli.options import as_json, print_json, storage, with_input
from explorer.errors import ExplorerError
from explorer.space.search_space import load_space
from explorer.store.studies import open_study

OPTUNA = "URL or SQLite file of the Optuna storage."


@click.command("import-optuna")
@click.argument("source", metavar="OPTUNA_STORAGE")
@click.option("--name", default="", metavar="NAME", help="Name of the Optuna study; needed if the storage has several.")
@click.option("--space", metavar="SPACE", help="The space whose choices the parameters are; not needed for a study"
              " that 'explorer export-optuna' wrote.")  # fmt: skip
@click.option("--objectives", default="", metavar="NAMES", help="Names of the objectives in Optuna's order, as in"
              " accuracy,macs; by default Optuna's metric names.")  # fmt: skip
@click.option("--study", default="", metavar="NAME", help="Name of the new study; by default that of the Optuna study.")
@as_json
@storage
@with_input
def import_optuna(
    source: str,
    name: str,
    space: str | None,
    objectives: str,
    study: str,
    as_json: bool,
    storage: str,
    override: Input | None,
) -> None:
    """Read an Optuna study whose parameters are the choices of a space into a new study."""
    from explorer.study.exchange.optuna import from_optuna

    if override is not None and space is None:
        raise ExplorerError("--data, --input and --classes replace those of --space SPACE; name the space")
    given = None if space is None else load_space(space)
    imported = from_optuna(
        source,
        name,
        space=given if given is None or override is None else override.apply(given),
        objectives=[each.strip() for each in objectives.split(",") if each.strip()],
        storage=storage,
        study=study,
    )
    counts = imported.study.counts()
    if as_json:
        left = {"unfinished": imported.unfinished, "repeated": imported.repeated, "recounted": imported.recounted}
        print_json({"study": imported.study.name, "storage": imported.study.storage, "trials": counts, **left})
        return
    click.echo(f"imported {plural(sum(counts.values()), 'trial')} as study {imported.study.name!r}")
    if imported.repeated:
        click.echo(f"{plural(imported.repeated, 'trial')} of networks that had a trial before: repeats of it")
    if imported.recounted:
        click.echo(f"{plural(imported.recounted, 'trial')} had other costs in Optuna: counted again from the networks")
    if imported.unfinished:
        click.echo(f"{plural(imported.unfinished, 'trial')} left out: not finished")


@click.command("export-optuna")
@click.argument("study")
@click.argument("target", metavar="OPTUNA_STORAGE")
@click.option("--name", default="", metavar="NAME", help="Name of the Optuna study; by default STUDY.")
@as_json
@storage
def export_optuna(study: str, target: str, name: str, as_json: bool, storage: str) -> None:
    """Write STUDY as an Optuna study, which opens in optuna-dashboard and in optuna.visualization."""
    from explorer.study.exchange.optuna import to_optuna

    made = to_optuna(open_study(storage, study), target, name)
    if as_json:
        print_json({"name": made.study_name, "trials": len(made.get_trials(deepcopy=False))})
    else:
        click.echo(f"wrote {plural(len(made.get_trials(deepcopy=False)), 'trial')} as Optuna study {made.study_name!r}")
