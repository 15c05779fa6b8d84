"""A private PostgreSQL server for a measurement."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    """A running server on a port of loopback, with the usual durability: each commit waits for the disk.

    Attributes:
        url: The URL of its database.
    """

    def __init__(self, folder: Path, connections: int):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "").parent]
        if not (found[-1] / "initdb").exists():
            raise SystemExit("PostgreSQL is not installed; give --storage postgresql://..., or install it")
        self._programs, self._folder = found[-1], folder
        self._account = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        if self._account:
            shutil.chown(folder, **self._account)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c max_connections={connections}"
        self._run("initdb", "-A", "trust", "-U", "explorer", "-E", "UTF8")
        self._run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", self._options, "start")
        self.url = f"postgresql+psycopg://explorer@127.0.0.1:{port}/postgres"

    def restart(self) -> None:
        """Restart the server at once, as after a power failure: all connections are cut."""
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", self._options, "-m", "immediate", "restart")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *args: str) -> None:
        command = [self._programs / program, "-D", self._folder / "data", *args]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **self._account)


@contextmanager
def private_server(connections: int = 100) -> Iterator[Server]:
    """Start a server in a temporary folder; stop and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="explorer-benchmark-"))
    try:
        server = Server(folder, connections)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def server_version(url: str) -> str:
    """Return the version of a server as text."""
    import sqlalchemy

    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).connect() as connection:
        return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar()}"
