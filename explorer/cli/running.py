"""``explorer search``, ``worker`` and ``train``: commands that train networks."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from explorer.analysis.amounts import format_count, format_percent, plural
from explorer.analysis.estimates import Estimate
from explorer.analysis.frontier_certainty import FrontierCertainty
from explorer.cli import WorkFailed
from explorer.cli.amounts import Whole
from explorer.cli.options import (
    IMPORTED,
    as_json,
    console,
    plain,
    print_json,
    print_warnings,
    program,
    repeated_options,
    storage,
)
from explorer.cli.setting_options import effective_values, setting_options
from explorer.cli.studies import frontier_json, print_frontier, warn_of_mixed_latencies
from explorer.errors import ExplorerError
from explorer.records import Epoch, TrialRecord
from explorer.settings.file import read_settings, write_settings
from explorer.settings.kinds import Text
from explorer.settings.settings import Setting
from explorer.store.passwords import has_password
from explorer.study.results.levels import excluded_levels, untried_levels, untried_text
from explorer.study.search import SearchResult
from explorer.study.settings import SearchSettings
from explorer.system.signals import raise_interrupted
from explorer.training.settings import TrainingSettings

SPACE = Setting(
    name="space",
    kind=Text(),
    help="Space file, or the name of one that comes with the explorer; required, here or in the settings file.",
    flag="--space",
    metavar="SPACE",
    annotation="str | None",
)
SEARCH = (SPACE, *(each for each in SearchSettings.described() if each.flag is not None))
# ``worker`` has its own options for these, or takes them from the study.
NOT_OF_A_WORKER = ("precision", "workers", "workers_per_device", "study", "new_study", "seed", "storage", "artifacts")
WORKER = [each for each in SEARCH[1:] if not each.in_fingerprint and each.name not in NOT_OF_A_WORKER]


@click.command()
@click.option(
    "--config",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="Settings file (YAML); a later one overrides an earlier one. The order is: command line, settings file,"
    " environment, default.",
)
@setting_options([each for each in SEARCH if each.name != "storage"])  # its option also warns of a password
@click.option("--print-config", is_flag=True, help="Print the effective settings as a settings file, and exit.")
@click.option("--dry-run", is_flag=True, help="Print the batch file that --engine slurm would submit, and exit.")
@as_json
@storage
def search(config: tuple[str, ...], print_config: bool, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Train networks of SPACE and find the frontier of accuracy versus cost. The same command resumes the study."""
    from explorer.space.search_space import load_space
    from explorer.study import run_search

    from_files: dict[str, Any] = {}
    for file in config:
        from_files |= read_settings(file, SEARCH)
    values = effective_values(options, from_files)
    if print_config:
        from explorer.study.plan import check_settings

        check_settings(SearchSettings.make({name: value for name, value in values.items() if name != SPACE.name}))
        click.echo(_config(values), nl=False)
        return
    space = values.pop(SPACE.name)
    if space is None:
        ctx = click.get_current_context()
        raise click.MissingParameter(ctx=ctx, param=next(each for each in ctx.command.params if each.name == "space"))
    read = load_space(space)
    # The data set replaces the file's input.
    warnings = [warning for warning in read.warnings if warning.name != "input-order"]
    print_warnings(warnings)
    if dry_run:
        from explorer.study.search import preview_launch

        click.echo(preview_launch(read, SearchSettings.make(values)), nl=False)
        return
    result = _run_with_progress(run_search, read, **values)
    _report(result, as_json, {"warnings": [warning.to_dict() for warning in warnings]})


def _config(values: Mapping[str, Any]) -> str:
    """Return the settings file that holds these values.

    A setting that an environment variable can set is ``null`` if it has its default, so that the variable still applies
    when the file is used. A storage with a password is left to EXPLORER_STORAGE, and a tracker with one to the command
    line.
    """
    source = click.get_current_context().get_parameter_source
    by_default = [each.name for each in SEARCH if each.envvar and source(each.name) is ParameterSource.DEFAULT]
    values = {**values, **dict.fromkeys(by_default)}
    fixes = {"storage": "set EXPLORER_STORAGE", "track": "give --track on the command line"}
    given = {"storage": [values["storage"] or ""], "track": values["track"] or ()}
    hidden = [name for name, texts in given.items() if any(map(has_password, texts))]
    text = write_settings(values, [each for each in SEARCH if each.name not in hidden])
    return text + "".join(f"# {name}: has a password; {fixes[name]}\n" for name in hidden)


