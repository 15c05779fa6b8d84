"""A PostgreSQL server for tests, and a proxy that cuts connections."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
import sqlalchemy

from tests.polling import PATIENCE

# The server does not wait for the disk: no database of a test has to survive a power cut, but an immediate restart.
QUICK = ("fsync=off", "full_page_writes=off")
CONTROL = ("pg_ctl", "-w", "-t", f"{PATIENCE:.0f}")  # by default it gives up after a minute


class Server:
    """A running PostgreSQL server with the superuser ``explorer``.

    Attributes:
        port: Its port on 127.0.0.1.
    """

    def __init__(self, *settings: str):
        on_path = which("initdb")
        programs = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not programs or find_spec("psycopg") is None:
            pytest.skip("PostgreSQL or its driver psycopg is not installed")
        self._programs = programs[-1]
        self._account = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}  # initdb refuses root
        memory = "/dev/shm"  # where a server makes and removes databases in a moment
        roomy = os.path.isdir(memory) and shutil.disk_usage(memory).free > 1 << 30
        self._folder = Path(tempfile.mkdtemp(prefix="explorer-postgresql-", dir=memory if roomy else None))
        if self._account:
            shutil.chown(self._folder, **self._account)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options = " ".join(f"-c {setting}" for setting in (*QUICK, *settings))
        self._options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._folder} {options}"
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "explorer", "-E", "UTF8")
        self.start()

    def url(self, database: str = "postgres", user: str = "explorer", port: int | None = None) -> str:
        """Return the URL of a database, by default that of the superuser."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        self._run(*CONTROL, "-l", str(self._folder / "log"), "-o", self._options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run(*CONTROL, "-m", mode, "stop")

    def restart(self, mode: str = "immediate") -> None:
        self._run(*CONTROL, "-l", str(self._folder / "log"), "-o", self._options, "-m", mode, "restart")

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple]:
        """Run statements as superuser, each committed at once; return the rows of the last."""
        engine = sqlalchemy.create_engine(
            self.url(database), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool
        )
        with engine.connect() as connection:
            for statement in statements:
                found = connection.exec_driver_sql(statement)
            return list(map(tuple, found)) if found.returns_rows else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the name of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        yield name
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):  # a test may have stopped it
            self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *args: str) -> None:
        command = [self._programs / program, "-D", self._folder / "data", *args]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **self._account)


class Proxy:
    """A TCP proxy in front of a server on 127.0.0.1.

    Attributes:
        port: Its port.
        cut_before: Called with each message of a client; if it returns True, the message reaches the server, and the
            connection is closed before the answer reaches the client.
        cuts: How often this happened.
    """

    def __init__(self, port: int):
        self._server = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.cut_before: Callable[[bytes], bool] = lambda message: False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                dropped = threading.Event()
                threading.Thread(target=self._forward, args=(client, server, dropped), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, dropped), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, dropped: threading.Event) -> None:
        with suppress(OSError):
            while message := client.recv(1 << 16):
                if self.cut_before(message):
                    dropped.set()
                    self.cuts += 1
                server.sendall(message)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket, dropped: threading.Event) -> None:
        with suppress(OSError):
            while message := server.recv(1 << 16):
                if dropped.is_set():  # the server has answered, so the message was applied
                    break
                client.sendall(message)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
