"""``explorer export``, ``describe`` and ``dashboard``: share networks and browse studies."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import click

import explorer
from explorer.analysis.amounts import format_count, format_percent, plural
from explorer.analysis.limits import parse_limit
from explorer.cli import WorkFailed
from explorer.cli.address import Addressed, Input, find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.options import as_json, console, mix, plain, print_json, print_table, storage, with_input
from explorer.errors import ExplorerError, ExportError
from explorer.export.manifest import Package
from explorer.export.verify.formats import RUN, check_formats
from explorer.export.verify.process import FreshProcess
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
    documents = _exports(
        arch, Path(output), under, whole_frontier, mix_environments, request, storage, override, as_json
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
) -> list[dict[str, Any]]:
    """Export one network or several and return for each what ``explorer export --json`` prints."""
    if under or whole_frontier:
        from explorer.cli.studies import none_found, warn_of_mixed_latencies
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
    # The process that verifies the files is started before anything else imports torch, so that it is loaded once.
    with FreshProcess() if request.formats & set(RUN) else contextlib.nullcontext() as fresh:
        _check(found, places, request, override, storage)
        _note_untrained(found[0], request, storage)
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
        from explorer.store import open_study
        from explorer.study.results.exporting import check_exportable

        if override is not None:
            raise ExplorerError("a trained network keeps its input; leave out --data, --input and --classes")
        data_dir = click.get_current_context().params["data_dir"]
        check_exportable(open_study(storage, each.study), each.trial, data_dir, request.weights is not None)


def _note_untrained(found: Addressed, request: Request, storage: str) -> None:
    """Print a note if the network is a trial of a study that has no trained weights, and none are given."""
    if found.study is None or request.weights is not None:
        return
    from explorer.store import open_study  # a network that is no trial needs no database
    from explorer.study.recorded_training import is_trained

    if not is_trained(open_study(storage, found.study)):
        click.echo(
            f"{found.study}: a function evaluated its networks, so there are no trained weights: they are"
            " initialised from seed 0; --weights FILE loads yours",
            err=True,
        )


def _export(
    found: Addressed, folder: Path, request: Request, storage: str, quiet: bool, fresh: FreshProcess | None
) -> dict[str, Any]:
    """Export one network and return what ``explorer export --json`` prints of it."""
    from explorer.export.package import export_architecture
    from explorer.export.weights import load_weights, pair_weights

    options: dict[str, Any] = {
        "formats": request.formats,
        "features": request.features,
        "head_classes": request.head_classes,
        "fresh": fresh,
    }
    pairing = pair_weights(found.architecture, request.weights) if request.weights and request.by_order else None
    source = pairing or request.weights
    weights = None if source is None else load_weights(found.architecture, source).state_dict()
    try:
        with contextlib.nullcontext() if quiet else console().status("writing and verifying files"):
            if found.study is not None and found.trial is not None:
                from explorer.store import open_study
                from explorer.study.results.exporting import export_trial

                study, record = open_study(storage, found.study), found.trial
                data_dir = click.get_current_context().params["data_dir"]
                result = export_trial(study, record.number, folder, weights=source, data_dir=data_dir, **options)
            else:
                provenance = _origin(found)
                if request.weights is not None:
                    paired = ", paired by the order of computation" if pairing else ""
                    provenance["weights"] = f"from the file {Path(request.weights).name}{paired}"
                provenance["exported by"] = f"explorer {explorer.__version__}"
                result = export_architecture(
                    found.architecture, folder, state_dict=weights, provenance=provenance, **options
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


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path())
@as_json
def describe(directory: str, as_json: bool) -> None:
    """Show the contents of the exported folder DIR and verify every file against its recorded hash."""
    import json

    from explorer.export.manifest import check_package
    from explorer.export.own_ops import changed_op

    found = check_package(directory)
    if note := changed_op(found.ops, found.architecture):
        click.echo(f"{directory}: {note}", err=True)
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
                "ops": dict(found.ops),
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
    accuracy = _accuracy(found)
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
                f"stage {number}: {plural(len(stage.blocks), 'block')}; {first}"
                + (f"; then {rest[0]}" if rest and rest[0] != first else "")
            )
        )
    print_table({"file (unchanged)": "left", "sha256": "left"}, found.files.items())


def _accuracy(found: Package) -> str:
    """Return the accuracy of an exported network with its interval and its source, and that of its weights."""
    told = found.provenance.get("accuracy")
    if not isinstance(told, dict) or "accuracy" not in told or "split" not in told:
        known = "unknown" if found.trained else "not trained"
        return format_percent(found.accuracy) if found.accuracy is not None else known
    more = f"; of these weights {told['of these weights']}" if "of these weights" in told else ""
    return f"{told['accuracy']} ({told['split']}; {told.get('seeds', 'one training')}){more}"


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
@click.option(
    "--token",
    is_flag=True,
    help="Ask browsers for a token: that of EXPLORER_DASHBOARD_TOKEN, or a new one that is printed to the terminal.",
)
@click.option("--behind-proxy", is_flag=True, help="A reverse proxy in front of the dashboard asks for a login.")
@click.option("--read-only", is_flag=True, help="Do not let browsers change notes and tags.")
def dashboard(
    storage: str,
    port: int | None,
    host: str | None,
    allow_hosts: tuple[str, ...],
    token: bool,
    behind_proxy: bool,
    read_only: bool,
) -> None:
    """Browse studies in a web browser: the frontier, its networks and their training curves."""
    from explorer.dashboard.launch import run_dashboard

    status = run_dashboard(
        storage, port, host, allow_hosts, token=token, behind_proxy=behind_proxy, read_only=read_only
    )
    if status:
        raise WorkFailed(f"the dashboard's server ended with status {status}")
