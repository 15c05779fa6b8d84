"""``explorer trials``, ``frontier`` and ``report``: the results of a study."""

from __future__ import annotations

import shlex
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from explorer.analysis.amounts import amount
from explorer.analysis.estimates import Estimate, searched
from explorer.analysis.frontier_certainty import FrontierCertainty, certainty_text
from explorer.analysis.limits import Limit, parse_limit
from explorer.analysis.quantities import LATENCY, TRAINED
from explorer.cli.managing.tables import as_csv, print_annotated, print_csv, table_formats
from explorer.cli.options import (
    as_json,
    choices_line,
    mix,
    print_json,
    print_table,
    program,
    repeated_options,
    storage,
)
from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.store import Study, open_study
from explorer.store.presence.processes import read_logs

MAX_LOGS = 10  # of running and failed trials, which are shown below a table


@click.command()
@click.argument("study", default="")
@as_csv
@as_json
@storage
def trials(study: str, as_csv: bool, as_json: bool, storage: str) -> None:
    """List the trials of STUDY, by number. CSV has one column per choice, objective and cost, with all digits."""
    opened = open_study(storage, study)
    if as_csv and as_json:
        raise ExplorerError("--csv and --json: choose one format")
    if as_csv:
        click.echo(opened.to_frame().to_csv(index=False), nl=False)
        return
    records = opened.trials(full=False)
    logs = read_logs(opened)
    if as_json:
        print_json([trial_json(record, logs.get(record.worker, "")) for record in records])
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
    linked = {record.number: logs[record.worker] for record in records if record.worker in logs}
    unfinished = [each.number for each in records if each.state in ("failed", "running", "interrupted")]
    for number in [number for number in unfinished if number in linked][-MAX_LOGS:]:
        click.echo(f"log of trial {number}: {linked[number]}")
    if linked:
        click.echo("--json names the log of each trial")


def _counterpart_of(record: TrialRecord) -> str:
    """Return of which trial another one is the counterpart, empty if of none."""
    known = record.counterpart
    return f"counterpart of {known['twin']} in {known['factor']}: " if known else ""


def trial_json(record: TrialRecord, log: str = "") -> dict[str, Any]:
    """Return one trial as ``explorer trials --json`` prints it, with the log of its worker."""
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
        **({"log": log} if log else {}),
        "same_as": record.same_as,
        "attempt": record.attempt,
        **({"failure": record.failure} if record.failure else {}),
        **({"latency": dict(record.latency)} if record.latency else {}),
        **({"counterpart": dict(record.counterpart)} if record.counterpart else {}),
        **({"note": record.note} if record.note else {}),
        **({"tags": list(record.tags)} if record.tags else {}),
        "seed": record.seed,
    }


