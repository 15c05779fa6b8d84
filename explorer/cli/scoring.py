"""``explorer scores``: what untrained networks promise, and what such promises are worth."""

from __future__ import annotations

import click

from explorer.address import Input, find_architecture
from explorer.architecture import Architecture
from explorer.cli.measuring import Listed
from explorer.cli.options import as_json, data_dir, print_json, print_table, storage
from explorer.errors import ExplorerError

PLAIN = ("params", "macs", "activations")


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1)
@click.option("--study", metavar="STUDY", help="How well scores and plain costs rank its trained networks.")
@click.option(
    "--score", "names", type=Listed(), metavar="NAME,...",
    help="naswot, synflow, grad_norm, snip, jacob_cov, zen; all by default.",
)  # fmt: skip
@click.option("--data", metavar="NAME", help="Look at images of this data set; a study's own, else noise, by default.")
@data_dir
@click.option("--batch", type=click.IntRange(2, 4_096), metavar="N", help="Images; 32 by default.")
@click.option("--seed", type=int, metavar="S", help="Of weights, noise and images; a trial's own, else 0, by default.")
@as_json
@storage
def scores(archs, study, names, data, data_dir, batch, seed, as_json, storage) -> None:
    """Zero-cost scores of untrained ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, architecture.json)."""
    if bool(archs) == bool(study):
        raise click.UsageError("name ARCH..., or --study STUDY alone", click.get_current_context())
    from explorer.scoring.names import NAMES, check_scores
    from explorer.scoring.zero_cost import BATCH, score_architecture
    from explorer.training.data import load_data

    names = check_scores(names or NAMES)
    seen = None if data is None else load_data(data, data_dir)

    anew = any(given is not None for given in (data, batch, seed))

    def score(architecture: Architecture, wanted=names, own_seed: int = 0) -> dict[str, float | None]:
        chosen = own_seed if seed is None else seed
        return score_architecture(architecture, wanted, data=seen, batch=batch or BATCH, seed=chosen)

    if study:
        from explorer.store import open_study
        from explorer.study.terms import training_data

        opened = open_study(storage, study)
        if seen is None and opened.fingerprint.get("recipe"):
            seen = training_data(opened, data_dir)
        _print_correlations(opened, score, names, anew, as_json)
        return
    override = None if seen is None else Input(seen.shape, seen.classes)
    found = [find_architecture(arch, storage, override).architecture for arch in archs]
    rows = [{"digest": each.digest, **score(each)} for each in found]
    if as_json:
        print_json(rows)
        return
    print_table(
        {"network": "left", **dict.fromkeys(names, "right")},
        [(arch, *(_shown(row[name]) for name in names)) for arch, row in zip(archs, rows)],
    )


def _print_correlations(study, score, names, anew: bool, as_json: bool) -> None:
    """Scores that the search has stored are not measured again, unless something else is asked of them (``anew``)."""
    from explorer.scoring.correlation import rank_correlations

    records = [each for each in study.trials() if each.state == "complete" and "accuracy" in each.objectives]
    if not records:
        raise ExplorerError(f"study {study.name!r} has no complete trial with an accuracy to rank by")
    from rich.progress import track

    scored = []
    for each in track(records, "scoring", transient=True, disable=as_json, console=_stderr()):
        stored = {} if anew else {name: each.objectives[name] for name in names if name in each.objectives}
        missing = [name for name in names if name not in stored]
        measured = score(Architecture.from_json(each.architecture), missing, each.seed) if missing else {}
        scored.append({**stored, **measured})
    numbers = {name: [row[name] for row in scored] for name in names}
    numbers |= {name: [each.costs.get(name) for each in records] for name in PLAIN}
    found = rank_correlations(
        numbers, [each.objectives["accuracy"] for each in records], [each.costs["macs"] for each in records]
    )
    if as_json:
        print_json([each.to_json() for each in found])
        return
    print_table(
        {"": "left", "rank correlation": "right", "95%": "left", "at equal MACs": "right", "networks": "right"},
        [
            (
                each.name,
                _shown(each.rho),
                "" if each.ci95 is None else f"{each.ci95[0]:.2f} to {each.ci95[1]:.2f}",
                _shown(each.at_equal_macs),
                each.networks,
            )
            for each in found
        ],
    )


def _stderr():
    from rich.console import Console

    return Console(stderr=True)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
