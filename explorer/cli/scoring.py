"""``explorer scores``: zero-cost scores of untrained networks, and their rank correlation with accuracy and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import click

from explorer.analysis.quantities import SCORES
from explorer.cli.address import find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.measuring import Listed
from explorer.cli.options import as_json, data_dir, input_override, input_shape, print_json, print_table, storage
from explorer.cli.progress import show_progress
from explorer.errors import ExplorerError
from explorer.space.search_space import SearchSpace

if TYPE_CHECKING:  # the functions import them when they are called
    from explorer.analysis.ranking import Correlation
    from explorer.scoring.parallel import Scored
    from explorer.store import Study


class ScoreAll(Protocol):
    """A function that yields the scores of each network by name; a score that does not exist is None."""

    def __call__(self, wanted: Sequence[Scored]) -> Iterator[dict[str, float | None]]: ...


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1)
@click.option(
    "-n", "count", type=Whole(1, 100_000), metavar="N",
    help="Sample N networks of SPACE uniformly, and correlate their scores with params, MACs and activations.",
)  # fmt: skip
@click.option("--study", metavar="STUDY", help="Show how well scores and costs rank the trained networks of STUDY.")
@click.option(
    "--score", "names", type=Listed(), metavar="NAME,...",
    help=f"{', '.join(SCORES)}; all by default.",
)  # fmt: skip
@click.option("--data", metavar="NAME", help="Use images of this data set; by default those of the study, else noise.")
@data_dir
@input_shape
@click.option("--batch", type=Whole(2, 4_096), metavar="N", help="Images in the batch; 32 by default.")
@click.option(
    "--seed",
    type=int,
    metavar="S",
    help="Seed of weights, noise, images and sampling; a trial's own, else 0, by default.",
)
@as_json
@storage
def scores(
    archs: tuple[str, ...],
    count: int | None,
    study: str | None,
    names: tuple[str, ...] | None,
    data: str | None,
    data_dir: str | None,
    input: str | None,
    classes: int | None,
    batch: int | None,
    seed: int | None,
    as_json: bool,
    storage: str,
) -> None:
    """Compute zero-cost scores of ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, an exported folder)."""
    if bool(archs) == bool(study) or (count and len(archs) != 1):
        usage = "name ARCH..., or one SPACE with -n N, or --study STUDY alone"
        raise click.UsageError(usage, click.get_current_context())
    from explorer.data.dataset import load_data
    from explorer.scoring.names import check_scores
    from explorer.scoring.parallel import Scored, score_all
    from explorer.scoring.zero_cost import BATCH
    from explorer.space.search_space import load_space

    names = check_scores(names or SCORES)
    override = input_override(data, data_dir, input, classes)
    if study and input:
        raise ExplorerError("--study uses the input and classes of the study's data; leave out --input and --classes")
    if study:
        from explorer.store import open_study
        from explorer.study.recorded_training import training_data

        opened = open_study(storage, study)
    elif count:
        space = load_space(archs[0]) if override is None else override.apply(load_space(archs[0]))
    else:
        found = [find_architecture(arch, storage, override).architecture for arch in archs]
    dataset = None if data is None else load_data(data, data_dir)

    def score(wanted: Sequence[Scored]) -> Iterator[dict[str, float | None]]:
        chosen = wanted if seed is None else [each._replace(seed=seed) for each in wanted]
        return _with_progress(score_all(chosen, data=dataset, batch=batch or BATCH), len(chosen))

    if study:
        if dataset is None and opened.fingerprint.get("recipe"):
            dataset = training_data(opened, data_dir)
        recompute = any(given is not None for given in (data, batch, seed))
        _print_ranking(opened, score, names, recompute, as_json)
    elif count:
        _print_correlations(space, count, seed or 0, score, names, as_json)
    else:
        scored = score([Scored(each, names) for each in found])
        _print_scores(archs, [{"digest": each.digest, **row} for each, row in zip(found, scored)], names, as_json)


def _print_scores(archs: Sequence[str], rows: Sequence[Mapping[str, Any]], names: Sequence[str], as_json: bool) -> None:
    """Print the scores of each network."""
    if as_json:
        print_json(rows)
        return
    print_table(
        {"network": "left", **dict.fromkeys(names, "right")},
        [(arch, *(_format_value(row[name]) for name in names)) for arch, row in zip(archs, rows)],
    )


def _print_correlations(
    space: SearchSpace, count: int, seed: int, score: ScoreAll, names: Sequence[str], as_json: bool
) -> None:
    """Print the rank correlation of scores and costs over networks sampled from a space."""
    from explorer.scoring.parallel import Scored
    from explorer.scoring.space import (
        SUMMED_COSTS,
        correlate_with_costs,
        distinct_networks,
        sample_indices,
        score_row,
    )

    networks = distinct_networks(space, sample_indices(space, count, seed))
    scored = score([Scored(each, names) for each in networks.values()])
    rows = [score_row(index, each, found) for (index, each), found in zip(networks.items(), scored)]
    found = correlate_with_costs(rows, names)
    if as_json:
        correlations = [
            {"score": each.name, "cost": plain, "rho": each.rho, "ci95": each.ci95, "networks": each.networks}
            for plain, listed in found.items()
            for each in listed
        ]
        print_json({"rows": rows, "correlations": correlations})
        return
    rho = {(each.name, plain): each for plain, listed in found.items() for each in listed}
    _explain_blanks(rho.values())
    print_table(
        {"rank correlation with": "left", **dict.fromkeys(SUMMED_COSTS, "right"), "networks": "right"},
        [
            (name, *(_format_value(rho[name, cost].rho) for cost in SUMMED_COSTS), rho[name, "macs"].networks)
            for name in names
        ],
    )  # fmt: skip


def _print_ranking(study: Study, score: ScoreAll, names: Sequence[str], recompute: bool, as_json: bool) -> None:
    """Print the rank correlation of scores and costs with the accuracy of a study's trials.

    Scores that the search stored are read from the database, unless ``recompute`` is true.
    """
    from explorer.analysis.ranking import rank_correlations
    from explorer.scoring.parallel import Scored
    from explorer.scoring.space import SUMMED_COSTS

    records = [each for each in study.trials() if each.state == "complete" and "accuracy" in each.objectives]
    if not records:
        raise ExplorerError(f"study {study.name!r} has no complete trial with an accuracy to rank by")
    rows: list[dict[str, float | None]] = [
        {} if recompute else {name: each.objectives[name] for name in names if name in each.objectives}
        for each in records
    ]
    incomplete = [(row, each) for row, each in zip(rows, records) if any(name not in row for name in names)]
    wanted = [
        Scored(each.architecture, [name for name in names if name not in row], each.seed) for row, each in incomplete
    ]
    for (row, _), found_scores in zip(incomplete, score(wanted)):
        row.update(found_scores)
    numbers = {name: [row[name] for row in rows] for name in names}
    numbers |= {name: [each.costs.get(name) for each in records] for name in SUMMED_COSTS}
    found = rank_correlations(
        numbers, [each.objectives["accuracy"] for each in records], [each.costs["macs"] for each in records]
    )
    if as_json:
        print_json([each.to_json() for each in found])
        return
    _explain_blanks(found)
    print_table(
        {"": "left", "rank correlation": "right", "95%": "left", "at equal MACs": "right", "networks": "right"},
        [
            (
                each.name,
                _format_value(each.rho),
                "" if each.ci95 is None else f"{each.ci95[0]:.2f} to {each.ci95[1]:.2f}",
                _format_value(each.at_equal_macs),
                each.networks,
            )
            for each in found
        ],
    )


def _explain_blanks(found: Iterable[Correlation]) -> None:
    """Print why a correlation is missing, if one is."""
    from explorer.analysis.ranking import MIN_NETWORKS

    if any(each.rho is None for each in found):
        click.echo(
            f"blank: fewer than {MIN_NETWORKS} networks have both values, or one of the two is constant", err=True
        )


def _with_progress(scored: Iterator[dict[str, float | None]], total: int) -> Iterator[dict[str, float | None]]:
    """Yield the scores and show the progress."""
    with show_progress() as begin:
        show = begin("scoring", "networks", total)
        for number, each in enumerate(scored, 1):
            show(number)
            yield each


def _format_value(value: float | None) -> str:
    """Format a value with four digits; None as empty text."""
    return "" if value is None else f"{value:.4g}"