@click.command()
@click.option("--study", metavar="NAME", help="The study; may be left out if the storage has just one.")
@setting_options(WORKER)
@click.option(
    "--workers",
    type=Whole(1, 1_024),
    default=1,
    show_default=True,
    metavar="N",
    help="Networks trained in parallel.",
)
@click.option(
    "--print-kubernetes",
    is_flag=True,
    help="Print the manifest of a Kubernetes Job of such workers, and exit; --engine-option sets image, pods, cpu,"
    " memory, gpus, secret, key, claim, namespace and grace.",
)
@as_json
@storage
def worker(
    study: str | None,
    storage: str,
    print_kubernetes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train networks for a study that 'explorer search' created, while the search runs or after it."""
    from explorer.store.presence.processes import Role
    from explorer.study import join_search

    if print_kubernetes:
        _print_kubernetes(study, as_json, options)
        return
    options["role"] = Role.of_worker()
    _report(_run_with_progress(join_search, storage, study or "", **options), as_json)


def _print_kubernetes(study: str | None, as_json: bool, options: Mapping[str, Any]) -> None:
    """Print the manifest of a Job of workers with these options."""
    from explorer.store.studies import check_name
    from explorer.study.launchers.arguments import spelled
    from explorer.study.launchers.kubernetes import as_yaml, manifest
    from explorer.study.workers.engines import LAUNCHED, check_engine

    if study is None:
        raise ExplorerError("--study is missing: the study that the pods work on")
    if options["engine"] in LAUNCHED:
        raise ExplorerError(f"--engine {options['engine']} starts workers itself; leave it out for pods of Kubernetes")
    check_engine(options["engine"], options["engine_address"], options["cpus_per_trial"], {}, ())
    ctx = click.get_current_context()
    if ctx.get_parameter_source("storage") is ParameterSource.COMMANDLINE:
        click.echo("--storage is not in the manifest: the pods take it from the Secret", err=True)
    words = ["--workers", str(options["workers"])] if options["workers"] != 1 else []
    words += [word for file in ctx.meta.get(IMPORTED, ()) for word in ("--import", file)]
    own = ["engine_options", "workers"]
    own += [] if ctx.get_parameter_source("data_dir") is ParameterSource.COMMANDLINE else ["data_dir"]
    document = manifest(check_name(study), [*words, *spelled(options, own)], options["engine_options"])
    print_json(document) if as_json else click.echo(as_yaml(document), nl=False)


def _run_with_progress(search: Callable[..., SearchResult], *args: Any, **settings: Any) -> SearchResult:
    """Run a search with a progress display. Raises WorkFailed if its database disappears."""
    from explorer.study import show_progress
    from explorer.study.search import RecordLost

    with show_progress() as progress:
        try:
            return search(*args, progress=progress, **settings)
        except RecordLost as error:
            raise WorkFailed(str(error)) from error


def _report(result: SearchResult, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print the result of a search, as JSON with ``more``.

    Raises WorkFailed if it failed, and repeats the signal that interrupted it.
    """
    study = result.study
    x, y = study.plane
    frontier = study.frontier(x, y, mix_environments=True)
    certainty = study.frontier_certainty(x, y, mix_environments=True)
    estimates = study.estimates(y)
    untried = untried_levels(study)
    if as_json:
        print_json(
            {
                "study": study.name,
                "storage": study.storage,
                "limits": study.limits,
                "trials": study.counts(),
                "frontier": [frontier_json(record, certainty, estimates.get(record.number)) for record in frontier],
                "hypervolume": study.hypervolume(),
                "seconds": result.seconds,
                "ended": result.ended,
                "untried": [level._asdict() for level in untried],
                "excluded_by_limits": [level._asdict() for level in excluded_levels(study, untried)],
                **study.savings(),
                **(more or {}),
            }
        )
    else:
        _print_result(result, frontier, x, y, certainty, estimates)
    warn_of_mixed_latencies(study, {x, y}, on_stderr=True)
    if result.failed:
        raise WorkFailed(f"the search gave up: {result.ended}")
    if result.interrupted:
        raise_interrupted(result.signal)


def _print_result(
    result: SearchResult,
    frontier: list[TrialRecord],
    x: str,
    y: str,
    certainty: FrontierCertainty | None,
    estimates: Mapping[int, Estimate],
) -> None:
    """Print counts, savings, the frontier and suggested next commands."""
    out, study = console(), result.study
    counts = ", ".join(f"{number} {state}" for state, number in study.counts().items() if number)
    out.print(plain(f"{study.name}: {result.ended or 'done'}; {counts or 'no trials yet'}, {result.seconds:.0f} s"))
    saved = study.savings()
    if saved["trainings_saved"]:
        number = saved["trainings_saved"]
        networks = "its network" if number == 1 else "their networks"
        out.print(plain(f"{plural(number, 'training')} saved: {networks} had been trained before"))
    if saved["epochs_saved"] > 0:
        share = saved["epochs_saved"] / (saved["epochs_saved"] + saved["epochs_trained"])
        epochs = plural(saved["epochs_saved"], "epoch")
        out.print(plain(f"{epochs} saved, {share:.0%}: unpromising trials were stopped early"))
    if not frontier:
        return
    out.print(plain(f"\nfrontier of {y} versus {x}, {plural(len(frontier), 'network')}:\n"))
    print_frontier(study, frontier, x, y, certainty, estimates)
    untried = untried_levels(study)
    if untried:
        out.print(plain(untried_text(untried, excluded_levels(study, untried))))
    named = shlex.quote(study.name)
    where, name = repeated_options(study.storage), program()
    best = frontier[-1].number
    out.print(plain(f"\nThe study is in {study.storage}, its weights are in {study.files.shown}."))
    out.print("Next commands:")
    for line in (
        f"{name} dashboard{where}",
        f"{name} export {shlex.quote(f'{study.name}:{best}')} -o network{where}",
        f"{name} frontier {named} --under '{x}<={format_count(_middle(frontier, x))}'{where}",
    ):
        out.print(plain(f"  {line}"), soft_wrap=True)  # a line break would split the command


def _middle(frontier: list[TrialRecord], name: str) -> float:
    """Return the cost of the frontier's middle network, rounded up to two digits, as an example of a limit."""
    record = frontier[len(frontier) // 2]
    value = record.quantities[name]
    step: float = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.ceil(value / step) * step


@click.command()
@click.argument("arch")
@setting_options(TrainingSettings.described())
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Seed of the training.")
@as_json
@storage
def train(arch: str, seed: int, as_json: bool, storage: str, **options: Any) -> None:
    """Train ARCH (SPACE.yaml#INDEX, STUDY:TRIAL, an exported folder) and test it on the split that no search sees.

    The same command resumes an interrupted training from its last checkpoint.
    """
    from explorer.cli.address import Input, find_architecture
    from explorer.data.catalogue import describe_data
    from explorer.data.dataset import load_data
    from explorer.errors import TrainingError
    from explorer.store.artifacts import train_checkpoint
    from explorer.store.storage_url import database_file
    from explorer.study.workers.one_training import train_in_child
    from explorer.system.environment import find_device
    from explorer.training.recipe import require_several_values

    settings = TrainingSettings.make(options)
    data, data_dir = settings.data, settings.data_dir
    if data is None:
        raise ExplorerError("--data is missing: the data set to train on, as in --data digits")
    settings = replace(settings, device=find_device(settings.device))
    settings.resolved(data)  # reports an invalid recipe before reading the data
    architecture = find_architecture(arch, storage, Input(*describe_data(data, data_dir))).architecture
    # The splits are those of a search, so that no search has seen the test split.
    dataset = load_data(data, data_dir, subset=settings.subset, skip_damaged=settings.skip_damaged)
    notes = tuple(dict.fromkeys(dataset.notes + dataset.test.notes))
    for note in (*dataset.class_lines(), *notes):
        click.echo(f"{dataset.name}: {note}", err=True)
    resolved = replace(settings.resolved(dataset.name), data=data)
    recipe, epochs, place = resolved.recipe, resolved.epochs, resolved.device
    require_several_values(architecture, min(recipe.batch_size, len(dataset.train)))
    named = (architecture.digest, dataset.fingerprint, recipe.to_json(), epochs, seed, place, resolved.precision)
    checkpoint = train_checkpoint(database_file(storage), f"train {hashlib.sha256(repr(named).encode()).hexdigest()}")
    if checkpoint.exists():
        click.echo(f"resuming from {checkpoint}", err=True)
    with console().status("training") as status:

        def show(epoch: Epoch) -> None:
            status.update(
                f"epoch {epoch.epoch}: loss {epoch.train_loss:.3f},"
                f" validation accuracy {format_percent(epoch.val_accuracy)}"
            )

        try:
            trained = train_in_child(
                resolved, architecture, seed, checkpoint, on_epoch=(lambda epoch: None) if as_json else show
            )
        except TrainingError as error:
            raise WorkFailed(str(error)) from error
        except KeyboardInterrupt:
            if checkpoint.exists():
                click.echo(f"the same command resumes from {checkpoint}", err=True)
            raise
    result = trained.result
    assert result is not None  # train_in_child always returns a result
    if as_json:
        print_json(
            {
                "digest": architecture.digest,
                "val_accuracy": result.val_accuracy,
                "test_accuracy": trained.measured["accuracy"],
                "epochs": result.epochs,
                "seconds": result.seconds,
                "images_per_second": result.images_per_second,
                "seed": seed,
                "recipe": recipe.name,
                "precision": result.precision,
                "data": {**dataset.fingerprint, "notes": notes, "classes": dataset.counts()},
                "curve": [
                    {name: getattr(epoch, name) for name in epoch.__dataclass_fields__} for epoch in result.curve
                ],
            }
        )
        return
    test = format_percent(trained.measured["accuracy"])
    click.echo(f"validation {format_percent(result.val_accuracy)}, test {test} (one seed, {seed})")
    pace = f"{format_count(result.images_per_second)} images/s in {result.precision} on {place}"
    click.echo(f"{plural(result.epochs, 'epoch')} of {recipe.name!r} in {result.seconds:.1f} s, {pace}")
