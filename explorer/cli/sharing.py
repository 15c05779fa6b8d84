"""``explorer export`` and ``dashboard``: what leaves the explorer."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from explorer.address import Addressed, Input, find_architecture
from explorer.cli import WorkFailed
from explorer.cli.options import as_json, console, percent, plain, print_json, storage, with_input
from explorer.errors import ExplorerError, ExportError
from explorer.limits import parse_limit
from explorer.store import open_study


@click.command()
@click.argument("arch")
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False), metavar="DIR", help="The folder to write.")
@click.option("--under", multiple=True, metavar="LIMIT", help="ARCH is a study: export its best network that keeps this limit; may be repeated.")
@click.option("--frontier", "whole_frontier", is_flag=True, help="ARCH is a study: export its whole frontier, a folder a network.")
@click.option("--formats", default="yaml,python,safetensors", show_default=True, metavar="NAMES", help="What to write, beside architecture.json and README.md.")
@as_json
@storage
@with_input
def export(arch, output, under, whole_frontier, formats, as_json, storage, override) -> None:
    """Write ARCH as a folder that stands on its own: architecture, code, weights, and a page that says what it is.

    ARCH is STUDY:TRIAL, SPACE.yaml#INDEX or an architecture.json; with --under or --frontier, a study's name.
    Without a trial behind it the network has fresh, untrained weights.
    """
    if under and whole_frontier:
        raise ExplorerError("--under and --frontier exclude each other")
    folder = Path(output)
    if under or whole_frontier:
        study = open_study(storage, arch)
        limits = [parse_limit(text) for text in under]
        records = study.frontier() if whole_frontier else [study.best_under(limits)]
        if records in ([], [None]):
            raise ExplorerError(f"no complete trial of {study.name!r} {'keeps ' + ', '.join(map(str, limits)) if limits else 'yet'}")
        places = [folder / f"trial-{record.number}" for record in records] if whole_frontier else [folder]
        addresses = [f"{study.name}:{record.number}" for record in records]
    else:
        addresses, places = [arch], [folder]
    names = tuple(name.strip() for name in formats.split(",") if name.strip())
    documents = [_export(address, place, names, storage, override, as_json) for address, place in zip(addresses, places)]
    if as_json:
        print_json(documents if whole_frontier else documents[0])


def _export(address: str, folder: Path, formats: tuple[str, ...], storage: str, override: Input | None, quiet: bool) -> dict:
    from explorer.export.package import check_formats, check_target, export_architecture

    # What the user can mend is said before anything is trained or written.
    check_formats(formats)
    check_target(folder)

    found = find_architecture(address, storage, override)
    if found.trial is not None and override is not None:
        raise ExplorerError("a trained network keeps its input; leave out --data, --input and --classes")
    weights, provenance = _trained(found, storage, quiet) if found.trial is not None else (None, _origin(found))
    try:
        result = export_architecture(found.architecture, folder, state_dict=weights, formats=formats, provenance=provenance)
    except ExportError as error:
        raise WorkFailed(str(error)) from error
    if not quiet:
        out = console()
        out.print(plain(f"{address} written to {folder}: {', '.join(result.files)}"))
        for name, difference in result.max_abs_diff.items():
            out.print(plain(f"  {name}: largest difference of its logits to the network's {difference:g}"))
    return {
        "directory": str(folder),
        "digest": found.architecture.digest,
        "files": list(result.files),
        "max_abs_diff": dict(result.max_abs_diff),
    }


def _origin(found: Addressed) -> dict[str, str]:
    """What is known of a network without a trial; export itself says that its weights are fresh."""
    if found.space is None or found.derivation is None:
        return {}
    index = str(found.space.rank(found.derivation))
    return {"space": found.space.name, "index": index, "choices": str(found.derivation)}


def _trained(found: Addressed, storage: str, quiet: bool):
    from explorer.study.weights import trained_network

    study, record = open_study(storage, found.study), found.trial
    again = contextlib.nullcontext() if quiet or study.weights(record) else console().status("its weights were not kept: training it again")
    with again:
        trained = trained_network(study, record, click.get_current_context().params["data_dir"])
    training, split = study.fingerprint, study.fingerprint["split"]
    result = trained.retrained or record.result
    provenance = {
        "study": study.name,
        "trial": str(record.number),
        "space": study.space_name,
        "choices": ", ".join(f"{name}={text}" for name, text in record.choices.items()),
        "data": training["data"],
        "split": ", ".join(f"{name} {value}" for name, value in split.items() if value is not None and name not in ("mean", "std")),
        "pixels": f"scaled to 0..1, less the mean {split['mean']}, divided by {split['std']}, for each channel" if split else "",
        "recipe": training["recipe"].get("name", ""),
        "epochs": str(training["epochs"]),
        "seed": str(record.seed),
        "validation accuracy": f"{percent(result.val_accuracy)} (one seed)" if result else "",
        "trained on": record.environment.device_name if record.environment else "",
        "weights": "trained again at export, as the trial was" if trained.retrained else "as the trial left them",
    }
    return trained.network.state_dict(), {key: value for key, value in provenance.items() if value}


@click.command()
@storage
@click.option("--port", type=click.IntRange(1, 65_535), metavar="P", help="The first free one from 8501 by default.")
@click.option("--host", metavar="H", help="Another address to listen on; by default only this machine can look.")
def dashboard(storage: str, port: int | None, host: str | None) -> None:
    """Browse studies in the browser: the frontier, its networks and their training curves."""
    from dashboards.launch import run_dashboard

    status = run_dashboard(storage, port, host)
    if status:
        raise WorkFailed(f"the dashboard's server ended with status {status}")

