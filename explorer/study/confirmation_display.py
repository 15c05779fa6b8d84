"""A confirmation as one watches it: a live display on a terminal, a line a training elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from explorer.records import ConfirmationRecord, Epoch
from explorer.study.confirmation import Event
from explorer.study.progress import drawn_or_printed
from explorer.system.plain_text import printable

LAST_LINES = 5  # trainings that have ended, shown above the running ones
_DIGITS = 11  # of a digest, which tell it from others


@contextmanager
def show_confirmation(stream: IO[str] | None = None) -> Iterator[Callable[[Event], None]]:
    """A ``progress`` for ``run_confirmation`` that draws on ``stream``, standard error by default."""
    with drawn_or_printed(stream or sys.stderr, _Display(), _print_plain) as progress:
        yield progress


def _print_plain(stream: IO[str], event: Event) -> None:
    if event.kind == "ended" and event.training is not None:
        print(f"{_line(event.training)}  [{_standing(event)}]", file=stream, flush=True)
    elif event.kind == "finished":
        print(event.why, file=stream, flush=True)


class _Display:
    """The live display's state. Drawn from another thread than the one that hears: what it holds is replaced."""

    def __init__(self) -> None:
        self.event: Event | None = None
        self.running: dict[tuple[str, int], tuple[ConfirmationRecord, Epoch | None]] = {}
        self.ended: list[str] = []

    def hear(self, event: Event) -> None:
        self.event, training = event, event.training
        if training is None:
            return
        key = (training.digest, training.seed)
        if event.kind == "ended":
            self.running = {other: shown for other, shown in self.running.items() if other != key}
            self.ended = [*self.ended, _line(training)][-LAST_LINES:]
        else:
            self.running = {**self.running, key: (training, event.epoch)}

    def __rich__(self) -> Group | Text:
        if self.event is None:
            return Text("looking at the study ...")
        lines = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self.ended]
        for training, epoch in self.running.values():
            said = f"epoch {epoch.epoch} of {training.epochs}" if epoch else "running"
            lines.append(Text(f"{_name(training)}  {said}", no_wrap=True, overflow="ellipsis"))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(total=self.event.total, completed=self.event.done, width=30), Text(_standing(self.event))
        )
        return Group(*lines, row)


def _name(training: ConfirmationRecord) -> str:
    return f"{training.digest[:_DIGITS]} seed {training.seed}"


def _line(training: ConfirmationRecord) -> str:
    if training.state == "failed":
        return f"{_name(training)}  failed: {printable(training.reason or '')}"
    return f"{_name(training)}  test accuracy {training.test['accuracy']:.3f}  {training.seconds or 0.0:.1f} s"


def _standing(event: Event) -> str:
    parts = [f"{event.done} of {event.total} trainings"]
    if event.seconds_left is not None:
        minutes, seconds = divmod(round(event.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)
