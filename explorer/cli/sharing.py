"""``explorer export``, ``describe`` and ``dashboard``: share networks and browse studies."""

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
from explorer.cli.options import (
    as_json,
    console,
    format_count,
    format_percent,
    plain,
    print_json,
    print_table,
    storage,
    with_input,
)
from explorer.cli.studies import mix, none_found, warn_of_mixed_latencies
from explorer.errors import ExplorerError, ExportError
from explorer.export.verify.formats import RUN, check_formats
from explorer.export.verify.process import FreshProcess
from explorer.records import TrialRecord
from explorer.system.files import require_writable


class Stages(click.ParamType):  # type: ignore[type-arg]  # before click 8.2 it is not generic
    """The type of an option that takes stages by their numbers from 1, as in ``2,3,4``."""

    name = "stages"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
            self.fail(f"{value!r} names no stages; write their numbers from 1, as in 2,3,4", param, ctx)
        return tuple(map(int, parts))


class Request(NamedTuple):
    """What to export of a network.

    Attributes:
        formats: Names of the formats.
        features: Stages whose feature maps a backbone returns; empty for a classifier.
        head_classes: Number of classes of a new classifier; None keeps the classifier.
        weights: Path of a file of weights; None for the trial's own, or fresh ones without a trial.
        by_order: Whether the file's weights are paired by the order of computation instead of by name.
    """

    formats: frozenset[str]
    features: tuple[int, ...]
    head_classes: int | None
    weights: str | None
    by_order: bool


@click.command()
@click.argument("arch")
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False), metavar="DIR", help="The folder to write."
)
@click.option(
    "--under",
    multiple=True,
    metavar="LIMIT",
    help="ARCH is a study: export its best network within this limit; may be repeated.",
)
@click.option(
    "--frontier",
    "whole_frontier",
    is_flag=True,
    help="ARCH is a study: export its whole frontier, one folder per network.",
)
@mix
@click.option(
    "--formats",
    metavar="NAMES",
    help="Formats: yaml, python, safetensors, onnx, pt2; all that are available by default.",
)
@click.option(
    "--features",
    type=Stages(),
    default=(),
    metavar="STAGES",
    help="Export a backbone without head that returns the feature maps of these stages, as in 2,3,4.",
)
@click.option(
    "--head-classes",
    type=Whole(1, 65_536),
    metavar="N",
    help="Replace the classifier by an untrained one for N classes.",
)
@click.option(
    "--weights",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Load the weights from this safetensors file; also those of torchvision's and timm's ResNets.",
)
@click.option(
    "--by-order",
    is_flag=True,
    help="Pair the weights of another library by the order of computation and by shape, whatever their names.",
)
@as_json
@storage
@with_input
def export(
    arch: str,
    output: str,
    under: tuple[str, ...],
    whole_frontier: bool,
    mix_environments: bool,
    formats: str | None,
    features: tuple[int, ...],
    head_classes: int | None,
    weights: str | None,
    by_order: bool,
    as_json: bool,
    storage: str,
    override: Input | None,
) -> None:
    """Write ARCH as a self-contained folder: architecture, code, weights, graphs and a model card.

    ARCH is STUDY:TRIAL, SPACE.yaml#INDEX or an exported folder; with --under or --frontier, a study's name.
    A network that is not a trial has fresh, untrained weights, or those of --weights.
    """
    if under and whole_frontier:
        raise ExplorerError("--under and --frontier exclude each other")
    if features and head_classes is not None:
        raise ExplorerError("--features leaves the head out; leave out --head-classes")
    if by_order and weights is None:
        raise ExplorerError("--by-order pairs the weights of a file; add --weights FILE")
    names = None if formats is None else tuple(name.strip() for name in formats.split(",") if name.strip())
    request = Request(check_formats(names), features, head_classes, weights, by_order)
    # The process that verifies the files is started first, so that both processes load torch at the same time.
    with FreshProcess() if request.formats & set(RUN) else contextlib.nullcontext() as fresh:
        documents = _exports(
            arch, Path(output), under, whole_frontier, mix_environments, request, storage, override, as_json, fresh
        )
    if as_json:
        print_json(documents if whole_frontier else documents[0])


def _exports(
    arch: str,
    folder: Path,
    under: tuple[str, ...],
    whole_frontier: bool,
    mix_environments: bool,
    request: Request,
    storage: str,
    override: Input | None,
    quiet: bool,
    fresh: FreshProcess | None,
) -> list[dict[str, Any]]:
    """Export one network or several and return for each what ``explorer export --json`` prints."""
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
        warn_of_mixed_latencies(study, compared, on_stderr=quiet)
        places = [folder / f"trial-{record.number}" for record in records] if whole_frontier else [folder]
        addresses = [f"{study.name}:{record.number}" for record in records]
    else:
        addresses, places = [arch], [folder]
    found = [find_architecture(address, storage, override) for address in addresses]
    _check(found, places, request, override, storage)
    return [_export(each, place, request, storage, quiet, fresh) for each, place in zip(found, places)]


def _check(found: list[Addressed], places: list[Path], request: Request, override: Input | None, storage: str) -> None:
    """Raise ExplorerError for invalid arguments before anything is trained or written."""
    from explorer.export.manifest import MANIFEST, check_target
    from explorer.export.transfer import feature_maps

    for each, place in zip(found, places):
        require_writable(check_target(place) / MANIFEST)
        feature_maps(each.architecture, request.features)
        if each.study is None or each.trial is None:
            continue
        if override is not None:
            raise ExplorerError("a trained network keeps its input; leave out --data, --input and --classes")
        if request.weights is not None:
            raise ExplorerError("a trial has its own weights; leave out --weights")
        _require_trainable(each.study, each.trial, storage)


