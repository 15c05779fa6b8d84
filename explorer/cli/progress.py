"""Progress of a command that takes long, on standard error: bars on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

FIRST_SECONDS = 1.5  # shorter commands show nothing
LINE_SECONDS = 5.0  # between two lines
BAR_SECONDS = 0.1  # between two drawings of a bar

Done = Callable[[int], None]  # receives how many are finished


class Begin(Protocol):
    """Begins a step of a command."""

    def __call__(self, title: str, unit: str, total: int | None = None) -> Done:
        """Return the function that shows the progress of a step.

        Args:
            title: What is done, such as "counting derivations".
            unit: What is counted, in the plural.
            total: The number of them; None if it is unknown.
        """


@contextmanager
def show_progress() -> Iterator[Begin]:
    """Yield the function that begins a step."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    bars: list[Progress] = []  # none before the first bar is drawn, because the import takes time
    due = time.monotonic() + FIRST_SECONDS

    def begin(title: str, unit: str, total: int | None = None) -> Done:
        task: list[TaskID] = []

        def show(done: int) -> None:
            nonlocal due
            if (now := time.monotonic()) < due:
                return
            due = now + (BAR_SECONDS if is_terminal else LINE_SECONDS)
            if not is_terminal:
                of = "" if not total else f" of {total:,}"
                share = "" if not total else f" ({100 * done // total}%)"
                click.echo(f"{title}: {done:,}{of} {unit}{share}", err=True)
                return
            if not bars:
                bars.append(_bars())
                bars[0].start()
            if not task:
                for earlier in bars[0].task_ids:
                    bars[0].remove_task(earlier)
                task.append(bars[0].add_task(title, total=total, unit=unit))
            bars[0].update(task[0], completed=done)

        return show

    try:
        yield begin
    finally:
        if bars:
            bars[0].stop()


def _bars() -> Progress:
    """Return the display of a terminal, which removes itself at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.completed:,} {task.fields[unit]}"), TimeElapsedColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True), transient=True)
