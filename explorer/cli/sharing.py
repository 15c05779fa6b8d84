"""``explorer export``, ``describe`` and ``dashboard``: what leaves the explorer."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import click

import explorer
from explorer.analysis.limits import parse_limit
from explorer.cli import WorkFailed
from explorer.cli.address import Addressed, Input, find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.options import as_json, console, counted, percent, plain, print_json, print_table, storage, with_input
from explorer.cli.studies import mix, none_found, tell_mixed
from explorer.errors import ExplorerError, ExportError
from explorer.export.verify.formats import RUN, check_formats
from explorer.export.verify.process import FreshProcess
from explorer.system.files import require_writable


class Stages(click.ParamType):
    """``2,3,4``: stages by their numbers from 1."""

    name = "stages"

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
            self.fail(f"{value!r} names no stages; write their numbers from 1, as in 2,3,4", param, ctx)
        return tuple(map(int, parts))


class Wish(NamedTuple):
    """What is to be made of a network, beside where it is written."""

    formats: frozenset[str]
    features: tuple[int, ...]
    head_classes: int | None
    weights: str | None


@click.command()
@click.argument("arch")
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False), metavar="DIR", help="The folder to write."
)
@click.option(
    "--under",
    multiple=True,
    metavar="LIMIT",
    help="ARCH is a study: export its best network that keeps this limit; may be repeated.",
)
@click.option(
    "--frontier", "whole_frontier", is_flag=True, help="ARCH is a study: export its whole frontier, a folder a network."
)
@mix
@click.option(
    "--formats", metavar="NAMES", help="Of yaml, python, safetensors, onnx, pt2; all that can be written by default."
)
@click.option(
    "--features",
    type=Stages(),
    default=(),
    metavar="STAGES",
    help="A backbone: no head, the feature maps of these stages, as in 2,3,4.",
)
@click.option("--head-classes", type=Whole(1, 65_536), metavar="N", help="A new, untrained classifier for N classes.")
@click.option(
    "--weights",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Take the weights from this safetensors file; also torchvision's and timm's ResNets.",
)
@as_json
@storage
@with_input
def export(
    arch,
    output,
    under,
    whole_frontier,
    mix_environments,
    formats,
    features,
    head_classes,
    weights,
    as_json,
    storage,
    override,
) -> None:
    """Write ARCH as a folder that stands on its own: architecture, code, weights, graphs, and a page on what it is.

    ARCH is STUDY:TRIAL, SPACE.yaml#INDEX or an exported folder; with --under or --frontier, a study's name.
    Without a trial behind it the network has fresh, untrained weights, or those of --weights.
    """
    if under and whole_frontier:
        raise ExplorerError("--under and --frontier exclude each other")
    if features and head_classes is not None:
        raise ExplorerError("--features leaves the head out; leave out --head-classes")
    names = None if formats is None else tuple(name.strip() for name in formats.split(",") if name.strip())
    wish = Wish(check_formats(names), features, head_classes, weights)
    # Begun at once, the process in which the files are run loads torch beside this one.
    with FreshProcess() if wish.formats & set(RUN) else contextlib.nullcontext() as fresh:
        documents = _exports(
            arch, Path(output), under, whole_frontier, mix_environments, wish, storage, override, as_json, fresh
        )
    if as_json:
        print_json(documents if whole_frontier else documents[0])


def _exports(
    arch: str,
    folder: Path,
    under: tuple[str, ...],
    whole_frontier: bool,
    mix_environments: bool,
    wish: Wish,
    storage: str,
    override: Input | None,
    quiet: bool,
    fresh: FreshProcess | None,
) -> list[dict]:
    """What was written of each network."""
    if under or whole_frontier:
        from explorer.store import open_study

        study = open_study(storage, arch)
        limits = [parse_limit(text) for text in under]
        if whole_frontier:
            records, compared = study.frontier(mix_environments=mix_environments), set(study.plane)
        else:
            records = [study.best_under(limits, mix_environments=mix_environments)]
            compared = {limit.cost for limit in limits}
        if records in ([], [None]):
            raise ExplorerError(none_found(study, limits))
        tell_mixed(study, compared, on_stderr=quiet)
        places = [folder / f"trial-{record.number}" for record in records] if whole_frontier else [folder]
        addresses = [f"{study.name}:{record.number}" for record in records]
    else:
        addresses, places = [arch], [folder]
    found = [find_architecture(address, storage, override) for address in addresses]
    _check(found, places, wish, override, storage)
    return [_export(each, place, wish, storage, quiet, fresh) for each, place in zip(found, places)]


def _check(found: list[Addressed], places: list[Path], wish: Wish, override: Input | None, storage: str) -> None:
    """What the user can mend is said before anything is trained or written."""
    from explorer.export.manifest import MANIFEST, check_target
    from explorer.export.transfer import feature_maps

    for each, place in zip(found, places):
        require_writable(check_target(place) / MANIFEST)
        feature_maps(each.architecture, wish.features)
        if each.trial is None:
            continue
        if override is not None:
            raise ExplorerError("a trained network keeps its input; leave out --data, --input and --classes")
        if wish.weights is not None:
            raise ExplorerError("a trial has weights of its own; leave out --weights")
        _require_trainable(each, storage)


def _require_trainable(found: Addressed, storage: str) -> None:
    """Raises ExplorerError for a trial whose weights were not kept and that cannot be trained again."""
    from explorer.store import open_study
    from explorer.study.recorded_training import find_data, training_recipe

    study, record = open_study(storage, found.study), found.trial
    if record.state == "complete" and study.weights(record) is None:
        training_recipe(study)
        find_data(study, click.get_current_context().params["data_dir"])


def _export(found: Addressed, folder: Path, wish: Wish, storage: str, quiet: bool, fresh: FreshProcess | None) -> dict:
    from explorer.export.package import export_architecture
    from explorer.export.weights import load_weights

    provenance: dict[str, Any] = _origin(found)
    weights = accuracy = None
    if found.trial is not None:
        weights, accuracy, provenance = _trained(found, storage, quiet)
    elif wish.weights is not None:
        weights = load_weights(found.architecture, wish.weights).state_dict()
        provenance["weights"] = f"from the file {Path(wish.weights).name}"
    working = contextlib.nullcontext() if quiet else console().status("writing, and running what was written")
    try:
        with working:
            result = export_architecture(
                found.architecture,
                folder,
                state_dict=weights,
                formats=wish.formats,
                features=wish.features,
                head_classes=wish.head_classes,
                provenance={**provenance, "exported by": f"explorer {explorer.__version__}"},
                accuracy=accuracy,
                fresh=fresh,
            )
    except ExportError as error:
        raise WorkFailed(str(error)) from error
    if not quiet:
        out = console()
        out.print(plain(f"{folder}: {', '.join(result.files)}"))
        for name, difference in result.max_abs_diff.items():
            out.print(plain(f"  {name}: run in a process of its own; largest difference to the network {difference:g}"))
    return {
        "directory": str(folder),
        "digest": result.architecture.digest,
        "files": list(result.files),
        "max_abs_diff": dict(result.max_abs_diff),
    }


def _origin(found: Addressed) -> dict[str, Any]:
    """What is known of a network without a trial; export itself says that its weights are fresh."""
    if found.space is None or found.derivation is None:
        return {}
    index = str(found.space.rank(found.derivation))
    return {"space": found.space.name, "index": index, "choices": str(found.derivation)}


def _trained(found: Addressed, storage: str, quiet: bool) -> tuple[dict, float | None, dict[str, Any]]:
    """The weights of a trial, what they reached, and where they come from."""
    from explorer.store import open_study
    from explorer.study.workers.weights import trained_network

    study, record = open_study(storage, found.study), found.trial
    again = (
        contextlib.nullcontext()
        if quiet or study.weights(record)
        else console().status("its weights were not kept: training it again")
    )
    with again:
        trained = trained_network(study, record, click.get_current_context().params["data_dir"])
    training = study.fingerprint
    reached = trained.retrained or record.result
    accuracy = reached.val_accuracy if reached else record.objectives.get("accuracy")
    split = training.get("split") or {}
    provenance = {
        "study": study.name,
        "trial": record.number,
        "space": study.space_name,
        "choices": ", ".join(f"{name}={text}" for name, text in record.choices.items()),
        "accuracy": {
            "accuracy": percent(accuracy),
            "split": f"validation, {split['validation']} images" if "validation" in split else "validation",
            "seeds": f"one training, seed {record.seed}",
            "test split": "not looked at",
        },
        "recipe": {**(training.get("recipe") or {}), "epochs": training.get("epochs")},
        "data": {
            "name": training.get("data"),
            **{name: value for name, value in split.items() if value is not None},
            "pixels": "scaled to 0..1, less the mean, divided by std, for each channel",
        },
        "environment": asdict(record.environment) if record.environment else {},
        "weights": "trained again at export, as the trial was" if trained.retrained else "as the trial left them",
    }
    return (
        trained.network.state_dict(),
        accuracy,
        {key: value for key, value in provenance.items() if value not in ("", {}, None)},
    )


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path())
@as_json
def describe(directory: str, as_json: bool) -> None:
    """What the exported folder DIR holds, every file compared with the hash that was written with it."""
    import json

    from explorer.export.manifest import check_package

    found = check_package(directory)
    if as_json:
        print_json(
            {
                "directory": directory,
                "digest": found.architecture.digest,
                "architecture": json.loads(found.architecture.to_json()),
                "features": list(found.features),
                "costs": dict(found.costs),
                "trained": found.trained,
                "accuracy": found.accuracy,
                "max_abs_diff": dict(found.max_abs_diff),
                "provenance": dict(found.provenance),
                "files": dict(found.files),
            }
        )
        return
    architecture = found.architecture
    what = (
        f"the feature maps of stages {', '.join(map(str, found.features))}"
        if found.features
        else f"{architecture.classes} classes"
    )
    origin = ", ".join(
        f"{name} {found.provenance[name]}" for name in ("study", "trial", "space", "index") if name in found.provenance
    )
    reached = percent(found.accuracy) if found.accuracy is not None else "unknown" if found.trained else "not trained"
    out = console()
    out.print(plain(f"{architecture.digest}: {architecture.input} images to {what}"))
    for name, text in (
        ("accuracy", reached),
        ("costs", ", ".join(f"{counted(v)} {k}" for k, v in found.costs.items())),
        ("origin", origin),
    ):
        if text:
            out.print(plain(f"{name}: {text}"))
    for number, stage in enumerate(architecture.stages, 1):
        first, *rest = stage.blocks
        out.print(
            plain(
                f"stage {number}: {len(stage.blocks)} blocks; {first}"
                + (f"; then {rest[0]}" if rest and rest[0] != first else "")
            )
        )
    print_table({"file, as it was written": "left", "sha256": "left"}, found.files.items())


@click.command()
@storage
@click.option("--port", type=Whole(1, 65_535), metavar="P", help="The first free one from 8501 by default.")
@click.option("--host", metavar="H", help="Another address to listen on; by default only this machine can look.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Answer to this host name too, as behind a proxy or with --host 0.0.0.0; repeatable.",
)
def dashboard(storage: str, port: int | None, host: str | None, allow_hosts: tuple[str, ...]) -> None:
    """Browse studies in the browser: the frontier, its networks and their training curves."""
    from explorer.dashboard.launch import run_dashboard

    status = run_dashboard(storage, port, host, allow_hosts)
    if status:
        raise WorkFailed(f"the dashboard's server ended with status {status}")
