"""What becomes of a command whose output, terminal or surroundings are not as usual."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.cli.streams import log_as_lines
from explorer.study.display import show_progress
from tests.command_line import run

HARMLESS = (
    ["--help"],
    ["--version"],
    ["space", "--help"],
    ["space", "he2016_orders.yaml"],
    ["sample", "he2016_orders.yaml", "--json"],
    ["cost", "he2016_orders.yaml#0"],
    ["data", "list"],
)


def shell(words: list[str], redirection: str = "", before: str = "", **settings) -> subprocess.CompletedProcess:
    """``explorer WORDS`` in a shell, with redirections and what comes before it."""
    line = f'{before} "$0" -m explorer "$@" {redirection}'
    run = ["bash", "-c", line, sys.executable, *words]
    return subprocess.run(run, capture_output=True, **settings)


@pytest.mark.parametrize("words", HARMLESS, ids=" ".join)
def test_a_full_device_is_failed_work(words):
    """Output that cannot be written gives status 1 and one line with the reason."""
    done = shell(words, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"standard output: No space left on device\n"


@pytest.mark.parametrize("words", HARMLESS, ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_quietly(words):
    """Behind ``| head`` a command is done: status 0 and not a word."""
    done = shell(words, "| true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed, tmp_path):
    """A command whose input, output or errors are closed works; no file of its own takes their place."""
    done = shell(["atlas", "he2016_orders.yaml", "-o", "a.parquet"], closed, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "a.parquet").read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONWARNINGS": "error"},
        {"HOME": "", "TMPDIR": "/nowhere"},
        *(
            pytest.param(settings, marks=pytest.mark.slow)
            for settings in (
                {"PYTHONIOENCODING": "latin-1:strict"},
                {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
                {"PYTHONOPTIMIZE": "2"},
                {"PYTHONDONTWRITEBYTECODE": "1"},
                {"COLUMNS": "1"},
                {"COLUMNS": "0", "LINES": "0"},
                {"TERM": "dumb", "NO_COLOR": "1"},
            )
        ),
    ],
    ids=str,
)
def test_no_surroundings_end_a_command_with_a_traceback(settings, tmp_path):
    """Encodings, optimisation, strict warnings, narrow terminals, no home: each command works and has its help."""
    space = tmp_path / "größe.yaml"
    space.write_text(Path("search_spaces/he2016_orders.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for words in (["search", "--help"], ["space", str(space)], ["cost", f"{space}#0", "--json"]):
        done = shell(words, env={**os.environ, **settings})
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
    assert b"Usage" in shell(["--help"], env={**os.environ, **settings}).stdout
    done = shell(["cost", f"{tmp_path}/größe\udcff.yaml#0"], env={**os.environ, **settings})
    assert done.returncode == 2 and b"Traceback" not in done.stderr


def test_help_says_what_a_command_does_without_docstrings():
    """``python -OO`` drops docstrings; the help has the command's line from the overview."""
    done = shell(["search", "--help"], env={**os.environ, "PYTHONOPTIMIZE": "2"})
    assert b"accuracy-versus-cost frontier" in done.stdout


def test_a_folder_that_was_removed_is_named():
    """Without a current folder every command ends in one line with status 2."""
    for words in (["--version"], ["studies"], ["space", "he2016_orders.yaml"]):
        done = shell(words, before="cd $(mktemp -d) && rmdir $PWD &&", env={**os.environ, "PYTHONPATH": os.getcwd()})
        assert done.returncode == 2 and done.stderr.startswith(b"the current folder: ")
        assert done.stderr.count(b"\n") == 1


SEARCHING = ["search", "--space", "he2016_orders.yaml", "--data", "digits", "--epochs", "1", "--trials", "1",
             "--workers", "1"]  # fmt: skip


@pytest.mark.parametrize(
    "redirection", ["2>&1 | true; exit ${PIPESTATUS[0]}", pytest.param("2> /dev/full", marks=pytest.mark.slow)]
)
def test_a_search_survives_its_output(redirection, tmp_path):
    """A reader or a terminal that goes away takes no trial with it, and the status is the search's own."""
    done = shell(SEARCHING, redirection, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    held = shell(["studies", "--json"], cwd=tmp_path)
    assert b'"complete": 1' in held.stdout


@pytest.mark.slow
def test_a_search_survives_its_terminal(tmp_path):
    """The live display ends with the terminal it was drawn on; the search goes on to its end."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "explorer", *SEARCHING], cwd=tmp_path, stdin=slave, stdout=subprocess.DEVNULL,
        stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    assert os.read(master, 1)  # the display has begun
    os.close(master)
    assert child.wait(300) == 0
    assert b'"complete": 1' in shell(["studies", "--json"], cwd=tmp_path).stdout


def test_what_is_logged_is_a_line(capsys):
    """A warning is one line on standard error, without a traceback, a control character or a password; each of two
    commands in one process shows it once."""
    log = logging.getLogger("explorer.store.database")
    for _ in range(2):
        with log_as_lines():
            try:
                raise ValueError("two\nlines of postgresql://me:CANARY@host/db")
            except ValueError:
                log.warning("it \x1b[31mfailed\x1b[0m", exc_info=True)
            log.info("not shown")
        lines = capsys.readouterr().err.splitlines()
        assert lines == [r"it \x1b[31mfailed\x1b[0m: two lines of postgresql://me:***@host/db"]


def test_what_is_logged_stands_above_a_live_display():
    """While a search is drawn on a terminal, a warning is a line of its own above it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with log_as_lines(), show_progress(terminal):
        logging.getLogger("explorer.store.database").warning("locked; \x1b[31mtrying again")
    assert r"locked; \x1b[31mtrying again" + "\n" in terminal.getvalue()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "out of memory\n"),
        (OSError(28, "No space left on device", "a.bin"), "a.bin: No space left on device\n"),
        (OSError("odd"), "odd\n"),
        (
            ImportError("libx.so: cannot open"),
            "libx.so: cannot open; 'explorer doctor' says which packages are missing",
        ),
    ],
)
def test_what_no_command_foresaw_is_a_line(capsys, monkeypatch, error, line):
    """What the machine refuses in the middle of a command is one line with status 1; --debug shows where."""

    def fail(*_):
        raise error

    monkeypatch.setattr("explorer.cli.spaces.load_space", fail)
    status, out, errors = run(capsys, "space", "he2016_orders.yaml")
    assert (status, out) == (1, "") and errors.startswith(line) and len(errors.splitlines()) == 1
    assert "Traceback" in run(capsys, "space", "he2016_orders.yaml", "--debug")[2]