X_HELP = "The cost: the study's first cost objective by default, or else macs."
Y_HELP = "The objective to compare at equal cost: the study's first measured objective by default."


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
@table_formats
@as_json
@storage
def frontier(
    study: str,
    x: str | None,
    y: str | None,
    under: tuple[str, ...],
    mix_environments: bool,
    table: str,
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
    estimates = opened.estimates(y)
    if as_json:
        print_json([frontier_json(record, certainty, estimates.get(record.number)) for record in records])
    elif table == "csv":
        print_csv([_frontier_row(record, certainty, estimates.get(record.number)) for record in records])
    elif not records:
        click.echo(none_found(opened, limits), err=bool(table))
        return
    else:
        print_frontier(opened, records, x, y, certainty, estimates, table)
        if note := _other_epochs(opened):
            click.echo(note, err=bool(table))
    warn_of_mixed_latencies(opened, names, on_stderr=as_json or bool(table))


def _other_epochs(study: Study) -> str:
    """Return a note on fresh seeds that were trained for other epochs than the trials; empty if there are none."""
    epochs = study.fingerprint.get("epochs")
    others = {each.epochs for each in study.confirmations() if each.state == "complete" and each.epochs != epochs}
    if not others or epochs is None:
        return ""
    show = f"{program()} confirm {shlex.quote(study.name)} --epochs {max(others)}{repeated_options(study.storage)}"
    return (
        f"fresh seeds of {', '.join(map(str, sorted(others)))} epochs are not compared with trials of {epochs};"
        f" they are shown by: {show}"
    )


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


def frontier_json(
    record: TrialRecord, certainty: FrontierCertainty | None, estimate: Estimate | None
) -> dict[str, Any]:
    """Return one network as ``explorer frontier --json`` prints it.

    Args:
        record: Its trial.
        certainty: The certainty of the frontier; None if no network was trained more than once.
        estimate: The best estimate of its objective, which replaces the value of the search except in "objectives";
            None if the quantity that is compared is not an objective.
    """
    quantities = record.quantities
    if estimate is not None:
        quantities[estimate.name] = estimate.value
    named = {name: quantities.get(name) for name in ("accuracy", "params", "macs", "latency_ms")}
    if record.latency:
        named["latency_environment"] = record.latency["environment"]["digest"]
    row: dict[str, Any] = {"trial": record.number, "digest": record.digest, "choices": dict(record.choices)}
    if certainty is not None and record.number in certainty.probabilities:
        row["frontier_probability"] = certainty.probabilities[record.number]
    if estimate is not None:
        row["estimate"] = estimate.to_json()
    # row is first for the order of the fields, and again at the end because an objective may be named "trial".
    return {**row, **quantities, **named, **row, "objectives": dict(searched(record).objectives)}


def _frontier_row(
    record: TrialRecord, certainty: FrontierCertainty | None, estimate: Estimate | None
) -> dict[str, Any]:
    """Return one network as a row of ``explorer frontier --csv``: a column per choice, quantity and estimate."""
    known = estimate.to_json() if estimate is not None else {}
    values = {**record.quantities, **({known["name"]: known["value"]} if known else {})}
    row: dict[str, Any] = {"trial": record.number, "digest": record.digest}
    row |= {f"choice.{name}" if name in (*row, *values) else name: text for name, text in record.choices.items()}
    row |= {f"value.{name}" if name in row else name: value for name, value in values.items()}
    row |= {f"estimate.{name}": known[name] for name in ("ci95", "seeds", "source") if name in known}
    if certainty is not None:
        row["frontier_probability"] = certainty.probabilities.get(record.number)
    return row


def warn_of_mixed_latencies(study: Study, names: Container[str], on_stderr: bool = False) -> None:
    """Print a note if the study's latencies are from different environments and so cannot be compared.

    Args:
        study: The study.
        names: Quantities that were shown; the note is printed only if the latency is among them.
        on_stderr: Whether to print on standard error instead of standard output.
    """
    if LATENCY in names and (found := study.mixed_environments()):
        click.echo(f"mixed: {LATENCY} was measured in {found}", err=on_stderr)


def print_frontier(
    study: Study,
    records: list[TrialRecord],
    x: str,
    y: str,
    certainty: FrontierCertainty | None,
    estimates: Mapping[int, Estimate],
    table: str = "",
) -> None:
    """Print a frontier as a table, and below it what its networks share and how certain it is.

    Args:
        study: The study.
        records: The trials on the frontier.
        x: The cost.
        y: The objective.
        certainty: Its certainty; None if no network was trained more than once.
        estimates: Trial number -> best estimate of the objective.
        table: "latex", "markdown", or empty for a terminal.
    """
    known = {record.number: estimates[record.number] for record in records if record.number in estimates}
    confirmed = any(not estimate.is_own for estimate in known.values())
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
    headings = {
        "trial": "right",
        **dict.fromkeys(titles, "right"),
        **({"source": "left"} if confirmed else {}),
        **({"stays": "right"} if stays else {}),
        "choices": "left",
    }
    rows = [
        (
            record.number,
            *(
                known[record.number].interval if name == y and record.number in known else _quantity(record, name)
                for name in columns
            ),
            *([known[record.number].source if record.number in known else ""] if confirmed else []),
            *([f"{stays[record.number]:.0%}"] if stays else []),
            choices_line({name: text for name, text in record.choices.items() if name not in shared}),
        )
        for record in records
    ]
    notes = [f"all networks: {choices_line(shared)}"] if shared else []
    missing = [str(number) for number, estimate in known.items() if not estimate.seeds]
    if confirmed and missing and known[records[0].number].split:
        which = f"{'trials' if len(missing) > 1 else 'trial'} {', '.join(missing)}"
        again = f"{program()} confirm {shlex.quote(study.name)} --estimated{repeated_options(study.storage)}"
        they = "they are" if len(missing) > 1 else "it is"
        notes.append(f"without fresh seeds: {which}; {they} trained again by: {again}")
    notes.append(certainty_text(certainty, [record.number for record in records], y))
    print_annotated(table, headings, rows, notes)


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
    from explorer.dashboard.study_files import write_report

    size = write_report(open_study(storage, study), output).stat().st_size
    if as_json:
        print_json({"file": str(output), "bytes": size})
    else:
        click.echo(f"{output}: {size / 1e6:.1f} MB, opens in any browser")
