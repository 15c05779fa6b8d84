"""The progress display of a search."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from explorer.records import Epoch, TrialRecord
from explorer.study.display import _Display, show_progress
from explorer.study.events import Event, Status

BEST = TrialRecord(
    3,
    "complete",
    objectives={"accuracy": 0.913, "macs": 12_345_678.0},
    costs={"macs": 12_345_678},
    started=1.0,
    finished=3.5,
)
COUNTS = {"running": 1, "complete": 4, "stopped": 0, "failed": 2, "cached": 0, "rejected": 0, "interrupted": 0}
STATUS = Status("one", COUNTS, 10, 95.0, 3, BEST, {"accuracy": "max", "macs": "min"})
RUNNING = TrialRecord(4, "running", costs={"macs": 2_000_000}, started=4.0)


def test_without_a_terminal_each_finished_trial_is_a_line():
    """Without a terminal the display prints a line with the current state per finished trial. Why the search ended is
    left to the caller."""
    stream = io.StringIO()
    with show_progress(stream) as progress:
        progress(Event("begun", STATUS))
        progress(Event("started", STATUS, RUNNING))
        progress(Event("ended", STATUS, BEST))
        progress(Event("ended", STATUS, TrialRecord(5, "failed", reason="exploded", started=1.0, finished=2.0)))
        progress(Event("ended", STATUS, TrialRecord(6, "cached", same_as=3, started=1.0, finished=1.0)))
        progress(Event("finished", STATUS, why="the study has its 10 trials"))
    standing = "[4 of 10 trials, 2 failed, frontier 3, best accuracy 91.3% at macs 12.3M, 1:35 left]"
    assert stream.getvalue().splitlines() == [
        f"trial 3    complete accuracy 91.3% at macs 12.3M  2.5 s  {standing}",
        f"trial 5    failed   exploded  {standing}",
        f"trial 6    cached   the same network as trial 3  {standing}",
    ]


def test_the_display_shows_running_trials_and_the_front():
    """On a terminal the display shows running trials with their epochs, the last finished trials and the current
    state."""
    display = _Display()
    display.update(Event("started", STATUS, RUNNING))
    display.update(Event("epoch", STATUS, RUNNING, Epoch(2, 0.5, 0.4, 0.876, 0.99, 0.1, 1.0)))
    display.update(Event("ended", STATUS, BEST))
    shown = drawn(display)
    assert "trial 4    epoch 2, accuracy 87.6%  macs 2M" in shown
    assert "trial 3    complete accuracy 91.3%" in shown
    assert "4 of 10 trials, 2 failed, frontier 3, best accuracy 91.3% at macs 12.3M, 1:35 left" in shown


def test_the_display_removes_finished_trials():
    """A finished trial is removed from the running ones, and only the last few finished trials stay."""
    display = _Display()
    for number in range(9):
        display.update(Event("started", STATUS, TrialRecord(number, "running")))
        display.update(Event("ended", STATUS, TrialRecord(number, "failed", reason="exploded")))
    shown = drawn(display)
    assert "running" not in shown and shown.count("exploded") == 5 and "trial 3 " not in shown and "trial 4 " in shown


def test_markup_in_a_reason_is_only_text():
    """A reason with brackets is displayed unchanged."""
    display = _Display()
    display.update(Event("ended", STATUS, TrialRecord(0, "failed", reason="[bold]no[/] [link=http://x]y")))
    assert "[bold]no[/] [link=http://x]y" in drawn(display)


class Gone(io.StringIO):
    """A terminal or pipe that is closed."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_closed_stream_does_not_end_the_search(terminal):
    """Progress that cannot be written is dropped without an error for the caller of ``show_progress``."""
    with show_progress(Gone(terminal)) as progress:
        progress(Event("ended", STATUS, BEST))
        progress(Event("finished", STATUS, why="the study has its 10 trials"))


def test_a_reason_cannot_control_the_terminal():
    """Escape sequences in a reason are displayed as text, on a terminal and elsewhere."""
    failed = TrialRecord(5, "failed", reason="\x1b[2Jgone\x07", started=1.0, finished=2.0)
    stream, display = io.StringIO(), _Display()
    with show_progress(stream) as progress:
        progress(Event("ended", STATUS, failed))
    display.update(Event("ended", STATUS, failed))
    for shown in (stream.getvalue(), drawn(display)):
        assert r"\x1b[2Jgone\x07" in shown and "\x1b" not in shown


def drawn(display) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(display)
    return console.file.getvalue()


def test_progress_is_toward_the_limit_that_comes_first():
    """A time limit is named at the start, and the bar shows the larger share of trials and time."""
    timed = replace(STATUS, seconds=120.0, limit_seconds=150.0)
    assert timed.share == 120 / 150 and replace(timed, seconds=30.0).share == 0.4 and STATUS.share == 0.4
    stream = io.StringIO()
    with show_progress(stream) as progress:
        progress(Event("begun", timed))
        progress(Event("ended", timed, BEST))
    begun, ended = stream.getvalue().splitlines()
    assert begun == "one: ends after 10 trials of the study or 150 s of this run, whichever comes first"
    assert "[4 of 10 trials, 120 of 150 s, " in ended
