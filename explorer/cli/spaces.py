"""``explorer space``, ``sample``, ``atlas`` and ``cost``: spaces and costs, without training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explorer.analysis.amounts import format_count, format_percent
from explorer.analysis.limits import Limit
from explorer.analysis.quantities import PREFIXES, quantity_named
from explorer.cli import WorkFailed
from explorer.cli.address import Input, find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.options import (
    as_json,
    choices_line,
    console,
    format_whole,
    plain,
    print_json,
    print_table,
    print_warnings,
    storage,
    with_input,
)
from explorer.cli.progress import show_progress
from explorer.costs.analytic import count_cost
from explorer.space.choices import Derivation, point_names
from explorer.space.count.size import Size
from explorer.space.search_space import SearchSpace, load_space
from explorer.system.files import begins_with, check_output

if TYPE_CHECKING:
    from explorer.costs.whole_space.statistics import Bounds, CostRanges, NetworkCount


def _load(path: str, override: Input | None) -> SearchSpace:
    """Load a space, with its input replaced by ``override``."""
    space = load_space(path)
    return space if override is None else override.apply(space)


@click.command()
@click.argument("space")
@click.option(
    "--exact",
    is_flag=True,
    help="Build every block, and compute the number of networks and the costs of a space of up to 20,000,000"
    " derivations exactly, however long it takes.",
)
@as_json
@with_input
def space(space: str, exact: bool, as_json: bool, override: Input | None) -> None:
    """Check SPACE and show its choice points, number of derivations and networks, and cost ranges.

    What takes long is estimated from uniform draws, with a 95% interval; --exact computes it.
    SPACE is a file, or the name of one that comes with the explorer (preact_variants.yaml).
    """
    from explorer.costs.whole_space.statistics import EXACT, QUICK

    read = _load(space, override)
    networks, ranges, size = _statistics(read, EXACT if exact else QUICK)
    choices = [
        {"name": name, "scope": point.scope, "alternatives": list(point.options)}
        for point, name in point_names(read).items()
    ]
    if as_json:
        print_json(
            {
                "name": read.name,
                "about": read.about,
                "digest": read.digest,
                "input": read.input_parts,
                "classes": read.classes,
                "derivations": size.derivations,
                "derivations_exact": size.is_exact,
                "derivations_ci95": None if size.is_exact else (size.low, size.high),
                "networks": networks.networks,
                "networks_exact": networks.exact,
                "networks_ci95": networks.ci95,
                "networks_upper_bound": networks.is_upper_bound,
                "validated": read.validated,
                "choices": choices,
                "costs": ranges.costs,
                "costs_exact": ranges.exact,
                "costs_rows": ranges.rows,
                "costs_median_ci95": ranges.median_ci95,
                "where": [condition.text for condition in read.where],
                "limits": [str(limit) for limit in read.limits],
                "feasible_share": ranges.feasible,
                "feasible_share_ci95": ranges.feasible_ci95,
                "warnings": [warning.to_dict() for warning in read.warnings],
            }
        )
        return
    print_warnings(read.warnings)
    if not ranges.feasible:
        click.echo(f"warning: {_unreachable_limits(read, ranges)}", err=True)
    out = console()
    out.print(f"{read.name}: {read.about}" if read.about else read.name, markup=False)
    out.print(f"input {read.input_text}, {read.classes} classes", markup=False)
    about = ""
    if networks.is_upper_bound:
        about = " (estimate of an upper bound: derivations that differ in several choices can be one network)"
    elif networks.ci95 is not None:
        about = f" (estimated; 95% interval {' to '.join(map(format_whole, networks.ci95))})"
    checked = "every block was built" if read.validated == "all" else "sampled networks were built"
    out.print(
        f"{_derivations(size)}, {'at most ' * networks.is_upper_bound}{format_whole(networks.networks)} distinct"
        f" network{'s' * (networks.networks != 1)}{about}; {checked}\n",
        markup=False,
    )
    print_table({"choice": "left", "scope": "left", "alternatives": "left"}, [
        (c["name"], f"per {c['scope']}", " | ".join(c["alternatives"]))
            for c in choices
    ])  # fmt: skip
    out.print()
    source = "all derivations" if ranges.exact else f"{ranges.rows:,} uniform draws"
    print_table({f"cost ({source})": "left", "min": "right", "median": "right", "max": "right"}, [
        (key, *(format_count(r[name]) for name in ("min", "median", "max"))) for key, r in ranges.costs.items()
    ])  # fmt: skip
    if read.where:
        conditions = "; ".join(condition.text for condition in read.where)
        exactness = "counts and samples are" if size.is_exact else "samples are uniform, counts are not"
        out.print(f"\nconditions ({exactness} exact): {conditions}", markup=False)
    if read.limits:
        limits = ", ".join(map(str, read.limits))
        out.print(
            f"\nlimits: {limits}; satisfied by {format_percent(ranges.feasible)} of the derivations", markup=False
        )


def _unreachable_limits(space: SearchSpace, ranges: CostRanges) -> str:
    """Return the warning that no network is within the limits, with the ranges of the costs that exceed them."""
    limits = [limit for limit in space.limits if limit.cost in ranges.limited]
    alone = [limit for limit in limits if not _is_kept(limit, ranges)]
    none = "no network is" if ranges.exact else f"none of {ranges.rows:,} sampled networks is"
    found = []
    for limit in alone or limits:
        low, high = ranges.limited[limit.cost]
        text = f"{limit}, found {format_count(low)} to {format_count(high)}"
        if limit in alone and limit.bound < PREFIXES["k"]:  # a suffix may be missing
            with_suffix = (replace(limit, bound=limit.bound * PREFIXES[suffix]) for suffix in "kMG")
            meant = next((other for other in with_suffix if _is_kept(other, ranges)), None)
            text += f" (did you mean '{meant}'?)" if meant else ""
        found.append(text)
    line, column = space.places["limits"]
    return f"{space.source}:{line}:{column}: {none} within the limits: {'; '.join(found)}"


def _is_kept(limit: Limit, ranges: CostRanges) -> bool:
    """Whether a network keeps a limit."""
    return any(limit.allows({limit.cost: cost}) for cost in ranges.limited[limit.cost])


def _derivations(size: Size) -> str:
    """Return the number of derivations as text, with the interval of an estimate."""
    text = f"{format_whole(size.derivations)} derivation{'s' * (size.derivations != 1)}"
    if size.is_exact:
        return text
    return f"about {text} (95% interval {format_whole(size.low)} to {format_whole(size.high)}; --exact counts them)"


def _statistics(space: SearchSpace, bounds: Bounds) -> tuple[NetworkCount, CostRanges, Size]:
    """Return the statistics of a space. Without bounds that keep it short, a progress bar is shown."""
    from explorer.costs.whole_space.statistics import EXACT, cost_ranges, count_networks

    if bounds is not EXACT:
        return count_networks(space, bounds), cost_ranges(space, bounds), space.size
    with show_progress() as begin:
        space.check_all_units(begin("checking blocks", "states"))
        total = space.count(begin("counting derivations", "states"))
        rows = total if total <= bounds.derivations else None
        networks = count_networks(space, bounds, begin("counting networks", "derivations", rows))
        ranges = cost_ranges(space, bounds, begin("computing costs", "derivations", rows))
        return networks, ranges, Size(total, total, total, True)


@click.command()
@click.argument("space")
@click.option(
    "-n", "count", type=Whole(1, 1_000_000), default=10, show_default=True, metavar="N", help="Number of networks."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Seed of the sampling.")
@click.option("--distinct", is_flag=True, help="Sample no network twice; stops early if the space has fewer.")
@as_json
@with_input
def sample(space: str, count: int, seed: int, distinct: bool, as_json: bool, override: Input | None) -> None:
    """Sample networks of SPACE, independently and uniformly over its derivations."""
    read = _load(space, override)
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    with show_progress() as begin:
        done = begin("sampling", "networks", count)
        for derivation in _draws(read, count, seed, distinct):
            done(len(rows))
            architecture = read.architecture(derivation)
            if distinct and architecture.digest in seen:
                continue
            seen.add(architecture.digest)
            cost = count_cost(architecture)
            rows.append(
                {
                    "index": read.rank(derivation),
                    "digest": architecture.digest,
                    "choices": dict(derivation.choices),
                    "params": cost.params,
                    "macs": cost.macs,
                    "activations": cost.activations,
                }
            )
            if len(rows) == count:
                break
    if as_json:
        print_json(rows)
        return
    print_table(
        {"index": "right", "params": "right", "macs": "right", "activations": "right", "choices": "left"},
        [
            (
                format_whole(r["index"]),
                format_count(r["params"]),
                format_count(r["macs"]),
                format_count(r["activations"]),
                choices_line(r["choices"]),
            )
            for r in rows
        ],
    )


def _draws(space: SearchSpace, count: int, seed: int, distinct: bool) -> Iterator[Derivation]:
    """Yield sampled derivations; with ``distinct`` more than ``count``, and at last all those of a small space."""
    draws = min(max(20 * count, 1_000), 1_000_000) if distinct else count
    yield from islice(space.draws(seed), draws)
    if distinct and space.is_counted and space.indices <= draws:  # adds the derivations that were not sampled
        yield from space


@click.command()
@click.argument("space")
@click.option(
    "-n",
    "count",
    type=Whole(1),
    metavar="N",
    help="Number of networks, sampled uniformly without repetition; all by default.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The table to write, .parquet or .csv.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Plot the costs on a page that opens in any browser.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampling.")
@as_json
@with_input
def atlas(
    space: str, count: int | None, output: Path, plot: Path | None, seed: int, as_json: bool, override: Input | None
) -> None:
    """Write the costs of all networks of SPACE, or of N of them: a Parquet or CSV file, one row per network, by index.

    If the space has limits, the column within_limits says which networks keep them; the plot shows only these.

    Columns: the index, one column per choice point (empty if the network does not have it), and the costs.
    """
    from explorer.costs.whole_space.table import cost_limits, is_atlas, rows_of, write_atlas

    check_output(output, (".parquet", ".csv"), is_atlas, "-o")
    if plot is not None:
        from explorer.dashboard.atlas import check_plotting, page_head, write_page

        check_plotting()
        check_output(plot, (".html", ".htm"), lambda path: begins_with(path, page_head()), "--plot")
    read = _load(space, override)
    with show_progress() as begin:
        rows = rows_of(read, count)
        drawn, costed = begin("drawing", "networks", rows), begin("computing costs", "networks", rows)
        written = write_atlas(read, output, count, seed, costed, drawn)
    points = 0
    if plot is not None and output.suffix.lower() == ".csv":
        with tempfile.TemporaryDirectory() as folder:
            write_atlas(read, Path(folder) / "atlas.parquet", count, seed)
            points = write_page(plot, Path(folder) / "atlas.parquet")
    elif plot is not None:
        points = write_page(plot, output)
    rate = round(written.rows / written.seconds)
    if as_json:
        document = {"space": read.name, "derivations": read.size.derivations, "file": str(output), "rows": written.rows}
        document |= {"within_limits": written.within_limits, "seconds": written.seconds, "rows_per_second": rate}
        print_json(document | ({} if plot is None else {"plot": str(plot), "points": points}))
        return
    out = console()
    size, about = read.size, "" if read.is_counted else "about "
    is_all = read.is_counted and written.rows == size.derivations
    many = "all" if is_all else f"{written.rows:,} of {about}{format_whole(size.derivations)}"
    out.print(
        plain(f"{read.name}: costs of {many} derivations in {written.seconds:.2f} s ({format_count(rate)} per second)")
    )
    if limits := ", ".join(map(str, cost_limits(read))):
        out.print(plain(f"{written.within_limits:,} of them keep the limits of the space: {limits}"))
    print_table({"cost": "left", "min": "right", "max": "right"}, [
        (name, format_count(low), format_count(high)) for name, (low, high) in written.ranges.items()
    ])  # fmt: skip
    out.print(plain(f"written to {output}" + ("" if plot is None else f", {points:,} of them plotted in {plot}")))


@click.command()
@click.argument("arch")
@click.option(
    "--check",
    is_flag=True,
    help="Compare with fvcore, ptflops and torch's counter; exit with status 1 if they differ.",
)
@as_json
@storage
@with_input
def cost(arch: str, check: bool, as_json: bool, storage: str, override: Input | None) -> None:
    """Count the costs of ARCH (SPACE.yaml#INDEX, SPACE.yaml#choice=..., STUDY:TRIAL, an exported folder)."""
    architecture = find_architecture(arch, storage, override).architecture
    document = {"digest": architecture.digest, **count_cost(architecture).to_dict()}
    report = None
    if check:
        from explorer.costs.reference import check_cost

        report = check_cost(architecture)
        document["check"] = report.to_dict()
    if as_json:
        print_json(document)
    else:
        for key, value in document.items():
            if key == "check":
                continue
            shown = f"{value:,}{_unit(key)}" if isinstance(value, int) else value
            click.echo(f"{key:18} {shown}")
        if report is not None:
            click.echo()
            print_table(
                {"layer": "left", "op": "left", **dict.fromkeys(("ours", "fvcore", "torch", "ptflops"), "right")},
                [(r.path, r.op, *(f"{n:,}" for n in (r.ours, r.fvcore, r.torch, r.ptflops))) for r in report.layers],
            )
            click.echo()
            for line in report.explanation():
                click.echo(line)
    if report is not None and report.differences:
        raise WorkFailed("the counters disagree: " + "; ".join(report.differences))


def _unit(cost: str) -> str:
    """Return the unit of a cost, and the condition under which the cost is valid."""
    row = quantity_named(cost)
    return row.unit.scales[-1].suffix + (f" ({row.condition})" if row.condition else "")
