"""``explorer search``, ``worker`` and ``train``: what computes."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Sequence

import click

from explorer.cli import WorkFailed
from explorer.cli.amounts import Bytes, Duration, Whole
from explorer.cli.measuring import Listed
from explorer.cli.options import (
    as_json,
    console,
    counted,
    data_dir,
    device,
    percent,
    plain,
    print_json,
    skip_damaged,
    storage,
    storage_words,
)
from explorer.cli.studies import frontier_json, print_frontier, tell_mixed
from explorer.errors import ExplorerError
from explorer.limits import Limit, parse_limit
from explorer.quantities import COSTS, LATENCY, SCORES, TRAINED, directions
from explorer.system.signals import raise_interrupted


def running_options(command):
    """How a study is run, in ``search`` and ``worker`` alike: what may differ from one run of it to the next."""
    options = {
        "--trials": ("trials", Whole(min=1), "N", "The study's total of trained networks."),
        "--time": ("seconds", Duration(), "TIME", "Time of this run, as in 90s, 30m or 2h."),
        "--until-stable": ("until_stable", Whole(min=1), "N", "End when N trials in a row bring nothing new."),
        "--trial-time": ("trial_seconds", Duration(), "TIME", "A trial fails after it; 20 times the usual by default."),
        "--trial-memory": ("trial_memory", Bytes(), "BYTES", "A trial that holds more fails, as in 8G."),
    }
    for flag, (name, kind, metavar, about) in reversed(options.items()):
        command = click.option(flag, name, type=kind, metavar=metavar, help=about)(command)
    for flag, default, about in (
        ("--stopping", "auto", "End trainings that fall behind: rungs, curves, none; auto: rungs from 8 epochs on."),
        ("--sampler", "frontier", "frontier, evolution, random, tpe, nsga2 or gp."),
    ):
        command = click.option(flag, default=default, show_default=True, metavar="NAME", help=about)(command)
    about = f"Measure zero-cost scores with each network's accuracy: {', '.join(SCORES)}."
    command = click.option("--scores", type=Listed(), default="", metavar="NAME,...", help=about)(command)
    about = "Retry also trials of earlier runs that broke a limit on time or memory, or whose training diverged."
    command = click.option("--retry-failed", is_flag=True, help=about)(command)
    about = "Store each network's gradient flow at its initialisation."
    command = click.option("--record-gradients", is_flag=True, help=about)(command)
    about = (
        "Refuse networks that break it, as in 'macs<=50M' or 'latency_ms<=2'; may be repeated."
        " It is kept with the study; 'none' takes all off again."
    )
    return click.option("--limit", "limits", multiple=True, metavar="LIMIT", help=about)(command)


def training_options(command):
    """How networks are trained, in ``search`` and ``train`` alike."""
    for option in reversed(
        (
            click.option(
                "--data",
                metavar="NAME",
                help="digits, cluttered-digits, cifar10, cifar100, mnist, fashion_mnist or a folder.",
            ),
            data_dir,
            click.option(
                "--subset",
                type=Whole(min=2),
                metavar="N",
                help="So many images of train and validation, stratified.",
            ),
            skip_damaged,
            click.option(
                "--recipe",
                metavar="NAME",
                help="quick, he2016 or cosine, or a JSON file of the fields to change; the data set's own by default.",
            ),
            click.option(
                "--epochs",
                type=Whole(1, 100_000),
                metavar="N",
                help="Epochs a network; the data set's own by default.",
            ),
            device,
            click.option(
                "--precision",
                type=click.Choice(["auto", "float32", "bfloat16"]),
                default="auto",
                show_default=True,
                help="auto: what is measured to be faster.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.option(
    "--space", required=True, metavar="SPACE", help="A space file, or the name of one that comes with the explorer."
)
@training_options
@running_options
@click.option(
    "--objectives",
    default="accuracy,macs",
    show_default=True,
    metavar="NAMES",
    help=f"What to trade off: {', '.join(TRAINED)}, {LATENCY}, and any cost: {', '.join(COSTS)}.",
)
@click.option(
    "--workers",
    type=Whole(1, 1_024, auto=True),
    metavar="N",
    help="Networks trained side by side; a core each by default.",
)
@click.option(
    "--workers-per-device",
    type=Whole(1, 1_024, auto=True),
    metavar="N",
    help="Networks that share one GPU; found by a short probe by default.",
)
@click.option("--study", metavar="NAME", help="SPACE-DATA by default.")
@click.option("--new-study", is_flag=True, help="Begin another study beside the one of that name.")
@click.option(
    "--seed", type=int, metavar="S", help="Of all random numbers; the study's own, 0 for a new study, by default."
)
@as_json
@storage
def search(space, objectives, limits, device, as_json, **options) -> None:
    """Train networks of SPACE and find the frontier of accuracy versus cost. The same line again goes on."""
    from explorer.space.search_space import load_space
    from explorer.study import run_search
    from explorer.system.environment import find_device

    settings = {"limits": _bounds(limits), "device": find_device(device), **options}
    result = _watched(run_search, load_space(space), objectives=_directions(objectives), **settings)
    _tell(result, as_json)


@click.command()
@click.option("--study", metavar="NAME", help="The study to work on; may be left out where there is just one.")
@running_options
@data_dir
@device
@click.option(
    "--workers",
    type=Whole(1, 1_024),
    default=1,
    show_default=True,
    metavar="N",
    help="Networks trained side by side.",
)
@as_json
@storage
def worker(study, storage, limits, device, as_json, **options) -> None:
    """Train networks for a study that 'explorer search' began, beside it or after it, from any process."""
    from explorer.study import join_search
    from explorer.system.environment import find_device

    settings = {"limits": _bounds(limits), "device": find_device(device), **options}
    _tell(_watched(join_search, storage, study or "", **settings), as_json)


def _watched(search, *args, **settings):
    """What a search comes to, its progress shown. That its record went away is the work's failure, not the input's."""
    from explorer.study import show_progress
    from explorer.study.search import RecordLost

    with show_progress() as progress:
        try:
            return search(*args, progress=progress, **settings)
        except RecordLost as error:
            raise WorkFailed(str(error)) from error


def _tell(result, as_json: bool) -> None:
    """What a search came to, and how it ends the command."""
    study = result.study
    x, y = study.plane
    frontier = study.frontier(x, y, mix_environments=True)
    if as_json:
        print_json(
            {
                "study": study.name,
                "storage": study.storage,
                "limits": study.limits,
                "trials": study.counts(),
                "frontier": [frontier_json(record) for record in frontier],
                "hypervolume": study.hypervolume(),
                "seconds": result.seconds,
                "ended": result.ended,
                **study.savings(),
            }
        )
    else:
        _print_result(result, frontier, x, y)
    tell_mixed(study, {x, y}, on_stderr=True)
    if result.failed:
        raise WorkFailed(f"the search gave up: {result.ended}")
    if result.interrupted:
        raise_interrupted(result.signal)


def _bounds(texts: Sequence[str]) -> tuple[Limit, ...] | None:
    """The limits asked for; None leaves a study its own."""
    if "none" in texts and len(texts) > 1:
        raise ExplorerError("--limit none takes every limit off a study; give it alone")
    return None if not texts else () if "none" in texts else tuple(parse_limit(text) for text in texts)


def _directions(names: str) -> dict[str, str]:
    """``accuracy,macs`` as name -> max or min. Accuracies are maximised, all else minimised."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if len(set(listed)) != len(listed):
        raise ExplorerError(f"--objectives {names!r} names one twice")
    return directions(listed)


