"""Progress of a confirmation: a live display on a terminal, one line per training elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from explorer.analysis.amounts import format_percent, plural
from explorer.records import ConfirmationRecord, Epoch
from explorer.study.confirm.loop import Event
from explorer.study.display import live_or_plain
from explorer.system.plain_text import printable

LAST_LINES = 5  # finished trainings shown above the running ones
_DIGITS = 11  # shown of a digest


@contextmanager
def show_confirmation(stream: IO[str] | None = None) -> Iterator[Callable[[Event], None]]:
    """Show the progress of a confirmation.

    Args:
        stream: Where to draw; standard error by default.

    Yields:
        The ``progress`` argument of ``run_confirmation``.
    """
    with live_or_plain(stream or sys.stderr, _Display(), _print_plain) as progress:
        yield progress


def _print_plain(stream: IO[str], event: Event) -> None:
    if event.kind == "ended" and event.training is not None:
        print(f"{_line(event.training, event.label)}  [{_summary(event)}]", file=stream, flush=True)


class _Display:
    """The live display. It is drawn by another thread than the one that updates it, so values are replaced."""

    def __init__(self) -> None:
        self.event: Event | None = None
        self.running: dict[tuple[str, int], tuple[ConfirmationRecord, Epoch | None, str]] = {}
        self.ended: list[str] = []

    def update(self, event: Event) -> None:
        self.event, training = event, event.training
        if training is None:
            return
        key = (training.digest, training.seed)
        if event.kind == "ended":
            self.running = {other: shown for other, shown in self.running.items() if other != key}
            self.ended = [*self.ended, _line(training, event.label)][-LAST_LINES:]
        else:
            self.running = {**self.running, key: (training, event.epoch, event.label)}

    def __rich__(self) -> Group | Text:
        if self.event is None:
            return Text("reading the study ...")
        lines = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self.ended]
        for training, epoch, label in self.running.values():
            said = f"epoch {epoch.epoch} of {training.epochs}" if epoch else "running"
            lines.append(Text(f"{_name(training, label)}  {said}", no_wrap=True, overflow="ellipsis"))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(total=self.event.total, completed=self.event.done, width=30), Text(_summary(self.event))
        )
        return Group(*lines, row)


def _name(training: ConfirmationRecord, label: str) -> str:
    return f"{label or training.digest[:_DIGITS]} seed {training.seed}"


def _line(training: ConfirmationRecord, label: str) -> str:
    if training.state == "failed":
        return f"{_name(training, label)}  failed: {printable(training.reason or '')}"
    accuracy = format_percent(training.test["accuracy"])
    return f"{_name(training, label)}  test accuracy {accuracy}  {training.seconds or 0.0:.1f} s"


def _summary(event: Event) -> str:
    parts = [f"{event.done} of {plural(event.total, 'training')}"]
    if event.seconds_left is not None:
        minutes, seconds = divmod(round(event.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)
