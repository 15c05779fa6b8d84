"""A password in EXPLORER_STORAGE is nowhere but there: not in output, files, command lines, pickles or the database."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store.studies import open_study
from tests.polling import PATIENCE, wait_until
from tests.store.servers import Server

CANARY = "canary-7f3a91"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.remove()


def command_lines() -> bytes:
    """Return the command lines of all processes."""
    found = b""
    for entry in Path("/proc").iterdir():
        try:
            found += (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
    return found


@pytest.mark.slow  # commands in processes of their own, and a server that restarts
def test_the_password_is_nowhere(server, tmp_path, monkeypatch):
    """Search, confirmation, report, export and failing commands never show or store the password."""
    with server.database() as name:
        url = server.url(name, f"explorer:{CANARY}")
        environment = {**os.environ, "EXPLORER_STORAGE": url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        output, lines, over = "", [], threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                lines.append(CANARY.encode() in command_lines())

        def run(*command: str, expected: int = 0, outage: bool = False) -> str:
            said = tmp_path / "said.txt"
            line = [sys.executable, "-m", "explorer", *command]
            with (
                open(said, "w") as file,
                subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=file, stderr=subprocess.STDOUT) as process,
            ):
                if outage:
                    wait_until(lambda: revision(url) > 1 or process.poll() is not None)
                    server.stop()
                    wait_until(lambda: "trying again" in said.read_text() or process.poll() is not None)
                    server.start()
                process.wait(PATIENCE)
            assert process.returncode == expected, said.read_text()
            return said.read_text()

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            search = ["search", "--space", "he2016_orders.yaml", "--data", "digits", "--epochs", "1", "--trials", "6"]
            output += run(*search, "--workers", "1", "--study", "s", outage=True)
            assert "trying again" in output
            output += run("report", "s", "-o", "report.html") + run("frontier", "s", "--json")
            output += run("export", "s:0", "-o", "net") + run("doctor")
            server.stop()
            for debug in ([], ["--debug"]):
                output += run("studies", *debug, expected=2)
            server.start()
        finally:
            over.set()
            watching.join()
        assert lines and not any(lines)
        assert CANARY not in output
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) > 5 and not [path for path in files if CANARY.encode() in path.read_bytes()]
        tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name)
        stored = [server.execute(f"SELECT * FROM {table}", database=name) for (table,) in tables]
        assert any(stored) and CANARY not in str(stored)

        study = open_study(url, "s")
        count, packed = len(study.trials()), pickle.dumps(study)
        assert CANARY.encode() not in packed
        assert len(pickle.loads(packed).trials()) == count >= 6  # this process knows its password
        read = "import pickle, sys; print(len(pickle.load(sys.stdin.buffer).trials()))"
        found = subprocess.run([sys.executable, "-c", read], input=packed, env=environment, capture_output=True)
        assert int(found.stdout) == count, found.stderr


def revision(url: str) -> int:
    """Return the number of changes to the study; 0 before it exists."""
    try:
        return open_study(url, "s").revision
    except StoreError:
        return 0
