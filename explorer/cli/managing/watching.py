"""``explorer status`` and ``stop``: who works on a study, and the request to stop."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from explorer.analysis.amounts import plural
from explorer.cli.options import as_json, console, plain, print_json, program, repeated_options, storage, table_of
from explorer.store import open_study
from explorer.store.lease import renew_seconds
from explorer.store.presence.status import Activity, StudyStatus, study_status
from explorer.store.presence.stops import stop_study

WATCH_SECONDS = 2.0  # between two readings of the database
COLUMNS = {
    "host": "left",
    "command": "left",
    "does": "left",
    "for": "right",
    "device": "left",
    "cores": "right",
}


@click.command()
@click.argument("study", default="")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@as_json
@storage
def status(study: str, watch: bool, as_json: bool, storage: str) -> None:
    """Show which processes work on STUDY, what each of them trains, how fast, and when they will end.

    With --watch and --json, one document per line.
    """
    opened = open_study(storage, study)
    if not watch:
        found = study_status(opened)
        print_json(found.to_json()) if as_json else console().print(_shown(found))
        return
    with _display(as_json) as show:
        while True:
            show(study_status(opened))
            time.sleep(WATCH_SECONDS)


@contextmanager
def _display(as_json: bool) -> Iterator[Any]:
    """Yield a function that shows a status: in place on a terminal, one after another elsewhere."""
    out = console()
    if as_json:
        yield lambda found: click.echo(json.dumps(found.to_json()))
    elif not out.is_terminal:
        yield lambda found: out.print(_shown(found))
    else:
        with Live(console=out, auto_refresh=False, vertical_overflow="visible") as live:
            yield lambda found: live.update(_shown(found), refresh=True)


def _shown(found: StudyStatus) -> Group:
    """Return a status as lines and a table."""
    counts = ", ".join(f"{number} {state}" for state, number in found.trials.items() if number)
    lines = [f"{found.study}: {counts or 'no trials yet'}"]
    rate = found.trials_per_hour
    facts = [f"{found.processes} process{'es' * (found.processes != 1)}"]
    facts += [f"{rate:,.0f} trials an hour"] if found.processes or rate else []
    facts += [f"{found.utilisation:.0%} of their time in trainings"] if found.utilisation is not None else []
    facts += [f"{found.failure_rate:.1%} of the trials failed"] if found.failure_rate else []
    lines.append(", ".join(facts))
    if found.target is not None:
        end = "unknown" if found.expected_end is None else _when(found.expected_end, found.moment)
        lines.append(f"ends at {plural(found.target, 'trial')}, expected end: {end}")
    if found.stop is not None:
        lines.append(f"{found.stop.requester} asked for the end {_span(found.moment - found.stop.requested)} ago")
    failing = [each for each in found.hosts if each.failed]
    if failing and len(found.hosts) > 1:
        rates = ", ".join(f"{each.host} {each.failed} of {each.ended}" for each in failing)
        lines.append(f"failed trials by host: {rates}")
    texts = [plain(line) for line in lines]
    if not found.workers:
        return Group(*texts)
    rows = [_row(each, found.moment) for each in found.workers]
    return Group(*texts, Text(""), table_of(COLUMNS, rows))


def _row(each: Activity, moment: float) -> tuple[Any, ...]:
    what = {
        "training": each.training,
        "waiting": f"{each.training}: waits for a machine",
        "idle": "idle",
        "driver": "starts workers",
        "lost": f"lost{', with ' * bool(each.training)}{each.training}",
    }[each.state]
    span = _span(moment - each.since)
    cores = "" if each.cores is None else each.cores
    return each.host, each.command, what, span, each.device, cores


def _span(seconds: float) -> str:
    """Return a time in words of one or two units."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def _when(moment: float, now: float) -> str:
    """Return a time of day in the time zone of this machine, and how far away it is."""
    local = datetime.fromtimestamp(moment, UTC).astimezone()
    return f"{local:%Y-%m-%d %H:%M} (in {_span(moment - now)})"


@click.command()
@click.argument("study", default="")
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="Interrupt trainings at once; they are resumed from their checkpoints later. Otherwise they are finished.",
)
@as_json
@storage
def stop(study: str, at_once: bool, as_json: bool, storage: str) -> None:
    """Ask all processes that work on STUDY to stop: searches, workers, confirmations and trainings of pairs.

    They exit with status 0. A process that begins later is not concerned. The same commands resume the study.
    """
    opened = open_study(storage, study)
    request = stop_study(opened, at_once)
    found = study_status(opened)
    training = sum(each.state == "training" for each in found.workers)
    if as_json:
        print_json({"study": opened.name, "number": request.number, "now": at_once, "processes": found.processes})
        return
    if not found.processes:
        click.echo(f"{opened.name}: no process works on it")
        return
    asked = f"asked {found.processes} process{'es' * (found.processes != 1)} to stop"
    how = f"interrupt {plural(training, 'running training')}" if at_once else "start nothing more"
    finish = f", and finish {plural(training, 'running training')}" if training and not at_once else ""
    click.echo(f"{opened.name}: {asked}; within {renew_seconds():.0f} s they {how}{finish}")
    show = f"{program()} status {shlex.quote(opened.name)}{repeated_options(opened.storage)}"
    click.echo(f"'{show}' shows who still works")
