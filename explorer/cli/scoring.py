"""``explorer scores``: what untrained networks promise, and what such promises are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from explorer.analysis.quantities import SCORES
from explorer.cli.address import find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.measuring import Listed
from explorer.cli.options import as_json, data_dir, input_override, input_shape, print_json, print_table, storage
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1)
@click.option(
    "-n", "count", type=Whole(1, 100_000), metavar="N",
    help="Of so many networks of a SPACE, drawn uniformly: how their scores go with params, MACs and activations.",
)  # fmt: skip
@click.option("--study", metavar="STUDY", help="How well scores and plain costs rank its trained networks.")
@click.option(
    "--score", "names", type=Listed(), metavar="NAME,...",
    help=f"{', '.join(SCORES)}; all by default.",
)  # fmt: skip
@click.option("--data", metavar="NAME", help="Look at images of this data set; a study's own, else noise, by default.")
@data_dir
@input_shape
@click.option("--batch", type=Whole(2, 4_096), metavar="N", help="Images; 32 by default.")
@click.option(
    "--seed", type=int, metavar="S", help="Of weights, noise, images and draws; a trial's own, else 0, by default."
)
@as_json
@storage
def scores(archs, count, study, names, data, data_dir, input, classes, batch, seed, as_json, storage) -> None:
    """Zero-cost scores of untrained ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, an exported folder)."""
    if bool(archs) == bool(study) or (count and len(archs) != 1):
        usage = "name ARCH..., or one SPACE with -n N, or --study STUDY alone"
        raise click.UsageError(usage, click.get_current_context())
    from explorer.data.dataset import load_data
    from explorer.scoring.names import check_scores
    from explorer.scoring.zero_cost import BATCH, score_architecture
    from explorer.space.search_space import load_space

    names = check_scores(names or SCORES)
    override = input_override(data, data_dir, input, classes)
    if study and input:
        raise ExplorerError("--input and --classes are those of the study's data; leave them out")
    if study:
        from explorer.store import open_study
        from explorer.study.recorded_training import training_data

        opened = open_study(storage, study)
    elif count:
        space = load_space(archs[0]) if override is None else override.applied(load_space(archs[0]))
    else:
        found = [find_architecture(arch, storage, override).architecture for arch in archs]
    seen = None if data is None else load_data(data, data_dir)

    def score(architecture: Architecture, wanted=names, own_seed: int = 0) -> dict[str, float | None]:
        chosen = own_seed if seed is None else seed
        return score_architecture(architecture, wanted, data=seen, batch=batch or BATCH, seed=chosen)

    if study:
        if seen is None and opened.fingerprint.get("recipe"):
            seen = training_data(opened, data_dir)
        anew = any(given is not None for given in (data, batch, seed))
        _print_ranking(opened, score, names, anew, as_json)
    elif count:
        _print_survey(space, count, seed or 0, score, names, as_json)
    else:
        _print_scores(archs, [{"digest": each.digest, **score(each)} for each in found], names, as_json)


def _print_scores(archs, rows, names, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    print_table(
        {"network": "left", **dict.fromkeys(names, "right")},
        [(arch, *(_shown(row[name]) for name in names)) for arch, row in zip(archs, rows)],
    )


def _print_survey(space, count: int, seed: int, score, names, as_json: bool) -> None:
    """The scores of networks drawn from a space, and how they go with what costs nothing to know."""
    from explorer.scoring.space import PLAIN, beside_costs, drawn, score_networks

    rows = list(score_networks(space, _tracked(drawn(space, count, seed), as_json), score))
    found = beside_costs(rows, names)
    if as_json:
        correlations = [
            {"score": each.name, "cost": plain, "rho": each.rho, "ci95": each.ci95, "networks": each.networks}
            for plain, listed in found.items()
            for each in listed
        ]
        print_json({"rows": rows, "correlations": correlations})
        return
    rho = {(each.name, plain): each for plain, listed in found.items() for each in listed}
    _tell_blanks(rho.values())
    print_table(
        {"rank correlation with": "left", **dict.fromkeys(PLAIN, "right"), "networks": "right"},
        [
            (name, *(_shown(rho[name, plain].rho) for plain in PLAIN), rho[name, PLAIN[0]].networks)
            for name in names
        ],
    )  # fmt: skip


def _print_ranking(study, score, names, anew: bool, as_json: bool) -> None:
    """Scores that the search has stored are not measured again, unless something else is asked of them (``anew``)."""
    from explorer.analysis.ranking import rank_correlations
    from explorer.scoring.space import PLAIN

    records = [each for each in study.trials() if each.state == "complete" and "accuracy" in each.objectives]
    if not records:
        raise ExplorerError(f"study {study.name!r} has no complete trial with an accuracy to rank by")
    scored = []
    for each in _tracked(records, as_json):
        stored = {} if anew else {name: each.objectives[name] for name in names if name in each.objectives}
        missing = [name for name in names if name not in stored]
        measured = score(Architecture.from_json(each.architecture, each.digest), missing, each.seed) if missing else {}
        scored.append({**stored, **measured})
    numbers = {name: [row[name] for row in scored] for name in names}
    numbers |= {name: [each.costs.get(name) for each in records] for name in PLAIN}
    found = rank_correlations(
        numbers, [each.objectives["accuracy"] for each in records], [each.costs["macs"] for each in records]
    )
    if as_json:
        print_json([each.to_json() for each in found])
        return
    _tell_blanks(found)
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


def _tell_blanks(found) -> None:
    from explorer.analysis.ranking import FEWEST

    if any(each.rho is None for each in found):
        click.echo(f"blank: fewer than {FEWEST} networks have both numbers, or one is the same for all", err=True)


def _tracked(networks: Sequence, as_json: bool) -> Iterable:
    """The networks, with a bar on standard error of how many are scored."""
    from rich.console import Console
    from rich.progress import track

    return track(networks, "scoring", transient=True, disable=as_json, console=Console(stderr=True))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
