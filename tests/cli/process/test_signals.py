"""Commands that are ended by a signal: the exit status names the signal, and running work is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from explorer.cli import main
from explorer.errors import StoreError
from explorer.store.studies import list_studies
from tests.polling import PATIENCE, wait_until
from tests.study.evaluations import SPACE_TEXT

EXPLORER = [sys.executable, "-c", "from explorer.cli import main; main()"]


@pytest.fixture
def command(tmp_path):
    """Start a command in a folder with a space file, and kill it at the end of the test."""
    (tmp_path / "space.yaml").write_text(SPACE_TEXT)
    started = []

    def start(*arguments: str, prefix=()) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": os.getcwd()}, "start_new_session": True}
        started.append(subprocess.Popen([*prefix, *EXPLORER, *arguments], **pipes, **where))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


SEARCH = ("search", "--space", "space.yaml", "--data", "digits", "--epochs", "5000", "--workers", "2", "--json")


SIGNALS = [
    (signal.SIGTERM, " by SIGTERM"),
    pytest.param(signal.SIGINT, "", marks=pytest.mark.slow),
    pytest.param(signal.SIGHUP, " by SIGHUP", marks=pytest.mark.slow),
]


def counts(tmp_path) -> dict[str, int]:
    try:
        (study,) = list_studies(f"sqlite:///{tmp_path}/explorer.db")
    except (StoreError, ValueError):  # the database does not exist yet
        return {"running": 0}
    return study.counts


@pytest.mark.parametrize("number, by", SIGNALS)
def test_a_search_ends_with_the_status_of_its_signal(tmp_path, command, capsys, number, by):
    """The status is 130 for Ctrl-C, 143 for SIGTERM and 129 for a closed terminal, and running trials are interrupted,
    not failed."""
    process = command(*SEARCH)
    wait_until(lambda: counts(tmp_path)["running"] == 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.splitlines()[-1]) == (128 + number, f"interrupted{by}")
    trials = json.loads(out)["trials"]
    assert (trials["interrupted"], trials["failed"], trials["running"]) == (2, 0, 0)
    storage = ("--storage", f"sqlite:///{tmp_path}/explorer.db")
    with pytest.raises(SystemExit, match="0"):
        main(["trials", "tiny-digits", "--json", *storage])
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["interrupted"] * 2
    with pytest.raises(SystemExit, match="0"):
        main(["studies", "--json", *storage])
    assert json.loads(capsys.readouterr().out)[0]["trials"] == trials


TRAIN = ("train", "space.yaml#26", "--data", "digits", "--epochs", "5000")


def trainer(command) -> int:
    """Return the process that trains for a command: the child of the one in its own session."""
    for line in subprocess.run(["ps", "-eo", "pid,ppid,sid"], capture_output=True, text=True).stdout.splitlines()[1:]:
        pid, parent, session = map(int, line.split())
        if session == parent and started_by(command, parent):
            return pid
    return 0


def started_by(command, pid: int) -> bool:
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid == command.pid:
            return True
    return False


@pytest.mark.slow
def test_a_training_killed_by_a_signal_gives_a_message_and_resumes(tmp_path, command):
    """A segmentation fault ends ``explorer train`` with status 1 and a line that names the checkpoint, from which it
    resumes."""
    process = command(*TRAIN)
    wait_until(lambda: list(tmp_path.glob("explorer.artifacts/*.checkpoint")))
    os.kill(trainer(process), signal.SIGSEGV)
    out, err = process.communicate(timeout=PATIENCE)
    (checkpoint,) = tmp_path.glob("explorer.artifacts/*.checkpoint")
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"the training's process died of SIGSEGV; the same command resumes from the last checkpoint, {checkpoint}"
    )
    process = command(*TRAIN)
    assert process.stderr.readline() == f"resuming from {checkpoint}\n"
    wait_until(lambda: trainer(process))
    process.terminate()
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (143, "") and checkpoint.exists()
    assert f"the same command resumes from {checkpoint}" in err and err.splitlines()[-1] == "interrupted by SIGTERM"
    assert not trainer(process)


@pytest.mark.slow
def test_the_fork_server_ends_with_an_interrupted_command(command):
    """The fork server is ended too, even while it imports torch."""
    process = command(*TRAIN)
    wait_until(lambda: fork_servers(process.pid))
    (server,) = fork_servers(process.pid)
    os.kill(server, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(PATIENCE) == 130
        wait_until(lambda: not Path(f"/proc/{server}").exists())
    finally:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


def fork_servers(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent), "-f", "forkserver"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_a_signal_within_a_finalizer_is_not_lost():
    """Python drops an exception that is raised in a finalizer, so the signal is sent again afterwards."""
    code = """
import os, signal, sys, time, weakref
import click
from explorer import cli

class Thing: pass

@click.command()
def wait():
    thing = Thing()
    finalizer = weakref.ref(thing, lambda reference: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    time.sleep(60)

cli.Commands.get_command = lambda *arguments: wait
cli.main(["studies"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (ran.returncode, ran.stdout, ran.stderr.strip()) == (143, "", "interrupted by SIGTERM")


def test_sigterm_before_the_first_trial_ends_a_command_in_one_line(command):
    """SIGTERM while a command imports, reads or measures ends it with one line and status 143."""
    process = command("latency", "space.yaml#3")
    wait_until(lambda: b"torch" in Path(f"/proc/{process.pid}/maps").read_bytes())
    process.terminate()
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.strip()) == (143, "", "interrupted by SIGTERM")


@pytest.mark.slow
def test_a_search_as_process_1_of_a_container_ends_cleanly(tmp_path, command):
    """SIGTERM to process 1, as ``docker stop`` sends it, ends the search cleanly."""
    unshare = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("only root can create a PID namespace")
    process = command(*SEARCH, prefix=unshare)
    wait_until(lambda: counts(tmp_path)["running"] == 2)
    first = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(first), signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143 and counts(tmp_path)["interrupted"] == 2


@pytest.mark.slow
def test_a_search_under_nohup_survives_its_terminal(tmp_path, command):
    """If SIGHUP is ignored at the start, a search keeps ignoring it."""
    process = command(*SEARCH, prefix=("nohup",))
    wait_until(lambda: counts(tmp_path)["running"] == 2)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert counts(tmp_path)["running"] == 2
