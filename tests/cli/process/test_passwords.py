"""No command displays the password of its storage, and a password on the command line gives a warning."""

from __future__ import annotations

import pytest

from explorer.cli import COMMANDS
from tests.command_line import run

CANARY = "CANARY"
ARCH = "study:1"
LINES = {
    "cost": [ARCH],
    "latency": [ARCH],
    "scores": ["--study", "study"],
    "gradients": [ARCH],
    "search": ["--space", "he2016_orders.yaml", "--data", "digits"],
    "worker": ["--study", "study"],
    "train": [ARCH, "--data", "digits"],
    "studies": [],
    "trials": ["study"],
    "frontier": ["study"],
    "confirm": ["study"],
    "effects": ["study"],
    "compare": ["study", "other"],
    "reproduce": ["wrn"],
    "status": ["study"],
    "stop": ["study"],
    "clean": ["study"],
    "report": ["study", "-o", "r.html"],
    "export": [ARCH, "-o", "net"],
    "import-optuna": ["optuna.db"],
    "export-optuna": ["study", "optuna.db"],
    "dashboard": [],
    "doctor": [],
}
BROKEN = f"postgresql:/me:{CANARY}@{CANARY}@127.0.0.1:1/db"
AWAY = f"postgres://me:{CANARY}@127.0.0.1:1/db?sslpassword={CANARY}"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """What a command writes stays in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_each_command_with_a_storage_is_tested():
    """The commands without a test line take no storage."""
    assert set(COMMANDS) - set(LINES) == {"space", "sample", "atlas", "describe", "data"}


@pytest.mark.parametrize("command", LINES)
@pytest.mark.parametrize("storage", [BROKEN, AWAY])
def test_no_command_displays_a_password(capsys, monkeypatch, command, storage):
    """An invalid or unreachable storage URL gives one line without its password, also with --debug."""
    if storage == AWAY:
        pytest.importorskip("psycopg", reason="the extra [postgres] is not installed")
        if command == "dashboard":
            pytest.skip("it serves a page that waits for the server")
    monkeypatch.setenv("EXPLORER_STORAGE", storage)
    status, out, errors = run(capsys, command, *LINES[command])
    assert status == (1 if command == "doctor" else 2) and len(errors.splitlines()) == 1
    assert "Traceback" not in errors and CANARY not in out + errors
    status, out, errors = run(capsys, command, *LINES[command], "--debug")
    assert "Traceback" in errors and CANARY not in out + errors


@pytest.mark.parametrize("place", [("--storage",), ("--storage=",)])
def test_a_password_on_the_command_line_gives_a_warning(capsys, place):
    """One line warns that other users can read it and gives advice; a password from EXPLORER_STORAGE gives none."""
    words = [*place, AWAY] if place == ("--storage",) else [f"{place[0]}{AWAY}"]
    _, _, errors = run(capsys, "studies", *words)
    warning, reason = errors.splitlines()
    assert "other users" in warning and "EXPLORER_STORAGE" in warning and "PGPASSWORD" in warning
    assert CANARY not in errors and "127.0.0.1" in reason


def test_a_storage_without_a_password_gives_no_warning(capsys):
    """A URL with only a user name, or a file, gives no warning."""
    for storage in ("postgresql://me@127.0.0.1:1/db", "sqlite:///none.db"):
        assert len(run(capsys, "studies", "--storage", storage)[2].splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["studies", "--storage", f"postgresql://me:{CANARY}", f"{CANARY}@127.0.0.1/db"],
        ["studies", f"postgresql://me:{CANARY}@127.0.0.1/db"],
        ["trials", f"postgresql://me:{CANARY} x@127.0.0.1/db"],
        ["cost", f"postgresql://me:{CANARY}@127.0.0.1/db:3"],
        [f"postgresql://me:{CANARY}@127.0.0.1/db"],
        [f"--storage=postgresql://me:{CANARY}@127.0.0.1/db", "studies"],
        ["studies", f"--storag=postgresql://me:{CANARY}@127.0.0.1/db"],
        ["search", "--space", f"postgresql://me:{CANARY}@127.0.0.1/db"],
        ["export", "he2016_orders.yaml#0", "-o", "net", "--formats", f"postgresql://me:{CANARY}@127.0.0.1/db"],
    ],
)
def test_a_url_in_the_wrong_place_displays_no_password(capsys, words):
    """A URL given as another argument, or split by the shell at a blank, gives one line without its password."""
    status, out, errors = run(capsys, *words)
    assert (status, out) == (2, "") and CANARY not in errors
    assert len(errors.splitlines()) == 1 + ("--storage" in words)
