"""Workers behind pgbouncer. In transaction mode each transaction may have another connection of the server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import open_study
from explorer.store.writer import NumberTaken, StudyWriter
from explorer.study.search import run_search
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import make_study, proposal
from tests.store.servers import Server
from tests.study.evaluations import good

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=explorer
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 2
"""


@pytest.fixture
def pooled(postgresql: Server, postgresql_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty storage behind pgbouncer with two connections to the server, in transaction mode."""
    mode = getattr(request, "param", "transaction")
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="explorer-pgbouncer-"))
    folder.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(server=postgresql.port, port=port, mode=mode))
    account = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}  # it refuses to run as root
    command = [program, "-q", folder / "pgbouncer.ini"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account) as process:
        wait_until(lambda: is_open(port) or process.poll() is not None)
        yield postgresql.url(postgresql_url.rpartition("/")[2], port=port)
        process.terminate()
    shutil.rmtree(folder)


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_workers_share_a_pooler(pooled, space):
    """Four workers and a search store every trial once through two connections of the server."""
    writers = [StudyWriter(make_study(pooled), new_worker()) for _ in range(4)]
    ended: list[int] = []

    def work(writer: StudyWriter) -> None:
        while (number := sum(writer.study.counts().values())) < 20:
            with suppress(NumberTaken):
                writer.begin(number, proposal(f"n{number}"))
                writer.renew()
                ended.extend(each.number for each in writer.finish(number, Ending("complete", {"accuracy": 0.5})))
                writer.reap()

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    records = open_study(pooled, "one").trials()
    assert {record.state for record in records} == {"complete"}
    assert sorted(ended) == [record.number for record in records] == list(range(len(records)))
    for writer in writers:
        writer.study.database.close()
    found = run_search(space, evaluate=good, storage=pooled, study="two", trials=5)
    assert found.study.counts()["complete"] == 5


@pytest.mark.parametrize("pooled", ["statement"], indirect=True)
def test_statement_mode_is_refused_at_once(pooled, postgresql_url, caplog):
    """It cannot pass by waiting, and the message names the setting; reading and writing do the same."""
    make_study(postgresql_url).database.close()
    for action in (make_study, lambda url: open_study(url, "one")):
        with pytest.raises(StoreError, match="set pool_mode = transaction"):
            action(pooled)
    assert "trying again" not in caplog.text
