"""``explorer search`` and ``train``: what computes."""

from __future__ import annotations

import math
import re
import shlex

import click

from explorer.cli import WorkFailed
from explorer.cli.options import (
    DEFAULT_STORAGE,
    as_json,
    console,
    counted,
    data_dir,
    percent,
    plain,
    print_json,
    storage,
)
from explorer.cli.studies import frontier_json, print_frontier
from explorer.errors import ExplorerError
from explorer.limits import parse_limit

MAXIMISED = ("accuracy", "top5")


class Duration(click.ParamType):
    """``90s``, ``30m``, ``2h`` or a number of seconds."""

    name = "duration"

    def convert(self, value, param, ctx) -> float:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
        if not match or not float(match[1]):
            self.fail(f"{value!r} is not a time; write 90s, 30m or 2h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]]


def training_options(command):
    """How networks are trained, in ``search`` and ``train`` alike."""
    for option in reversed(
        (
            click.option("--data", metavar="NAME", help="digits, cluttered-digits, cifar10, cifar100, mnist, fashion_mnist or a folder."),
            data_dir,
            click.option("--subset", type=click.IntRange(min=2), metavar="N", help="So many images of train and validation, stratified."),
            click.option("--recipe", metavar="NAME", help="quick, he2016 or cosine; the data set's own by default."),
            click.option("--epochs", type=click.IntRange(1, 100_000), metavar="N", help="Epochs a network; the data set's own by default."),
            click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--space", required=True, metavar="SPACE", help="A space file, or the name of one that comes with the explorer.")
@training_options
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="The study's total of trained networks.")
@click.option("--time", "seconds", type=Duration(), metavar="TIME", help="Time of this run, as in 90s, 30m or 2h.")
@click.option("--objectives", default="accuracy,macs", show_default=True, metavar="NAMES", help="What to trade off: accuracy, loss, and any cost.")
@click.option("--limit", "limits", multiple=True, metavar="LIMIT", help="Refuse networks that break it, as in 'macs<=50M'; may be repeated.")
@click.option("--sampler", default="frontier", show_default=True, metavar="NAME", help="frontier, evolution, random, tpe, nsga2 or gp.")
@click.option("--workers", type=click.IntRange(1, 1_024), metavar="N", help="Networks trained side by side; a core each by default.")
@click.option("--study", metavar="NAME", help="SPACE-DATA by default.")
@click.option("--new-study", is_flag=True, help="Begin another study beside the one of that name.")
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
@storage
def search(space, objectives, limits, device, as_json, **options) -> None:
    """Train networks of SPACE and find the frontier of accuracy versus cost. The same line again goes on."""
    from explorer.grammar.parse import load_space
    from explorer.measure.environment import find_device
    from explorer.study import run_search, show_progress

    read = load_space(space)
    bounds = tuple(parse_limit(text) for text in limits)
    with show_progress() as progress:
        result = run_search(
            read,
            objectives=_directions(objectives),
            limits=bounds,
            device=find_device(device),
            progress=progress,
            **options,
        )
    study = result.study
    x, y = _axes(study.objectives)
    frontier = study.frontier(x, y)
    if as_json:
        print_json(
            {
                "study": study.name,
                "storage": study.storage,
                "trials": study.counts(),
                "frontier": [frontier_json(record) for record in frontier],
                "hypervolume": study.hypervolume(),
                "seconds": result.seconds,
                "ended": result.ended,
            }
        )
    else:
        _print_result(result, frontier, x, y, options["storage"])
    if result.failed:
        raise WorkFailed(f"the search gave up: {result.ended}")
    if result.interrupted:
        raise KeyboardInterrupt


def _directions(names: str) -> dict[str, str]:
    """``accuracy,macs`` as name -> max or min. Accuracies are maximised, all else minimised."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if len(set(listed)) != len(listed):
        raise ExplorerError(f"--objectives {names!r} names one twice")
    return {name: "max" if name in MAXIMISED else "min" for name in listed}


def _axes(objectives) -> tuple[str, str]:
    """(x, y) of the frontier to print: the first cost, the first that is learnt."""
    first, *others = objectives
    return (others[0] if others else "macs"), first


def _print_result(result, frontier, x: str, y: str, storage_url: str) -> None:
    out, study = console(), result.study
    counts = ", ".join(f"{number} {state}" for state, number in study.counts().items() if number)
    out.print(plain(f"{study.name}: {result.ended or 'done'}; {counts or 'no trials yet'}, {result.seconds:.0f} s"))
    if not frontier:
        return
    out.print(plain(f"\nfrontier of {y} versus {x}, {len(frontier)} networks:\n"))
    print_frontier(frontier, x, y)
    named = shlex.quote(study.name)
    where = "" if storage_url == DEFAULT_STORAGE else f" --storage {shlex.quote(study.storage)}"
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
    value = {**record.costs, **record.objectives}[name]
    step = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.ceil(value / step) * step


@click.command()
@click.argument("arch")
@training_options
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
@storage
def train(arch, data, data_dir, subset, recipe, epochs, device, seed, as_json, storage) -> None:
    """Train ARCH (SPACE.yaml#INDEX, STUDY:TRIAL, architecture.json) and test it on the split that no search sees."""
    from explorer.address import Input, find_architecture
    from explorer.errors import TrainingError
    from explorer.measure.environment import find_device
    from explorer.training.data import load_data
    from explorer.training.run import train_architecture

    if data is None:
        raise ExplorerError("--data is missing: the data set to train on, as in --data digits")
    place = find_device(device)
    dataset = load_data(data, data_dir, subset=subset)  # split as a search splits it, so that test stays unseen
    architecture = find_architecture(arch, storage, Input(dataset.shape, dataset.classes)).architecture
    with console().status("training") as status:

        def show(epoch) -> None:
            status.update(f"epoch {epoch.epoch}: loss {epoch.train_loss:.3f}, validation accuracy {percent(epoch.val_accuracy)}")

        try:
            trained = train_architecture(
                architecture, dataset, recipe=recipe, epochs=epochs, seed=seed, device=place, on_epoch=None if as_json else show
            )
        except TrainingError as error:
            raise WorkFailed(str(error)) from error
    result = trained.result
    if as_json:
        print_json(
            {
                "digest": architecture.digest,
                "val_accuracy": result.val_accuracy,
                "test_accuracy": trained.test.accuracy,
                "epochs": result.epochs,
                "seconds": result.seconds,
                "images_per_second": result.images_per_second,
                "seed": seed,
                "recipe": trained.recipe.name,
                "data": dict(dataset.fingerprint),
                "curve": [{name: getattr(epoch, name) for name in epoch.__dataclass_fields__} for epoch in result.curve],
            }
        )
        return
    click.echo(f"validation {percent(result.val_accuracy)}, test {percent(trained.test.accuracy)} (one seed, {seed})")
    click.echo(
        f"{result.epochs} epochs of {trained.recipe.name!r} in {result.seconds:.1f} s, {counted(result.images_per_second)} images/s on {place}"
    )