def _print_result(result, frontier, x: str, y: str) -> None:
    out, study = console(), result.study
    counts = ", ".join(f"{number} {state}" for state, number in study.counts().items() if number)
    out.print(plain(f"{study.name}: {result.ended or 'done'}; {counts or 'no trials yet'}, {result.seconds:.0f} s"))
    saved = study.savings()
    if saved["trainings_saved"]:
        out.print(plain(f"{saved['trainings_saved']} trainings saved: their networks had been tried before"))
    if saved["epochs_saved"] > 0:
        share = saved["epochs_saved"] / (saved["epochs_saved"] + saved["epochs_trained"])
        out.print(plain(f"{saved['epochs_saved']} epochs saved, {share:.0%}: their networks had fallen behind"))
    if not frontier:
        return
    out.print(plain(f"\nfrontier of {y} versus {x}, {len(frontier)} network{'s' * (len(frontier) > 1)}:\n"))
    print_frontier(frontier, x, y)
    named = shlex.quote(study.name)
    where = storage_words(study.storage)
    best = frontier[-1].number
    out.print(plain(f"\nThe study lies in {study.storage}, its weights in {study.artifacts}. Next:"))
    for line in (
        f"explorer dashboard{where}",
        f"explorer export {shlex.quote(f'{study.name}:{best}')} -o network{where}",
        f"explorer frontier {named} --under '{x}<={counted(_middle(frontier, x))}'{where}",
    ):
        out.print(plain(f"  {line}"))


