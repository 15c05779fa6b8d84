"""Commands with unusual output streams, terminals or environments."""

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
    """Run ``explorer WORDS`` in a shell, with redirections and a preceding command."""
    line = f'{before} "$0" -m explorer "$@" {redirection}'
    run = ["bash", "-c", line, sys.executable, *words]
    return subprocess.run(run, capture_output=True, **settings)


@pytest.mark.parametrize("words", HARMLESS, ids=" ".join)
def test_a_full_device_gives_status_1(words):
    """Output that cannot be written gives status 1 and one line with the reason."""
    done = shell(words, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"standard output: No space left on device\n"


@pytest.mark.parametrize("words", HARMLESS, ids=" ".join)
def test_a_closed_pipe_ends_the_command_quietly(words):
    """A command piped to ``head`` ends with status 0 and no message."""
    done = shell(words, "| true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_harmless(closed, tmp_path):
    """A command with closed input, output or error streams works, and none of its files reuses their descriptors."""
    done = shell(["atlas", "he2016_orders.yaml", "-o", "a.parquet"], closed, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "a.parquet").read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error", "COLUMNS": "1"},
        *(
            pytest.param(settings, marks=pytest.mark.slow)
            for settings in (
                {"HOME": "", "TMPDIR": "/nowhere", "PYTHONIOENCODING": "latin-1:strict", "PYTHONOPTIMIZE": "2"},
                {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONDONTWRITEBYTECODE": "1"},
                {"COLUMNS": "0", "LINES": "0", "TERM": "dumb", "NO_COLOR": "1"},
            )
        ),
    ],
    ids=str,
)
def test_no_environment_gives_a_traceback(settings, tmp_path):
    """Each command and its help work with any encoding, optimisation, strict warnings, narrow terminals or no home
    folder."""
    space = tmp_path / "größe.yaml"
    space.write_text(Path("search_spaces/he2016_orders.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for words in (["search", "--help"], ["space", str(space)], ["cost", f"{space}#0", "--json"]):
        done = shell(words, env={**os.environ, **settings})
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
    assert b"Usage" in shell(["--help"], env={**os.environ, **settings}).stdout
    done = shell(["cost", f"{tmp_path}/größe\udcff.yaml#0"], env={**os.environ, **settings})
    assert done.returncode == 2 and b"Traceback" not in done.stderr


def test_help_works_without_docstrings():
    """Under ``python -OO``, which drops docstrings, the help shows the command's line from the overview."""
    done = shell(["search", "--help"], env={**os.environ, "PYTHONOPTIMIZE": "2"})
    assert b"accuracy-versus-cost frontier" in done.stdout


def test_a_removed_working_folder_is_reported():
    """Without a working folder every command gives one line and status 2."""
    for words in (["--version"], ["studies"], ["space", "he2016_orders.yaml"]):
        done = shell(words, before="cd $(mktemp -d) && rmdir $PWD &&", env={**os.environ, "PYTHONPATH": os.getcwd()})
        assert done.returncode == 2 and done.stderr.startswith(b"the current folder: ")
        assert done.stderr.count(b"\n") == 1


SEARCHING = ["search", "--space", "he2016_orders.yaml", "--data", "digits", "--epochs", "1", "--trials", "1",
             "--workers", "1", "--subset", "100"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>&1 | true; exit ${PIPESTATUS[0]}", "2> /dev/full"])
def test_a_search_survives_the_loss_of_its_output(redirection, tmp_path):
    """A closed reader or terminal fails no trial, and the search ends with its own status."""
    done = shell(SEARCHING, redirection, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    held = shell(["studies", "--json"], cwd=tmp_path)
    assert b'"complete": 1' in held.stdout


@pytest.mark.slow
def test_a_search_survives_the_loss_of_its_terminal(tmp_path):
    """If its terminal closes, the live display ends and the search continues to its end."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "explorer", *SEARCHING], cwd=tmp_path, stdin=slave, stdout=subprocess.DEVNULL,
        stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    assert os.read(master, 1)  # the display has started
    os.close(master)
    assert child.wait(300) == 0
    assert b'"complete": 1' in shell(["studies", "--json"], cwd=tmp_path).stdout


def test_a_log_message_is_one_line(capsys):
    """A warning is one line on standard error without traceback, control characters or password, once per command."""
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


def test_a_log_message_appears_above_the_live_display():
    """While a search is displayed on a terminal, a warning is a separate line above it."""

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
def test_an_unexpected_error_is_one_line(capsys, monkeypatch, error, line):
    """An unexpected system error gives one line and status 1; --debug shows the traceback."""

    def fail(*_):
        raise error

    monkeypatch.setattr("explorer.cli.spaces.load_space", fail)
    status, out, errors = run(capsys, "space", "he2016_orders.yaml")
    assert (status, out) == (1, "") and errors.startswith(line) and len(errors.splitlines()) == 1
    assert "Traceback" in run(capsys, "space", "he2016_orders.yaml", "--debug")[2]
