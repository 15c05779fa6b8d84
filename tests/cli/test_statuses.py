"""The exit status of every command: 0 done, 1 the work failed, 2 bad input."""

import subprocess
import sys

import pytest

from explorer.cli import COMMANDS
from tests.command_line import run

TAKE_NOTHING = {"studies", "worker", "dashboard", "doctor", "data", "latency", "scores"}  # that must be given
STUDY_COMMANDS = {"trials", "frontier", "confirm", "effects", "clean"}  # STUDY may be left out where there is one


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_done_and_a_slip_is_bad_input(capsys, command, monkeypatch, tmp_path):
    """Every command ends with 0 after its help, and with 2 and one line for an option that it has not."""
    monkeypatch.chdir(tmp_path)
    assert run(capsys, command, "--help")[0] == 0
    status, out, errors = run(capsys, command, "--frobnicate")
    assert (status, out) == (2, "") and errors.startswith(f"explorer {command}: No such option '--frobnicate'")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in TAKE_NOTHING | STUDY_COMMANDS])
def test_a_missing_argument_is_bad_input(capsys, command):
    """A command that needs an argument says which, with status 2, and --debug shows where."""
    status, out, errors = run(capsys, command)
    assert (status, out) == (2, "") and f"explorer {command}: Missing" in errors and len(errors.splitlines()) == 1
    assert "Traceback" in run(capsys, command, "--debug")[2]


@pytest.mark.parametrize("command", [["studies"], ["worker"], ["trials", "x"], ["frontier", "x"], ["clean", "x"]])
def test_a_storage_that_is_not_there_is_bad_input(capsys, command, monkeypatch, tmp_path):
    """What reads a storage ends with 2 where there is none, and makes no file."""
    monkeypatch.chdir(tmp_path)
    status, out, errors = run(capsys, *command)
    assert (status, out) == (2, "") and "there is no file" in errors and not list(tmp_path.iterdir())


def test_the_module_is_the_command():
    """``python -m explorer`` is ``explorer``."""
    done = subprocess.run([sys.executable, "-m", "explorer", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("explorer, version ")
    done = subprocess.run([sys.executable, "-m", "explorer", "serach"], capture_output=True, text=True)
    assert done.returncode == 2 and "did you mean 'search'" in done.stderr
