"""A PostgreSQL server that fails for a while: operations wait for it, and lost answers are found."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from explorer.errors import StoreError
from explorer.store import database as store_database
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import check_storage, open_for_reading, open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.server.outages import passes
from explorer.store.studies import create_study, open_study
from explorer.store.writer import StudyWriter
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import GONE, RESULT, make_study, proposal
from tests.store.servers import Proxy, Server

COMPLETE = Ending("complete", {"accuracy": 0.9, "macs": 100.0}, RESULT)


@pytest.fixture
def cluster(monkeypatch) -> Iterator[Server]:
    """A server of this test alone, which it may stop; pauses between retries are short."""
    monkeypatch.setattr(store_database, "MAX_PAUSE", 0.2)
    server = Server("max_connections=12")
    yield server
    server.remove()


@pytest.fixture
def quick(monkeypatch) -> None:
    """Pauses between retries are short."""
    monkeypatch.setattr(store_database, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(store_database, "MAX_PAUSE", 0.05)


@contextmanager
def retried(caplog, fault: Callable[[], object], end: Callable[[], object]) -> Iterator[None]:
    """Make a fault, run the block, and end the fault as soon as an operation of the block has been retried."""
    caplog.clear()
    fault()

    def wait() -> None:
        wait_until(lambda: "trying again" in caplog.text)
        end()

    ending = threading.Thread(target=wait, daemon=True)
    ending.start()
    with caplog.at_level(logging.WARNING):
        yield
    ending.join(PATIENCE)
    assert not ending.is_alive()


def operations(writer: StudyWriter, number: int) -> list[Callable[[], object]]:
    """Return one operation of each kind: a read, a begin, a renewal and an end."""
    return [
        lambda: writer.study.trials(),
        lambda: writer.begin(number, proposal(f"n{number}")),
        writer.renew,
        writer.reap,
        lambda: writer.finish(number, COMPLETE),
    ]


@pytest.mark.slow  # it starts a server of its own and restarts it
def test_each_operation_survives_each_fault_of_the_server(cluster, caplog):
    """Reads and writes wait for a stopped server, a full table of connections, a role without privileges or with
    read-only transactions, and a statement timeout, and then succeed; a result is written once."""
    with cluster.database() as name:
        cluster.execute("CREATE ROLE worker LOGIN", f"GRANT CREATE ON DATABASE {name} TO worker")
        cluster.execute("GRANT ALL ON SCHEMA public TO worker", database=name)
        writer = StudyWriter(make_study(cluster.url(name, "worker")), new_worker())

        def end_connections() -> None:
            cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")

        def set_role(change: str) -> Callable[[], None]:
            def change_it() -> None:
                cluster.execute(f"ALTER ROLE worker {change}")
                end_connections()

            return change_it

        def fault_of_tables(change: str) -> Callable[[], object]:
            return lambda: cluster.execute(f"{change} ALL ON ALL TABLES IN SCHEMA public " + who(change), database=name)

        def who(change: str) -> str:
            return "FROM worker" if change == "REVOKE" else "TO worker"

        cluster.execute(
            *(f"ALTER TABLE {table} OWNER TO explorer" for (table,) in cluster.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name)),
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO worker", database=name,
        )  # fmt: skip
        locker = sqlalchemy.create_engine(cluster.url(name), poolclass=sqlalchemy.NullPool)
        locks = []

        def lock() -> None:
            set_role("SET statement_timeout = 100")()
            locks.append(locker.connect())
            locks[-1].exec_driver_sql("LOCK TABLE explorer_studies, explorer_trials")

        faults = {
            "stopped": (cluster.stop, cluster.start),
            "no connections": (set_role("CONNECTION LIMIT 0"), set_role("CONNECTION LIMIT -1")),
            "no privileges": (fault_of_tables("REVOKE"), fault_of_tables("GRANT")),
            "statement timeout": (lock, lambda: locks.pop().close()),
            "read-only": (set_role("SET default_transaction_read_only = on"), set_role("RESET ALL")),
        }
        number = 0
        for kind, (fault, end) in faults.items():
            for operation in range(1 if kind == "read-only" else 0, 5):
                calls = operations(writer, number)
                for call in calls[:operation]:
                    call()
                with retried(caplog, fault, end):
                    result = calls[operation]()
                for call in calls[operation + 1 :]:
                    result = call()
                assert [each.state for each in result] == ["complete"]
                number += 1
        assert [(each.state, each.attempt) for each in writer.study.trials()] == [("complete", 1)] * number
        assert not list(writer.study.artifacts.rglob("*.json"))
        writer.study.database.close()


def test_ended_and_idle_connections_are_replaced(postgresql, postgresql_url, caplog):
    """A connection that the server ended between two operations, or for being idle, is replaced."""
    writer = StudyWriter(make_study(postgresql_url), new_worker())
    name = postgresql_url.rpartition("/")[2]
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    for number in range(2):
        for call in operations(writer, number):
            postgresql.execute(ended)
            call()
    postgresql.execute(f"ALTER DATABASE {name} SET idle_session_timeout = 50", ended)
    for call in operations(writer, 2):
        time.sleep(0.1)  # longer than the timeout
        call()
    assert [each.state for each in writer.study.trials()] == ["complete"] * 3
    writer.study.database.close()


def test_a_connection_ended_within_a_transaction_is_retried(postgresql, postgresql_url, quick, caplog):
    """A connection that ends between two statements of any operation, or a deadlock there, repeats the operation."""
    writer = StudyWriter(make_study(postgresql_url), new_worker())
    left = [0]

    def end(connection, cursor, *_) -> None:
        left[0] -= 1
        if left[0] == 0:
            postgresql.execute(
                f"SELECT pg_terminate_backend({connection.connection.dbapi_connection.info.backend_pid})"
            )

    event.listen(writer.study.database.engine, "before_cursor_execute", end)
    for number in range(6):
        for call in operations(writer, number):
            left[0] = number + 1
            call()
    left[0] = 0
    assert caplog.text.count("trying again") >= 10
    assert [(each.state, each.attempt) for each in writer.study.trials()] == [("complete", 1)] * 6
    writer.study.database.close()


@pytest.fixture
def cut(postgresql, postgresql_url, quick) -> Iterator[tuple[str, Proxy]]:
    """The URL of a storage behind a proxy, and the proxy, which cuts the connection at the next commit if armed."""
    make_study(postgresql_url).database.close()
    proxy = Proxy(postgresql.port)
    yield postgresql.url(postgresql_url.rpartition("/")[2], port=proxy.port), proxy
    proxy.close()


@contextmanager
def lost_answer(proxy: Proxy) -> Iterator[None]:
    """Cut the connection after the next COMMIT has reached the server, before its answer."""
    before = proxy.cuts
    proxy.cut_before = lambda message: b"COMMIT" in message and proxy.cuts == before
    yield
    assert proxy.cuts == before + 1, "no commit was cut"


def test_a_lost_answer_to_a_commit_repeats_nothing(cut):
    """If the connection is lost between a commit and its answer, the trial begins, ends, resumes or is retried once,
    and its worker knows it."""
    url, proxy = cut
    writer = StudyWriter(make_study(url), new_worker())
    for number in range(3):  # trials that a lost worker leaves behind
        StudyWriter(writer.study, GONE).begin(number, proposal(f"lost{number}"))
    with lost_answer(proxy):
        writer.reap()
    with lost_answer(proxy):
        begun = writer.begin(3, proposal("a"))
    assert (begun.number, begun.state, begun.worker) == (3, "running", writer.worker)
    waiting = writer.begin(4, proposal("a"))
    assert waiting.same_as == 3
    with lost_answer(proxy):
        ended = writer.finish(3, COMPLETE)
    assert [(each.number, each.state) for each in ended] == [(3, "complete"), (4, "cached")]
    with lost_answer(proxy):
        refused = writer.refuse(5, proposal("big"), "rejected", "too large")
    assert refused.state == "rejected"
    with lost_answer(proxy):
        resumed = writer.resume()
    assert (resumed.number, resumed.attempt) == (0, 2)
    with lost_answer(proxy):
        writer.renew()
    failing = Ending("failed", reason="exploded")
    with lost_answer(proxy):
        (failed,) = writer.finish(0, failing)
    with lost_answer(proxy):
        retried_again = writer.retry(failed, {"macs": 1.0}, {}, None)
    assert (retried_again.number, retried_again.attempt, retried_again.state) == (0, 3, "running")
    with lost_answer(proxy):
        writer.finish(0, Ending("stopped", {}, RESULT, reason="hopeless"))
    with lost_answer(proxy):
        reopened = writer.reopen(0)
    assert (reopened.number, reopened.state, reopened.attempt) == (0, "running", 4)
    with lost_answer(proxy):
        writer.interrupt("Ctrl-C")
    states = {each.number: each.state for each in writer.study.trials()}
    assert states == {0: "interrupted", 1: "interrupted", 2: "interrupted", 3: "complete", 4: "cached", 5: "rejected"}
    assert not list(writer.study.artifacts.rglob("*.json"))
    writer.study.database.close()


def test_a_lost_answer_repeats_no_confirmation_and_no_study(cut):
    """A training that is claimed or ends, and a study that is created, while the answer is lost, exist once."""
    url, proxy = cut
    study = make_study(url)
    writer = ConfirmationWriter(study, new_worker())
    writer.keep_networks({"v1-a": '{"network": "a"}'})
    wanted = [Wanted("v1-a", 3, seed) for seed in range(2)]
    with lost_answer(proxy):
        claimed = writer.claim(wanted)
    assert (claimed.seed, claimed.attempt) == (0, 1)
    with lost_answer(proxy):
        ended = writer.finish(wanted[0], test={"accuracy": 0.5})
    assert ended.state == "complete"
    assert [record.state for record in study.confirmations()] == ["complete"]
    study.database.close()
    database = open_for_writing(url)
    with lost_answer(proxy):
        created = store_create(database)
    assert created.name == "one-2"
    assert {
        each for (each,) in database.read(lambda c: list(c.execute(text("SELECT name FROM explorer_studies"))))
    } == {
        "one",
        "one-2",
    }
    database.close()


def store_create(database):
    """Create another study of the name "one" with the first free name."""
    return create_study(
        database, "one", space_name="tiny", space_text="text", fingerprint={}, objectives={"accuracy": "max"}, seed=3,
        always_new=True,
    )  # fmt: skip


@pytest.mark.slow  # it starts a server of its own
def test_a_result_that_cannot_be_written_is_delivered_later(cluster, monkeypatch):
    """A result of a database that stays away, or refuses its user, is in a file, and the next worker stores it."""
    with cluster.database() as name:
        writer = StudyWriter(make_study(cluster.url(name)), GONE)
        writer.begin(0, proposal("a"))
        cluster.stop()
        writer.study.database.stop_retrying.set()  # as after ten minutes
        with pytest.raises(StoreError, match="cannot write to this database"):
            writer.finish(0, COMPLETE)
        assert len(list(writer.study.artifacts.rglob("*.json"))) == 1
        cluster.start()
        heir = StudyWriter(make_study(cluster.url(name)), new_worker())
        assert [(each.number, each.state) for each in heir.deliver()] == [(0, "complete")]
        assert not list(writer.study.artifacts.rglob("*.json"))
        writer.study.database.close()
        heir.study.database.close()


def test_what_does_not_pass_ends_at_once(postgresql, postgresql_url):
    """A database, a role or a server that does not exist, and a table that is missing, are reported on opening in one
    line and without retries."""
    for url, reason in (
        (postgresql.url("absent"), 'database "absent" does not exist'),
        (postgresql.url(user="absent"), 'role "absent" does not exist'),
        (postgresql.url(port=1), "refused"),
        ("postgresql://me@no-such-host.invalid/db", "resolve|not known|host name"),
    ):
        for opening in (open_for_reading, open_for_writing, check_storage):
            with pytest.raises(StoreError, match=reason) as raised:
                opening(url)
            assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("message", "at_first", "later"),
    [
        ("FATAL:  password authentication failed for user", False, False),
        ('FATAL:  database "x" does not exist', False, False),
        ("FATAL:  no pg_hba.conf entry for host", False, False),
        ("fe_sendauth: no password supplied", False, False),
        ("connection refused", False, True),
        ("could not translate host name: Temporary failure in name resolution", False, True),
        ("FATAL:  the database system is starting up", True, True),
        ("FATAL:  the database system is in recovery mode", True, True),
        ("FATAL:  sorry, too many clients already", True, True),
        ("FATAL:  remaining connection slots are reserved", True, True),
        ("FATAL:  no more connections allowed (max_client_conn)", True, True),
        ("server closed the connection unexpectedly", True, True),
    ],
)
def test_failed_connections_are_told_apart(message, at_first, later):
    """A refused user or database never passes; a busy server does; no server does once there was one."""
    import psycopg

    error = OperationalError("", {}, psycopg.OperationalError(message))
    assert (passes(error, reached=False), passes(error, reached=True)) == (at_first, later)


def test_a_process_has_one_connection(postgresql, postgresql_url):
    """Threads of one process share one connection to the server."""
    writer = StudyWriter(make_study(postgresql_url), new_worker())
    threads = [threading.Thread(target=writer.renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    name = postgresql_url.rpartition("/")[2]
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, postgresql.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")[0][0])
    for thread in threads:
        thread.join()
    count = postgresql.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")
    assert count == [(1,)] and most <= 1
    prepared = writer.study.database.read(
        lambda c: c.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar()
    )
    assert prepared == 0 and open_study(postgresql_url).name == "one"
    writer.study.database.close()
