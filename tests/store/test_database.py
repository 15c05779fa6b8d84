"""Opening a database: concurrent creation, locks, and files that are not databases of the explorer."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import multiprocessing
import os
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest
from sqlalchemy.exc import OperationalError

from explorer.errors import StoreError
from explorer.records import Epoch, TrainingResult
from explorer.store import database as store_database
from explorer.store import sqlite_file
from explorer.store.database import open_for_reading, open_for_writing
from explorer.store.lease import new_worker
from explorer.store.migrations import SCHEMA_VERSION
from explorer.store.rows import Ending
from explorer.store.sqlite_file import has_locks, make_durable
from explorer.store.studies import list_studies, open_study
from explorer.store.writer import NumberTaken, StudyWriter
from tests.polling import PATIENCE
from tests.store.conftest import make_study, proposal


def create_and_begin(url: str, barrier, answers) -> None:
    """Create the study that other processes create in the same new file at the same moment."""
    barrier.wait()
    try:
        writer = StudyWriter(make_study(url), new_worker())
        writer.renew()
        answers.put("ok")
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.slow  # sixteen processes; test_creating.py has a test with eight
def test_eight_creators_of_one_file_all_succeed(tmp_path):
    """Eight processes create schema and study in one new file at once, twice, without a failure."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.test_database"])
    for round in range(2):
        url = f"sqlite:///{tmp_path}/{round}.db"
        barrier, answers = context.Barrier(8), context.Queue()
        processes = [context.Process(target=create_and_begin, args=(url, barrier, answers)) for _ in range(8)]
        for process in processes:
            process.start()
        assert [answers.get(timeout=PATIENCE) for _ in processes] == ["ok"] * 8
        for process in processes:
            process.join(PATIENCE)
        assert [summary.name for summary in list_studies(url)] == ["one"]


def write_six(url: str, answers) -> None:
    """Start six trials, and retry whenever another worker took the number."""
    writer, done = StudyWriter(make_study(url), new_worker()), 0
    while done < 6:
        number = sum(writer.study.counts().values())
        try:
            writer.begin(number, proposal(f"{writer.worker.rpartition(':')[2]}-{done}"))
        except NumberTaken:
            continue
        writer.finish(number, Ending("complete", {"accuracy": float(done), "macs": 1.0}))
        done += 1
        answers.put((number, float(done - 1)))