def _require_trainable(study_name: str, record: TrialRecord, storage: str) -> None:
    """Raise ExplorerError for a trial whose weights were not saved and that cannot be trained again."""
    from explorer.store import open_study
    from explorer.study.recorded_training import find_data, training_recipe

    study = open_study(storage, study_name)
    if record.state == "complete" and study.weights(record) is None:
        training_recipe(study)
        find_data(study, click.get_current_context().params["data_dir"])


def _export(
    found: Addressed, folder: Path, request: Request, storage: str, quiet: bool, fresh: FreshProcess | None
) -> dict[str, Any]:
    """Export one network and return what ``explorer export --json`` prints of it."""
    from explorer.export.package import export_architecture
    from explorer.export.weights import load_weights, pair_weights

    provenance: dict[str, Any] = _origin(found)
    weights = accuracy = pairing = None
    if found.study is not None and found.trial is not None:
        weights, accuracy, provenance = _trained_weights(found.study, found.trial, storage, quiet)
    elif request.weights is not None:
        if request.by_order:
            pairing = pair_weights(found.architecture, request.weights)
        weights = load_weights(found.architecture, pairing or request.weights).state_dict()
        paired = ", paired by the order of computation" if pairing else ""
        provenance["weights"] = f"from the file {Path(request.weights).name}{paired}"
    try:
        with contextlib.nullcontext() if quiet else console().status("writing and verifying files"):
            result = export_architecture(
                found.architecture,
                folder,
                state_dict=weights,
                formats=request.formats,
                features=request.features,
                head_classes=request.head_classes,
                provenance={**provenance, "exported by": f"explorer {explorer.__version__}"},
                accuracy=accuracy,
                fresh=fresh,
            )
    except ExportError as error:
        raise WorkFailed(str(error)) from error
    if not quiet:
        out = console()
        if pairing:
            print_table({"weights of the file": "left", "of the network": "left", "shape": "left"}, pairing.pairs)
            for note in pairing.notes:
                out.print(plain(note))
        out.print(plain(f"{folder}: {', '.join(result.files)}"))
        for name, difference in result.max_abs_diff.items():
            out.print(
                plain(f"  {name}: verified in a separate process; largest difference from the network {difference:g}")
            )
    return {
        "directory": str(folder),
        "digest": result.architecture.digest,
        "files": list(result.files),
        "max_abs_diff": dict(result.max_abs_diff),
        **({"pairs": [pair._asdict() for pair in pairing.pairs], "notes": list(pairing.notes)} if pairing else {}),
    }


def _origin(found: Addressed) -> dict[str, Any]:
    """Return the provenance of a network that is not a trial; ``export_architecture`` adds that of its weights."""
    if found.space is None or found.derivation is None:
        return {}
    index = str(found.space.rank(found.derivation))
    return {"space": found.space.name, "index": index, "choices": str(found.derivation)}


def _trained_weights(
    study_name: str, record: TrialRecord, storage: str, quiet: bool
) -> tuple[dict[str, Any], float | None, dict[str, Any]]:
    """Return the weights of a trial, their accuracy and their provenance; train again if they were not saved."""
    from explorer.store import open_study
    from explorer.study.workers.weights import trained_network

    study = open_study(storage, study_name)
    silent = quiet or study.weights(record)
    with contextlib.nullcontext() if silent else console().status("the weights were not saved: training again"):
        trained = trained_network(study, record, click.get_current_context().params["data_dir"])
    training = study.fingerprint
    result = trained.retrained or record.result
    accuracy = result.val_accuracy if result else record.objectives.get("accuracy")
    split = training.get("split") or {}
    provenance = {
        "study": study.name,
        "trial": record.number,
        "space": study.space_name,
        "choices": ", ".join(f"{name}={text}" for name, text in record.choices.items()),
        "accuracy": {
            "accuracy": format_percent(accuracy),
            "split": f"validation, {split['validation']} images" if "validation" in split else "validation",
            "seeds": f"one training, seed {record.seed}",
            "test split": "not used",
        },
        "recipe": {**(training.get("recipe") or {}), "epochs": training.get("epochs")},
        "data": {
            "name": training.get("data"),
            **{name: value for name, value in split.items() if value is not None},
            "pixels": "scaled to 0..1, minus the mean, divided by std, for each channel",
        },
        "environment": asdict(record.environment) if record.environment else {},
        "weights": "retrained at export with the settings of the trial" if trained.retrained else "saved by the trial",
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
    """Show the contents of the exported folder DIR and verify every file against its recorded hash."""
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
    accuracy = (
        format_percent(found.accuracy) if found.accuracy is not None else "unknown" if found.trained else "not trained"
    )
    out = console()
    out.print(plain(f"{architecture.digest}: {architecture.input} images to {what}"))
    for name, text in (
        ("accuracy", accuracy),
        ("costs", ", ".join(f"{format_count(v)} {k}" for k, v in found.costs.items())),
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
    print_table({"file (unchanged)": "left", "sha256": "left"}, found.files.items())


@click.command()
@storage
@click.option(
    "--port", type=Whole(1, 65_535), metavar="P", help="Port of the server; the first free one from 8501 by default."
)
@click.option("--host", metavar="H", help="Address to listen on; by default only this machine can connect.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Accept requests for this host name, as behind a proxy or with --host 0.0.0.0; may be repeated.",
)
def dashboard(storage: str, port: int | None, host: str | None, allow_hosts: tuple[str, ...]) -> None:
    """Browse studies in a web browser: the frontier, its networks and their training curves."""
    from explorer.dashboard.launch import run_dashboard

    status = run_dashboard(storage, port, host, allow_hosts)
    if status:
        raise WorkFailed(f"the dashboard's server ended with status {status}")
