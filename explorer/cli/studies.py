"""``explorer studies``, ``trials``, ``frontier`` and ``report``: results in a storage."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from explorer.analysis.frontier_certainty import FrontierCertainty, certainty_text
from explorer.analysis.limits import Limit, parse_limit
from explorer.analysis.quantities import LATENCY, TRAINED
from explorer.cli.options import (
    amount,
    as_json,
    begins_with,
    check_output,
    choices_line,
    console,
    plain,
    print_json,
    print_table,
    storage,
)
from explorer.records import TrialRecord
from explorer.store import Study, list_studies, open_study


@click.command()
@as_json
@storage
def studies(as_json: bool, storage: str) -> None:
    """List the studies in a storage: space, data, objectives, number of trials, last change."""
    found = list_studies(storage)
    if as_json:
        print_json(
            [
                {
                    "name": study.name,
                    "space": study.space_name,
                    "data": study.data,
                    "objectives": dict(study.objectives),
                    "trials": dict(study.counts),
                    "created": study.created,
                    "changed": study.changed,
                }
                for study in found
            ]
        )
        return
    print_table(
        {
            **{"study": "left", "space": "left", "data": "left", "objectives": "left"},
            **{"complete": "right", "failed": "right", "interrupted": "right", "changed": "left"},
        },
        [
            (
                study.name,
                study.space_name,
                study.data,
                ", ".join(f"{name} ({direction})" for name, direction in study.objectives.items()),
                study.counts["complete"],
                study.counts["failed"],
                study.counts["interrupted"],
                datetime.fromtimestamp(study.changed).strftime("%Y-%m-%d %H:%M"),
            )
            for study in found
        ],
    )  # fmt: skip


@click.command()
@click.argument("study", default="")
@as_json
@storage
def trials(study: str, as_json: bool, storage: str) -> None:
    """List the trials of STUDY, by number."""
    opened = open_study(storage, study)
    records = opened.trials(full=False)
    if as_json:
        print_json([trial_json(record) for record in records])
        return
    measured = dict.fromkeys([*opened.objectives, *(name for each in records for name in each.objectives)])
    shown = [name for name in measured if name in opened.objectives or name == "accuracy" or name not in TRAINED]
    quantities = dict.fromkeys([*shown, "macs", "params"])
    print_table(
        {
            "trial": "right",
            "state": "left",
            **dict.fromkeys([*quantities, "seconds", "attempts"], "right"),
            "": "left",
        },
        [
            (
                record.number,
                record.state,
                *(_quantity(record, name) for name in quantities),
                "" if record.seconds is None else f"{record.seconds:.1f}",
                record.attempt,
                record.reason or f"{_counterpart_of(record)}{choices_line(record.choices)}",
            )
            for record in records
        ],
    )


def _counterpart_of(record: TrialRecord) -> str:
    """Return of which trial another one is the counterpart, empty if of none."""
    known = record.counterpart
    return f"counterpart of {known['twin']} in {known['factor']}: " if known else ""


def trial_json(record: TrialRecord) -> dict[str, Any]:
    """Return one trial as ``explorer trials --json`` prints it."""
    return {
        "number": record.number,
        "state": record.state,
        "reason": record.reason,
        "digest": record.digest,
        "choices": dict(record.choices),
        "accuracy": record.objectives.get("accuracy"),
        "objectives": dict(record.objectives),
        "costs": dict(record.costs),
        "seconds": record.seconds,
        "worker": record.worker,
        "same_as": record.same_as,
        "attempt": record.attempt,
        **({"failure": record.failure} if record.failure else {}),
        **({"latency": dict(record.latency)} if record.latency else {}),
        **({"counterpart": dict(record.counterpart)} if record.counterpart else {}),
        "seed": record.seed,
    }


X_HELP = "The cost: the study's first cost objective by default, or else macs."
Y_HELP = "The objective to compare at equal cost: the study's first measured objective by default."
mix = click.option("--mix-environments", is_flag=True, help="Compare latencies although machines or settings differ.")


@click.command()
@click.argument("study", default="")
@click.option("--x", metavar="COST", help=X_HELP)
@click.option("--y", metavar="OBJECTIVE", help=Y_HELP)
@click.option(
    "--under",
    "under",
    multiple=True,
    metavar="LIMIT",
    help="Only the best network within this limit, as in 'macs<=40M' or 'accuracy>=60%'; may be repeated.",
)
@mix
@as_json
@storage
def frontier(
    study: str,
    x: str | None,
    y: str | None,
    under: tuple[str, ...],
    mix_environments: bool,
    as_json: bool,
    storage: str,
) -> None:
    """List the networks of STUDY that no other beats in both COST and OBJECTIVE; or the best one under a budget."""
    limits = [parse_limit(text) for text in under]
    opened = open_study(storage, study)
    x, y = opened.axes(x, y)
    if limits:
        best = opened.best_under(limits, y, mix_environments=mix_environments)
        records = [] if best is None else [best]
    else:
        records = opened.frontier(x, y, mix_environments=mix_environments)
    names = {x, y, *(limit.cost for limit in limits)}
    certainty = opened.frontier_certainty(x, y, mix_environments=mix_environments or bool(limits))
    if as_json:
        print_json([frontier_json(record, certainty) for record in records])
        warn_of_mixed_latencies(opened, names, on_stderr=True)
        return
    if not records:
        click.echo(none_found(opened, limits))
        return
    print_frontier(records, x, y, certainty)
    warn_of_mixed_latencies(opened, names)


def none_found(study: Study, limits: Sequence[Limit]) -> str:
    """Return the reason why no network was found.

    Args:
        study: The study.
        limits: Limits that the network had to keep; empty for the frontier.
    """
    if not study.counts()["complete"]:
        return f"no trial of {study.name!r} is complete yet"
    if not limits:
        return f"no complete trial of {study.name!r} has both quantities"
    asked = ", ".join(map(str, limits))
    if (nearest := study.nearest_to(limits)) is None:
        return f"no complete trial of {study.name!r} has every quantity of {asked}"
    has = ", ".join(dict.fromkeys(f"{limit.cost} {_quantity(nearest, limit.cost)}" for limit in limits))
    return f"no trial of {study.name!r} keeps {asked}; the nearest is trial {nearest.number} with {has}"


def frontier_json(record: TrialRecord, certainty: FrontierCertainty | None) -> dict[str, Any]:
    """Return one network as ``explorer frontier --json`` prints it.

    Args:
        record: Its trial.
        certainty: The certainty of the frontier; None if no network was trained more than once.
    """
    quantities = record.quantities
    named = {name: quantities.get(name) for name in ("accuracy", "params", "macs", "latency_ms")}
    if record.latency:
        named["latency_environment"] = record.latency["environment"]["digest"]
    row: dict[str, Any] = {"trial": record.number, "digest": record.digest, "choices": dict(record.choices)}
    if certainty is not None and record.number in certainty.probabilities:
        row["frontier_probability"] = certainty.probabilities[record.number]
    # row is first for the order of the fields, and again at the end because an objective may be named "trial".
    return {**row, **quantities, **named, **row, "objectives": dict(record.objectives)}


def warn_of_mixed_latencies(study: Study, names: Container[str], on_stderr: bool = False) -> None:
    """Print a note if the study's latencies are from different environments and so cannot be compared.

    Args:
        study: The study.
        names: Quantities that were shown; the note is printed only if the latency is among them.
        on_stderr: Whether to print on standard error instead of standard output.
    """
    if LATENCY in names and (found := study.mixed_environments()):
        click.echo(f"mixed: {LATENCY} was measured in {found}", err=on_stderr)


def print_frontier(records: list[TrialRecord], x: str, y: str, certainty: FrontierCertainty | None) -> None:
    """Print a frontier as a table, and below it what its networks share and how certain it is.

    Args:
        records: The trials on the frontier.
        x: The cost.
        y: The objective.
        certainty: Its certainty; None if no network was trained more than once.
    """
    stays = {} if certainty is None else certainty.probabilities
    shared = (
        {
            name: text
            for name, text in records[0].choices.items()
            if all(record.choices.get(name) == text for record in records)
        }
        if len(records) > 1
        else {}
    )
    columns = dict.fromkeys([y, x, "params", "macs"])
    titles = [f"{name} (objective)" if name in ("trial", "choices") else name for name in columns]
    print_table(
        {"trial": "right", **dict.fromkeys([*titles, *(["stays"] if stays else [])], "right"), "choices": "left"},
        [
            (
                record.number,
                *(_quantity(record, name) for name in columns),
                *([f"{stays[record.number]:.0%}"] if stays else []),
                choices_line({name: text for name, text in record.choices.items() if name not in shared}),
            )
            for record in records
        ],
    )
    if shared:
        console().print(plain(f"all networks: {choices_line(shared)}"))
    console().print(plain(certainty_text(certainty, [record.number for record in records], y)))


def _quantity(record: TrialRecord, name: str) -> str:
    """Format a quantity of a trial; empty text if the trial does not have it."""
    value = record.value(name)
    return "" if value is None else amount(name, value)


@click.command()
@click.argument("study", default="")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.html", help="The file to write."
)
@as_json
@storage
def report(study: str, output: Path, as_json: bool, storage: str) -> None:
    """Write STUDY as one static page with the dashboard's figures. It opens offline; an earlier page is replaced."""
    from explorer.errors import ExplorerError
    from explorer.system.files import require_writable, write_atomically

    try:
        from explorer.dashboard.report import HEAD, report_page
    except ModuleNotFoundError as error:
        raise ExplorerError(f"a report needs {error.name}; install with: pip install 'explorer[dashboard]'") from None
    check_output("-o", output, (".html", ".htm"), lambda path: begins_with(path, HEAD))
    opened = open_study(storage, study)
    require_writable(Path(output))
    page = report_page(opened, opened.trials()).encode()
    try:
        write_atomically(output, page)
    except OSError as error:
        raise ExplorerError(f"{output}: cannot be written: {error.strerror or error}") from None
    if as_json:
        print_json({"file": str(output), "bytes": len(page)})
    else:
        click.echo(f"{output}: {len(page) / 1e6:.1f} MB, opens in any browser")