@pytest.mark.slow
def test_sixteen_writers_lose_nothing(tmp_path):
    """Sixteen processes write six trials each to one file: all 96 are stored, with numbers without gaps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.test_database"])
    url, answers = f"sqlite:///{tmp_path}/x.db", context.Queue()
    make_study(url).database.close()
    processes = [context.Process(target=write_six, args=(url, answers)) for _ in range(16)]
    for process in processes:
        process.start()
    acknowledged = dict(answers.get(timeout=PATIENCE) for _ in range(96))
    for process in processes:
        process.join(PATIENCE)
    records = open_study(url, "one").trials()
    assert [record.number for record in records] == list(range(96))
    assert {record.number: record.objectives["accuracy"] for record in records} == acknowledged


def test_a_failed_write_is_retried(url, caplog):
    """A full or locked database is written to once it is available; the wait is bounded and logged."""
    database, calls = open_for_writing(url), []

    def full_twice(connection):
        calls.append(connection)
        if len(calls) < 3:
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
        return "written"

    assert database.write(full_twice) == "written" and len(calls) == 3
    assert caplog.text.count("database or disk is full; trying again") == 2
    calls.clear()
    with pytest.raises(StoreError, match="cannot write to this database: database or disk is full"):
        database.write(full_twice, retry_seconds=0)
    assert len(calls) == 1
    database.close()


def test_sqlite_is_opened_with_durable_settings(url, monkeypatch):
    """SQLite is opened with WAL, full synchronisation and a busy timeout of one minute."""
    monkeypatch.setattr(store_database, "make_durable", make_durable)  # as outside of tests
    database = open_for_writing(url)
    found = [
        database.read(lambda connection, name=name: connection.exec_driver_sql(f"PRAGMA {name}").scalar())
        for name in ("journal_mode", "synchronous", "busy_timeout")
    ]
    database.close()
    assert found == ["wal", 2, 60_000]


def test_reading_creates_no_file(tmp_path):
    """Reading a missing file gives a one-line error and creates no file."""
    with pytest.raises(StoreError, match=r"there is no file .*absent.db; 'explorer search' creates it"):
        open_study(f"sqlite:///{tmp_path}/absent.db", "one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"just text, no database", "is not an SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "cannot read"),
    ],
)
def test_a_file_that_is_no_database_is_unchanged(tmp_path, content, message):
    """A file that is not a database is rejected in one line, and its bytes stay unchanged."""
    file = tmp_path / "x.db"
    file.write_bytes(content)
    with pytest.raises(StoreError, match=message) as caught:
        open_for_reading(f"sqlite:///{file}")
    assert "\n" not in str(caught.value) and file.read_bytes() == content and list(tmp_path.iterdir()) == [file]
    if content:
        with pytest.raises(StoreError):
            open_for_writing(f"sqlite:///{file}")
        assert file.read_bytes() == content


def test_a_truncated_database_is_rejected(url, tmp_path):
    """A truncated file raises a StoreError instead of crashing, and the complete file is readable."""
    study = make_study(url)
    writer = StudyWriter(study, new_worker())
    for number in range(40):
        writer.begin(number, proposal(f"n{number}", filler="x" * 500))
    study.database.close()
    assert len(open_study(url, "one").trials()) == 40
    file = tmp_path / "explorer.db"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StoreError, match="cannot read this database"):
        open_study(url, "one").trials()


def test_a_zeroed_page_is_reported_or_harmless(url, tmp_path):
    """With any page zeroed, reads give all trials or a StoreError, and a writer that cannot open the file leaves its
    bytes unchanged."""
    study = make_study(url)
    writer = StudyWriter(study, new_worker())
    curve = tuple(Epoch(epoch, 0.5, 0.3, 0.9, 1.0, 0.1, 2.0) for epoch in range(1, 60))
    for number in range(12):
        writer.begin(number, proposal(f"n{number}", filler="x" * 300))
        writer.finish(
            number, Ending("complete", {"accuracy": 0.5}, TrainingResult(0.9, 0.3, 1.0, 59, 2.5, 100.0, curve))
        )
    study.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM explorer_claims WHERE number > 4"))
    before = study.trials()
    study.database.close()
    file = tmp_path / "explorer.db"
    whole = file.read_bytes()
    pages = len(whole) // 4096
    assert pages >= 25
    refused = 0
    for page in range(pages):
        damaged = whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :]
        file.write_bytes(damaged)
        try:
            assert open_study(url, "one").trials() == before
        except StoreError as error:
            assert "\n" not in str(error)
        try:
            database = open_for_writing(url)
        except StoreError as error:
            refused += 1
            assert "\n" not in str(error) and str(file) in str(error)
            assert file.read_bytes() == damaged
        else:
            database.close()
    assert refused > pages / 2


def test_a_foreign_database_is_rejected_by_readers(tmp_path):
    """A database without the explorer's tables has no studies, and reading adds no tables."""
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE studies (id)")
    connection.commit()
    connection.close()
    before = hashlib.sha256(file.read_bytes()).digest()
    with pytest.raises(StoreError, match="holds no studies of the explorer"):
        list_studies(f"sqlite:///{file}")
    assert hashlib.sha256(file.read_bytes()).digest() == before


@pytest.mark.parametrize("found, advice", [(99, "update the explorer"), (0, "the version that wrote it")])
def test_another_schema_version_is_refused(url, tmp_path, found, advice):
    """Readers and writers reject tables of a later or an unknown version and leave them unchanged."""
    make_study(url).database.close()
    connection = sqlite3.connect(tmp_path / "explorer.db")
    connection.execute("UPDATE explorer_schema SET version = ?", (found,))
    connection.commit()
    connection.close()
    for opening in (open_for_reading, open_for_writing):
        with pytest.raises(
            StoreError, match=f"of version {found}, this explorer reads versions 1 to {SCHEMA_VERSION}; .*{advice}"
        ):
            opening(url)


FOREIGN = [
    ("ALTER TABLE explorer_trials RENAME TO kept; CREATE VIEW explorer_trials AS SELECT * FROM kept", "is a view"),
    ("DROP TABLE explorer_claims", "the table explorer_claims is missing"),
    ("ALTER TABLE explorer_claims DROP COLUMN number", "the column number of the table explorer_claims is missing"),
    (
        "DROP TABLE explorer_claims; CREATE TABLE explorer_claims (study_id, digest, number AS (7))",
        "column number of the table explorer_claims is computed",
    ),
]


@pytest.mark.parametrize("change, message", FOREIGN)
def test_unusable_tables_are_rejected_on_opening(url, tmp_path, change, message):
    """A view, a missing table or column, and a computed column give readers and writers a one-line error."""
    make_study(url).database.close()
    with closing(sqlite3.connect(tmp_path / "explorer.db")) as connection:
        connection.executescript(change)
    for opening in (open_for_reading, open_for_writing):
        with pytest.raises(StoreError, match=message):
            opening(url)


