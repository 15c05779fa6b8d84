"""A change is acknowledged, and shown, only when it is durable; the study is not locked in the meantime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event

from explorer.store import database as store_database
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import open_study
from explorer.store.writer import NumberTaken, StudyWriter
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import make_study, proposal
from tests.store.servers import Server

pytestmark = pytest.mark.slow  # they start a server of their own
COMPLETE = Ending("complete", {"accuracy": 0.9})
RESTARTS = 4
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A server that writes its log to the disk only if a commit waits for it."""
    server = Server("wal_writer_delay=10s", "wal_writer_flush_after=1GB")
    yield server
    server.remove()


@pytest.fixture
def url(cluster: Server, monkeypatch) -> Iterator[str]:
    """The URL of an empty database; pauses between retries are short."""
    monkeypatch.setattr(store_database, "MAX_PAUSE", 0.2)
    with cluster.database() as name:
        yield cluster.url(name)


class Call(threading.Thread):
    """A call in a thread, whose result is in ``result``."""

    def __init__(self, call: Callable[[], Any]):
        super().__init__(daemon=True)
        self._call = call
        self.start()

    def run(self) -> None:
        self.result = self._call()

    def wait(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.result


@contextmanager
def absent_standby(cluster: Server) -> Iterator[None]:
    """Let commits wait for a synchronous standby that does not exist, until the end of the block."""
    reload = "SELECT pg_reload_conf()"
    cluster.execute("ALTER SYSTEM SET synchronous_standby_names = 'absent'", reload)

    def write() -> None:
        with suppress(sqlalchemy.exc.OperationalError):  # it is ended
            cluster.execute("SET application_name = 'probe'", "SELECT pg_logical_emit_message(true, '', '')")

    def is_waited_for() -> bool:
        probe = Call(write)
        wait_until(lambda: not probe.is_alive() or waiting(cluster))
        return probe.is_alive()

    wait_until(is_waited_for)
    cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'probe'")
    wait_until(lambda: not waiting(cluster))
    try:
        yield
    finally:
        cluster.execute("ALTER SYSTEM RESET synchronous_standby_names", reload)


def waiting(cluster: Server) -> int:
    return cluster.execute(WAITING)[0][0]


def lock_at_once(url: str) -> None:
    """Lock the study's row; raise an error if another transaction has locked it."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM explorer_studies FOR UPDATE NOWAIT").one()


def test_the_study_is_free_while_a_change_becomes_durable(cluster, url):
    """A change that waits for the disk or a standby has no lock, but neither its worker nor a reader has an answer."""
    one, two = (StudyWriter(make_study(url), new_worker()) for _ in range(2))
    reader = open_study(url)
    one.begin(0, proposal("a"))
    with absent_standby(cluster):
        ending = Call(lambda: one.finish(0, COMPLETE))
        wait_until(lambda: waiting(cluster) == 1)
        lock_at_once(url)
        beginning = Call(lambda: two.begin(1, proposal("b")))
        wait_until(lambda: waiting(cluster) == 2)
        lock_at_once(url)
        reading = Call(reader.trials)
        wait_until(lambda: waiting(cluster) == 3)
        assert ending.is_alive() and beginning.is_alive() and reading.is_alive()
    assert [each.state for each in ending.wait()] == ["complete"]
    assert beginning.wait().number == 1
    assert [each.state for each in reading.wait()] == ["complete", "running"]
    for writer in (one, two):
        writer.study.database.close()


def test_a_connection_that_ends_before_a_change_is_durable_repeats_nothing(cluster, url, caplog):
    """A worker whose connection ends after its commit, but before the answer, finds what it has written."""
    writer = StudyWriter(make_study(url), new_worker())
    writer.begin(0, proposal("a"))
    calls = (lambda: writer.finish(0, COMPLETE)[0], lambda: writer.begin(1, proposal("b")))
    for call, state in zip(calls, ("complete", "running")):
        with absent_standby(cluster):
            ending = Call(call)
            wait_until(lambda: waiting(cluster) == 1)
            cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            wait_until(lambda: "trying again" in caplog.text and waiting(cluster) == 1)
            assert ending.is_alive()
        caplog.clear()
        assert ending.wait().state == state
    found = [(each.number, each.state, each.attempt) for each in writer.study.trials()]
    assert found == [(0, "complete", 1), (1, "running", 1)]
    writer.study.database.close()


def test_a_server_that_crashes_loses_nothing_that_was_answered(cluster, url):
    """Trials that four workers have begun and ended, and what a reader has seen, are there after each crash."""
    over, acknowledged, seen = threading.Event(), {}, {}

    def work(writer: StudyWriter) -> None:
        while not over.is_set():
            number = max(seen, default=-1) + 1
            try:
                begun = writer.begin(number, proposal(f"{writer.worker[-8:]}-{number}"))
            except NumberTaken:
                continue
            acknowledged[begun.number] = (writer.worker, "running")
            writer.finish(begun.number, COMPLETE)
            acknowledged[begun.number] = (writer.worker, "complete")

    def read() -> None:
        revision = 0
        while not over.is_set():
            for each in study.trials(revision, full=False):
                seen[each.number] = (each.worker, each.state)
                revision = max(revision, each.revision)

    study = make_study(url)
    writers = [StudyWriter(make_study(url), new_worker()) for _ in range(4)]
    threads = [Call(lambda writer=writer: work(writer)) for writer in writers] + [Call(read)]
    for restart in range(RESTARTS):
        wait_until(lambda so_far=5 * (restart + 1): len(acknowledged) > so_far)
        cluster.restart()
    wait_until(lambda: len(acknowledged) > 5 * (RESTARTS + 1))
    over.set()
    for thread in threads:
        thread.wait()
    records = study.trials()
    found = {each.number: (each.worker, each.state) for each in records}
    assert sorted(found) == list(range(len(records)))
    assert acknowledged == found
    assert {number: found[number][0] for number in seen} == {number: worker for number, (worker, _) in seen.items()}
    for each in (study, *(writer.study for writer in writers)):
        each.database.close()


def test_a_user_without_the_functions_commits_as_usual(cluster, url):
    """A role that may not call the function that writes to the log begins and ends trials, with usual commits."""
    make_study(url).database.close()
    name = url.rpartition("/")[2]
    cluster.execute(
        "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) FROM PUBLIC",
        "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, bytea) FROM PUBLIC",
        "CREATE ROLE plain LOGIN",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO plain",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain",
        database=name,
    )
    seen: list[str] = []
    for user, early in (("plain", False), ("explorer", True)):
        writer = StudyWriter(make_study(cluster.url(name, user)), new_worker())
        seen.clear()
        event.listen(writer.study.database.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
        number = len(writer.study.trials())
        writer.begin(number, proposal(user))
        assert writer.finish(number, COMPLETE)[0].state == "complete"
        assert any("synchronous_commit" in each for each in seen) == early
        writer.study.database.close()
    cluster.execute("DROP OWNED BY plain", "DROP ROLE plain", database=name)