def _middle(frontier, name: str) -> float:
    """A bound worth trying: what the frontier's middle network costs, rounded up to two digits."""
    record = frontier[len(frontier) // 2]
    value = record.quantities[name]
    step = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.ceil(value / step) * step


@click.command()
@click.argument("arch")
@training_options
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
@storage
def train(
    arch, data, data_dir, subset, skip_damaged, recipe, epochs, device, precision, seed, as_json, storage
) -> None:
    """Train ARCH (SPACE.yaml#INDEX, STUDY:TRIAL, an exported folder) and test it on the split that no search sees.

    A training that was killed goes on from its last checkpoint when the same line is given again.
    """
    from explorer.address import Input, find_architecture
    from explorer.data.catalogue import describe_data
    from explorer.data.dataset import load_data
    from explorer.errors import TrainingError
    from explorer.store.artifacts import train_checkpoint
    from explorer.store.database import database_file
    from explorer.study.one_training import OneTraining, train_in_child
    from explorer.system.environment import find_device
    from explorer.training.recipe import default_training, require_several_values
    from explorer.training.recipe import recipe as recipe_named

    if data is None:
        raise ExplorerError("--data is missing: the data set to train on, as in --data digits")
    place = find_device(device)
    chosen = recipe_named(recipe, default_training(data)[0]) if recipe else None
    architecture = find_architecture(arch, storage, Input(*describe_data(data, data_dir))).architecture
    # Split as a search splits it, so that test stays unseen.
    dataset = load_data(data, data_dir, subset=subset, skip_damaged=skip_damaged)
    notes = tuple(dict.fromkeys(dataset.notes + dataset.test.notes))
    for note in (*dataset.class_lines(), *notes):
        click.echo(f"{dataset.name}: {note}", err=True)
    chosen, epochs = chosen or default_training(dataset.name)[0], epochs or default_training(dataset.name)[1]
    require_several_values(architecture, min(chosen.batch_size, len(dataset.train)))
    named = (architecture.digest, dataset.fingerprint, chosen.to_json(), epochs, seed, place, precision)
    checkpoint = train_checkpoint(database_file(storage), f"train {hashlib.sha256(repr(named).encode()).hexdigest()}")
    if checkpoint.exists():
        click.echo(f"going on from {checkpoint}", err=True)
    with console().status("training") as status:

        def show(epoch) -> None:
            status.update(
                f"epoch {epoch.epoch}: loss {epoch.train_loss:.3f}, validation accuracy {percent(epoch.val_accuracy)}"
            )

        try:
            trained = train_in_child(
                OneTraining(data, data_dir, subset, skip_damaged, chosen, epochs, place, precision, checkpoint),
                architecture,
                seed,
                on_epoch=(lambda epoch: None) if as_json else show,
            )
        except TrainingError as error:
            raise WorkFailed(str(error)) from error
        except KeyboardInterrupt:
            if checkpoint.exists():
                click.echo(f"the same line goes on from {checkpoint}", err=True)
            raise
    result = trained.result
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
                "recipe": chosen.name,
                "precision": result.precision,
                "data": {**dataset.fingerprint, "notes": notes, "classes": dataset.counts()},
                "curve": [
                    {name: getattr(epoch, name) for name in epoch.__dataclass_fields__} for epoch in result.curve
                ],
            }
        )
        return
    test = percent(trained.measured["accuracy"])
    click.echo(f"validation {percent(result.val_accuracy)}, test {test} (one seed, {seed})")
    pace = f"{counted(result.images_per_second)} images/s in {result.precision} on {place}"
    click.echo(f"{result.epochs} epochs of {chosen.name!r} in {result.seconds:.1f} s, {pace}")
