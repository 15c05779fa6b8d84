"""Progress of a search: a live display on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from html import escape
from typing import IO, Any, Protocol, cast

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from explorer.analysis.amounts import amount, format_percent, plural
from explorer.analysis.noise import validation_value
from explorer.records import Epoch, TrialRecord
from explorer.study.events import Event, Progress, Status
from explorer.system.plain_text import printable

LAST_LINES = 5  # finished trials shown above the running ones


@contextmanager
def progress_of(shown: bool) -> Iterator[Progress]:
    """Yield the function that a search calls with its events.

    Args:
        shown: Whether it shows the progress: on a terminal, in a notebook, or as lines.
    """
    if not shown:
        yield lambda event: None
        return
    with _notebook() if _in_notebook() else show_progress() as display:
        yield display


def shows_by_default() -> bool:
    """Return whether a search of a script shows its progress: on a terminal and in a notebook."""
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ in ("ZMQInteractiveShell", "Shell")  # Jupyter, Colab


@contextmanager
def _notebook() -> Iterator[Progress]:
    """Show the progress below the cell of a notebook, as one line that is replaced."""
    from IPython.display import display  # type: ignore[import-not-found]  # only in a notebook

    shown = display({"text/plain": "reading the study ..."}, raw=True, display_id=True)

    def update(event: Event) -> None:
        bar = "" if event.status.share is None else f"{event.status.share:.0%} "
        html = "" if event.status.share is None else f'<progress value="{event.status.share:.3f}"></progress> '
        line = _summary(event.status)
        shown.update({"text/plain": bar + line, "text/html": html + escape(line)}, raw=True)

    yield update


@contextmanager
def show_progress(stream: IO[str] | None = None) -> Iterator[Progress]:
    """Show the progress of a search until the context ends.

    Args:
        stream: Where to draw; standard error by default.

    Yields:
        The ``progress`` argument of ``run_search``.
    """
    with live_or_plain(stream or sys.stderr, _Display(), _print_plain) as progress:
        yield progress


@contextmanager
def live_or_plain(
    stream: IO[str], display: Display, print_plain: Callable[[IO[str], Any], None]
) -> Iterator[Callable[[Any], None]]:
    """Yield a function that takes events: it updates ``display`` on a terminal, and prints lines elsewhere."""
    lasting = cast("IO[str]", _ErrorFreeStream(stream))
    console = Console(file=lasting)
    if not console.is_terminal:
        yield partial(print_plain, lasting)
        return
    with Live(display, console=console, refresh_per_second=4, transient=True):
        yield display.update


class Display(Protocol):
    """A renderable that events update."""

    def update(self, event: Any) -> None: ...

    def __rich__(self) -> ConsoleRenderable: ...


class _ErrorFreeStream:
    """A text stream that ignores errors, so that a search continues if its terminal or pipe is closed."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):  # closed, or cannot encode the text
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _print_plain(stream: IO[str], event: Event) -> None:
    if event.kind == "begun" and event.status.limit_seconds:
        print(_limits(event.status), file=stream, flush=True)
    if event.kind in ("ended", "repeated") and event.trial is not None:
        print(f"{_ended_line(event, event.trial)}  [{_summary(event.status)}]", file=stream, flush=True)


def _limits(status: Status) -> str:
    """Return in words when the search ends."""
    limits = [f"{plural(status.target, 'trial')} of the study"] if status.target else []
    limits += [f"{status.limit_seconds:g} s of this run"] if status.limit_seconds else []
    first = ", whichever comes first" if len(limits) > 1 else ""
    return f"{status.study}: ends after {' or '.join(limits)}{first}"


class _Display:
    """The live display. It is drawn by another thread than the one that updates it, so values are replaced."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.running: dict[int, tuple[TrialRecord, Epoch | None]] = {}
        self.ended: list[str] = []

    def update(self, event: Event) -> None:
        self.status = event.status
        if event.trial is None:
            return
        if event.kind in ("ended", "repeated"):
            self.running = {n: shown for n, shown in self.running.items() if n != event.trial.number}
            self.ended = [*self.ended, _ended_line(event, event.trial)][-LAST_LINES:]
        elif event.trial.same_as is None:
            self.running = {**self.running, event.trial.number: (event.trial, event.epoch)}

    def __rich__(self) -> Group | Text:
        if self.status is None:
            return Text("reading the study ...")
        lines = [Text(_limits(self.status), style="dim")] if self.status.limit_seconds else []
        lines += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self.ended]
        for number, (trial, epoch) in sorted(self.running.items()):
            said = f"epoch {epoch.epoch}, accuracy {format_percent(epoch.val_accuracy)}" if epoch else "running"
            lines.append(
                Text(
                    f"trial {number:<4} {said}  {_named('macs', trial.costs.get('macs'))}",
                    no_wrap=True,
                    overflow="ellipsis",
                )
            )
        row = Table.grid(padding=(0, 1))
        summary = Text(_summary(self.status))
        if self.status.share is None:
            row.add_row(summary)
        else:
            row.add_row(ProgressBar(total=1.0, completed=self.status.share, width=30), summary)
        return Group(*lines, row)


def _ended_line(event: Event, trial: TrialRecord) -> str:
    """Return one line on a trial or a repeat that has ended."""
    repeat = event.repeat
    if repeat is None:
        return _trial_line(trial, event.status)
    what = f"trial {trial.number:<4} repeated"
    if repeat.state == "failed":
        return f"{what} failed: {printable(repeat.reason)}"
    measured = {name: validation_value(repeat, name) for name in event.status.objectives}
    values = " ".join(_named(name, value) for name, value in measured.items() if value is not None)
    return f"{what} {values}  {repeat.seconds or 0.0:.1f} s"


def _trial_line(trial: TrialRecord, status: Status) -> str:
    what = f"trial {trial.number:<4} {trial.state:<8}"
    if trial.state in ("failed", "rejected", "stopped", "interrupted"):
        return f"{what} {printable(trial.reason or '')}"
    if trial.state == "cached":
        return f"{what} the same network as trial {trial.same_as}"
    return f"{what} {_values(trial, status.objectives)}  {trial.seconds or 0.0:.1f} s"


def _summary(status: Status) -> str:
    """Return trials done, size of the front, best trial and time left."""
    parts = [f"{status.done} of {plural(status.target, 'trial')}" if status.target else plural(status.done, "trial")]
    if status.limit_seconds:
        parts.append(f"{min(status.seconds, status.limit_seconds):.0f} of {status.limit_seconds:g} s")
    done, wanted = status.repeats
    parts += [f"{done} of {wanted} repeats"] if wanted else []
    parts += [f"{status.counts[state]} {state}" for state in ("failed", "interrupted") if status.counts[state]]
    parts.append(f"frontier {status.frontier}")
    if status.best is not None:
        parts.append(f"best {_values(status.best, status.objectives)}")
    if status.seconds_left is not None:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)


def _values(trial: TrialRecord, objectives: Mapping[str, str]) -> str:
    return " at ".join(_named(name, trial.objectives.get(name)) for name in objectives)


def _named(name: str, value: float | None) -> str:
    """Return a quantity with its name, as in ``accuracy 93.2%`` or ``macs 40.8M``; empty if it is unknown."""
    return "" if value is None else f"{name} {amount(name, value)}"