def test_a_database_with_a_trigger_is_read_only(url, tmp_path):
    """Writers reject a database with a trigger, because the trigger could discard trials without an error."""
    make_study(url).database.close()
    with closing(sqlite3.connect(tmp_path / "explorer.db")) as connection:
        connection.execute("CREATE TRIGGER lost BEFORE INSERT ON explorer_trials BEGIN SELECT raise(IGNORE); END")
    assert open_study(url, "one").trials() == []
    with pytest.raises(StoreError, match="the table explorer_trials has a trigger, 'lost'"):
        open_for_writing(url)


def test_readers_cannot_write(url):
    """Readers open the file read-only."""
    make_study(url).database.close()
    study = open_study(url, "one")
    with pytest.raises(StoreError, match="readonly"):
        StudyWriter(study, new_worker()).study.database.write(
            lambda connection: connection.exec_driver_sql("DELETE FROM explorer_studies"), retry_seconds=0
        )
    assert open_study(url, "one") == study


@pytest.fixture
def archive(tmp_path):
    """Return a folder and a function that makes it read-only, by a mount for a user who may write everywhere."""
    folder = tmp_path / "archive"
    folder.mkdir()
    if os.geteuid() != 0:
        yield folder, lambda: folder.chmod(0o555)
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("cannot mount here, and root can write to any folder")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder_is_read_but_not_written(archive):
    """A database in a read-only folder is readable; a search in it or of a new file is refused in one line that does
    not call it damaged."""
    folder, close = archive
    url = f"sqlite:///{folder}/explorer.db"
    writer = StudyWriter(make_study(url), new_worker())
    writer.begin(0, proposal("a"))
    writer.study.database.close()
    close()
    assert [record.digest for record in open_study(url, "one").trials()] == ["v1-a"]
    for name in ("explorer.db", "new.db"):
        with pytest.raises(StoreError, match="archive cannot be written to; copy the database, or give another"):
            open_for_writing(f"sqlite:///{folder}/{name}")


@pytest.mark.parametrize(
    "storage, message",
    [
        ("studies", "write sqlite:///studies for a file of this name"),
        ("mysql://u:canary@h/x", "expected a path, sqlite:///FILE or"),
        ("sqlite://", "in memory"),
        ("sqlite:///x.db?mode=ro", "a plain path"),
        ("postgres ql://u:canary@h/x", "not a storage URL"),
    ],
)
def test_invalid_urls_give_one_line(storage, message):
    """An invalid storage URL gives a line with a valid example and without the password."""
    for opening in (open_for_reading, open_for_writing):
        with pytest.raises(StoreError) as caught:
            opening(storage)
        assert message in str(caught.value)
        assert "canary" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_unreachable_server_is_reported_without_its_password(monkeypatch):
    """An unreachable PostgreSQL server or a missing driver gives one line without the password."""
    with pytest.raises(StoreError) as caught:
        open_for_reading("postgresql+psycopg://user:canary@127.0.0.1:1/x?connect_timeout=1")
    assert (
        "canary" not in str(caught.value)
        and "user:***@127.0.0.1" in str(caught.value)
        and "\n" not in str(caught.value)
    )


def test_special_characters_in_file_names_are_kept(tmp_path):
    """A path with question marks, percent signs and hashes refers to the file with exactly that name."""
    url = f"sqlite:///{tmp_path}/100% #1.db"
    make_study(url).database.close()
    assert [summary.name for summary in list_studies(url)] == ["one"]
    assert (tmp_path / "100% #1.db").exists()


def test_a_file_system_without_locks_is_reported_and_readable(url, tmp_path, monkeypatch):
    """Without file locks, writing is refused with one line of advice, and a database at rest is readable."""
    StudyWriter(make_study(url), new_worker()).study.database.close()
    assert has_locks(tmp_path)

    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    def unlocked(address, **settings):
        if "immutable=1" not in address:
            raise sqlite3.OperationalError("database is locked")
        return connect(address, **settings)

    connect = sqlite3.connect
    monkeypatch.setattr(fcntl, "lockf", refused)
    with pytest.raises(StoreError, match="does not support file locks, which SQLite needs; put the database in"):
        open_for_writing(url)
    monkeypatch.setattr(sqlite3, "connect", unlocked)
    assert open_study(url, "one").counts()["running"] == 0
    (tmp_path / "explorer.db-wal").write_bytes(b"not in the file yet")
    with pytest.raises(StoreError, match="does not support file locks"):
        open_study(url, "one")


def test_waiting_for_a_lock_is_reported(url, tmp_path, monkeypatch, caplog):
    """A writer that waits for another program's lock logs this soon and continues when the lock is released."""
    monkeypatch.setattr(sqlite_file, "LOCK_WARNING_SECONDS", 0.1)
    writer = StudyWriter(make_study(url), new_worker())
    with closing(sqlite3.connect(tmp_path / "explorer.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(1.0, other.execute, ["ROLLBACK"])
        release.start()
        assert writer.begin(0, proposal("a")).state == "running"
        release.join()
    assert "another program may hold a lock on it" in caplog.text
