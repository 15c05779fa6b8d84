"""The exit status of every command: 0 success, 1 failure, 2 invalid input."""

import subprocess
import sys

import pytest

from explorer.cli import COMMANDS
from tests.command_line import run

TAKE_NOTHING = {"studies", "worker", "dashboard", "doctor", "data", "latency", "scores"}  # required arguments
STUDY_COMMANDS = {
    "trials",
    "frontier",
    "confirm",
    "effects",
    "clean",
    "status",
    "stop",
}  # STUDY is optional if there is only one study


@pytest.mark.parametrize("command", COMMANDS)
def test_help_gives_0_and_an_unknown_option_gives_2(capsys, command, monkeypatch, tmp_path):
    """Every command ends with status 0 after its help, and with status 2 and one line for an unknown option."""
    monkeypatch.chdir(tmp_path)
    assert run(capsys, command, "--help")[0] == 0
    status, out, errors = run(capsys, command, "--frobnicate")
    assert (status, out) == (2, "") and errors.startswith(f"explorer {command}: No such option '--frobnicate'")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in TAKE_NOTHING | STUDY_COMMANDS])
def test_a_missing_argument_gives_2(capsys, command):
    """A missing argument gives status 2 and its name, and --debug shows the traceback."""
    status, out, errors = run(capsys, command)
    assert (status, out) == (2, "") and f"explorer {command}: Missing" in errors and len(errors.splitlines()) == 1
    assert "Traceback" in run(capsys, command, "--debug")[2]


@pytest.mark.parametrize("command", [["studies"], ["worker"], ["trials", "x"], ["frontier", "x"], ["clean", "x"]])
def test_a_missing_storage_gives_2(capsys, command, monkeypatch, tmp_path):
    """Commands that read a storage end with status 2 if it is missing, and create no file."""
    monkeypatch.chdir(tmp_path)
    status, out, errors = run(capsys, *command)
    assert (status, out) == (2, "") and "there is no file" in errors and not list(tmp_path.iterdir())


def test_the_module_is_the_command():
    """``python -m explorer`` is ``explorer``."""
    done = subprocess.run([sys.executable, "-m", "explorer", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("explorer, version ")
    done = subprocess.run([sys.executable, "-m", "explorer", "serach"], capture_output=True, text=True)
    assert done.returncode == 2 and "did you mean 'search'" in done.stderr
