"""Databases of earlier versions are readable unchanged, migrated before the first write, and resumed.

``version_1_full.db`` was written by commit 2dbbf87, and ``version_1_full.json`` says what that commit read in it. Its
studies: ``measured`` has latencies, a limit, gradient flows and trainings from fresh seeds; ``stopped`` has trials that
a rule stopped, one after it was begun again; ``folder`` was trained on a folder of images; trials of ``simulated`` and
``slow`` failed; ``limited`` has a cached and a rejected trial; ``interrupted`` was ended by SIGINT.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

import explorer
from explorer.errors import StoreError
from explorer.space.search_space import parse_space
from explorer.store import migrations, sqlite_file
from explorer.store.database import open_for_reading, open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.schema import metadata
from explorer.store.studies import list_studies, open_study
from explorer.store.writer import open_writer
from explorer.study.search import run_search
from tests.store.conftest import ELSEWHERE, GONE

ROOT = Path(__file__).parents[2]
DATABASES = Path(__file__).parent / "databases"
NAMES = ("version_1", "version_1_full")
FACTS = json.loads((DATABASES / "version_1_full.json").read_text())


@pytest.fixture(params=NAMES)
def each(request, tmp_path) -> Path:
    """A copy of each database."""
    return copy(request.param, tmp_path)


@pytest.fixture
def full(tmp_path) -> Path:
    """A copy of the database that has facts of every kind."""
    return copy("version_1_full", tmp_path)


def copy(name: str, folder: Path) -> Path:
    return Path(shutil.copy(DATABASES / f"{name}.db", folder / "explorer.db"))


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def everything(storage: str) -> dict[str, list]:
    """Return all that can be read of each study."""
    found = {}
    for summary in list_studies(storage):
        study = open_study(storage, summary.name)
        records = study.trials()
        flows = [study.gradient_flow(record.digest) for record in records]
        own = [study.limits, study.data_places, dict(study.fingerprint), study.revision, study.savings()]
        found[study.name] = [records, study.confirmations(), study.leases(), study.curves(), flows, own]
    return found


def rows_of(file: Path) -> dict[str, list]:
    """Return the rows of every table, read without the explorer."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def version_of(file: Path) -> int:
    return rows_of(file)["explorer_schema"][0][0]


def migrate(storage: str) -> None:
    open_for_writing(storage).close()


def backups(file: Path) -> list[str]:
    return sorted(each.name for each in file.parent.glob("*.bak"))


def test_every_fact_is_read_as_in_the_version_that_wrote_it(full):
    """Facts that version 1 stored in sampler notes and fingerprints are read the same before and after the
    migration."""
    for _ in range(2):
        for name, told in FACTS.items():
            study = open_study(url_of(full), name)
            assert list(study.limits) == told["limits"] and dict(study.fingerprint) == told["fingerprint"]
            assert [dict(place) for place in study.data_places] == told["data_places"]
            assert study.savings() == told["savings"]
            for record, facts in zip(study.trials(), told["trials"], strict=True):
                assert {fact: getattr(record, fact) for fact in facts} == facts
        migrate(url_of(full))
    states = {facts["state"] for told in FACTS.values() for facts in told["trials"]}
    assert states == {"complete", "stopped", "failed", "cached", "rejected", "interrupted"}
    assert open_study(url_of(full), "measured").confirmations() and open_study(url_of(full), "folder").data_places


def test_reading_does_not_change_a_database(each):
    """Reading an old database writes nothing, and gives the same facts as after the migration."""
    before, content = everything(url_of(each)), each.read_bytes()
    assert content == (DATABASES / f"{'version_1_full' if 'measured' in before else 'version_1'}.db").read_bytes()
    assert {name.name for name in each.parent.iterdir()} <= {each.name, f"{each.name}-wal", f"{each.name}-shm"}
    migrate(url_of(each))
    assert everything(url_of(each)) == before and version_of(each) == migrations.SCHEMA_VERSION


def test_a_migrated_database_has_the_tables_of_a_new_one(each, tmp_path):
    """All columns have the names, types, defaults and NOT NULL of a new database, and the indexes are the same."""

    same = {"TEXT": "VARCHAR", "false": "0"}  # other names for the same type and value

    def described(file: Path) -> dict:
        with closing(sqlite3.connect(file)) as connection:
            found = {
                table: sorted(
                    tuple(same.get(each, each) for each in row[1:])
                    for row in connection.execute(f"PRAGMA table_info({table})")
                )
                for table in metadata.tables
            }
            indexes = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
            return found | {"indexes": sorted(indexes)}

    migrate(url_of(each))
    migrate(url_of(tmp_path / "new.db"))
    assert described(each) == described(tmp_path / "new.db")


def test_one_backup_is_made(full, caplog):
    """Before the first write the database is copied with its mode and its log, and the message names the copy; the next
    opening makes none."""
    full.chmod(0o640)
    held = sqlite3.connect(full)  # a reader keeps the log from being merged
    held.execute("SELECT count(*) FROM explorer_trials").fetchone()
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("UPDATE explorer_trials SET weights = ? WHERE study_id = 1 AND number = 0", ("a" * 64,))
        connection.commit()
    before = rows_of(full)
    migrate(url_of(full))
    held.close()
    assert backups(full) == ["explorer.db.v1.bak"] and f"{full}.v1.bak" in caplog.text
    kept = full.with_name("explorer.db.v1.bak")
    assert rows_of(kept) == before and stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert before["explorer_trials"] != rows_of(DATABASES / "version_1_full.db")["explorer_trials"]
    caplog.clear()
    migrate(url_of(full))
    assert backups(full) == ["explorer.db.v1.bak"] and caplog.text == ""
    assert everything(url_of(kept)) == everything(url_of(full))


def test_no_file_is_overwritten(full):
    """An existing copy stays, and the new one gets the next free name."""
    earlier = full.with_name("explorer.db.v1.bak")
    earlier.write_bytes(b"mine")
    migrate(url_of(full))
    assert earlier.read_bytes() == b"mine" and backups(full) == ["explorer.db.v1-2.bak", "explorer.db.v1.bak"]
    assert version_of(full.with_name("explorer.db.v1-2.bak")) == 1


def test_a_full_disk_is_reported_before_any_change(full, monkeypatch):
    """If the copy cannot be written, one line says so and the database stays unchanged."""
    content = full.read_bytes()
    usage = shutil.disk_usage(full.parent)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100_000))
        with pytest.raises(StoreError, match=r"is copied to explorer.db.v1.bak, for which 0.4 MiB are needed"):
            migrate(url_of(full))

    def full_disk(path, write):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_file, "write_whole", full_disk)
        with pytest.raises(StoreError, match=r"the copy .*v1.bak .* cannot be written: .*No space left") as caught:
            migrate(url_of(full))
    assert "\n" not in str(caught.value) and full.read_bytes() == content and backups(full) == []


def test_a_damaged_database_is_not_migrated(full):
    """Notes that are not JSON give readers and writers a one-line error, and nothing is changed."""
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("UPDATE explorer_trials SET sampler = '{' WHERE study_id = 1 AND number = 2")
        connection.commit()
    before = rows_of(full)
    for ask in (lambda: open_study(url_of(full), "measured").trials(), lambda: migrate(url_of(full))):
        with pytest.raises(StoreError, match="malformed JSON") as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert rows_of(full) == before and backups(full) == []


def test_the_values_of_new_columns_are_checked(full):
    """An invalid value in a new column is rejected by name, before and after the migration."""
    notes = '{"explorer:latency": {"environment": 1}}'
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("UPDATE explorer_trials SET sampler = ? WHERE study_id = 1 AND number = 2", (notes,))
        connection.commit()
    for _ in range(2):
        with pytest.raises(StoreError, match="explorer_trials, trial 2, column latency: expected JSON of an object"):
            open_study(url_of(full), "measured").trials(full=False)
        migrate(url_of(full))


@pytest.mark.parametrize(
    "reason, kind",
    [
        ("RuntimeError: exploded (s.py:3)", "code"),
        ("the trial's process died of SIGSEGV", "died"),
        ("it took longer than the 3 s that a trial may take", "limit"),
        ("it held 3.0 GiB of memory, more than the 2.0 GiB that a trial may hold", "limit"),
        ("epoch 1: the loss is not finite; a lower learning rate may help", "network"),
        ("its worker was lost 4 times", "lost"),
    ],
)
def test_a_missing_kind_of_failure_is_derived_from_the_reason(full, reason, kind):
    """A failure stored before kinds existed gets its kind from its reason."""
    with closing(sqlite3.connect(full)) as connection:
        change = "UPDATE explorer_trials SET state = 'failed', sampler = '{}', reason = ? WHERE study_id = 1"
        connection.execute(change, (reason,))
        connection.commit()
    for _ in range(2):
        assert {record.failure for record in open_study(url_of(full), "measured").trials()} == {kind}
        migrate(url_of(full))


def by_parameters(architecture, *, choices, epochs, seed):
    return {"accuracy": min(1.0, explorer.cost(architecture).params / 1e6)}


def test_a_migrated_study_resumes(full):
    """A search resumes the interrupted trial with its number and seed, and a study with a limit keeps that limit."""
    before = open_study(url_of(full), "interrupted").trials()
    space = parse_space(open_study(url_of(full), "interrupted").space_text, "preact_variants.yaml")
    settings = {"evaluate": by_parameters, "storage": url_of(full), "sampler": "random", "changed_code": "continue"}
    after = run_search(space, study="interrupted", trials=4, **settings).study.trials()
    (waited,) = [record for record in before if record.state == "interrupted"]
    taken = after[waited.number]
    assert (taken.state, taken.seed, taken.attempt) == ("complete", waited.seed, 1) and len(after) > len(before)
    assert [r for r in after if r.number in {b.number for b in before if b.state == "complete"}] == before[:1]
    limited = run_search(space, study="limited", trials=6, **settings).study
    assert limited.limits == ("params <= 40k",) and limited.counts()["complete"] == 6
    assert all(record.costs["params"] <= 40e3 for record in limited.trials() if record.state == "complete")


def test_a_restarted_trial_keeps_its_counts(full):
    """An attempt that its search interrupted is not counted, and the epochs of a stopped attempt are kept."""
    writer = open_writer(url_of(full), "interrupted", new_worker())
    assert writer.resume().attempt == 1
    writer.study.database.close()
    writer = open_writer(url_of(full), "stopped", new_worker())
    (record,) = [record for record in writer.study.trials() if record.number == 3]
    assert record.expected["accuracy"] == pytest.approx(0.100634, abs=1e-6)
    before = writer.study.savings()
    assert writer.reopen(3).attempt == record.attempt + 1
    writer.finish(3, Ending("stopped", result=record.result))
    given_up = writer.study.savings()["epochs_trained"] - before["epochs_trained"]
    assert given_up == record.result.epochs
    writer.study.database.close()


def open_and_report(storage: str, barrier, answers) -> None:
    """Open an old database for writing, in one of several concurrent processes."""
    barrier.wait(60)
    try:
        migrate(storage)
        answers.put("ok")
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("kind", ["file", "postgresql"])
def test_one_of_two_processes_migrates(kind, request, full):
    """When two processes open an old database at once, both continue, and it is migrated and copied once."""
    storage = old_postgresql(request) if kind == "postgresql" else url_of(full)
    context = multiprocessing.get_context("forkserver")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=open_and_report, args=(storage, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == ["ok", "ok"]
    for process in processes:
        process.join(60)
    assert backups(full) == (["explorer.db.v1.bak"] if kind == "file" else [])
    assert everything(storage)["measured"] == everything(url_of(copy("version_1_full", full.parent)))["measured"]


KILLED = """
import os, signal, sys
from sqlalchemy import Connection
from explorer.store import migrations
from explorer.store.database import open_for_writing
done, execute = [], Connection.execute
def counted(self, statement, *args, **kwargs):
    if str(statement).startswith(("ALTER", "UPDATE explorer_")):
        done.append(statement)
        if len(done) > int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, statement, *args, **kwargs)
Connection.execute = counted
open_for_writing(sys.argv[1])
"""


@pytest.mark.parametrize("statements", [*(pytest.param(few, marks=pytest.mark.slow) for few in (0, 4)), 9])
def test_a_killed_migration_changes_nothing(full, statements):
    """A process killed during the migration leaves the tables of version 1, and the next opening migrates them."""
    before = everything(url_of(full))
    killed = subprocess.run([sys.executable, "-c", KILLED, url_of(full), str(statements)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL and version_of(full) == 1
    assert everything(url_of(full)) == before and backups(full) == ["explorer.db.v1.bak"]
    migrate(url_of(full))
    assert everything(url_of(full)) == before and version_of(full) == migrations.SCHEMA_VERSION


def lease(file: Path, worker: str, seconds: float, table: str = "explorer_trials") -> None:
    with closing(sqlite3.connect(file)) as connection:
        values = (worker, time.time() + seconds)
        row = f"rowid IN (SELECT rowid FROM {table} LIMIT 1)"
        connection.execute(f"UPDATE {table} SET state = 'running', worker = ?, lease_until = ? WHERE {row}", values)
        connection.commit()


@pytest.mark.parametrize("table", ["explorer_trials", "explorer_confirmations"])
def test_a_running_worker_of_an_earlier_version_blocks_migration(full, table):
    """While a worker of an earlier version holds a lease, writers are refused in one line and readers can read."""
    lease(full, ELSEWHERE, 50.0, table)
    content = rows_of(full)
    with pytest.raises(StoreError, match=r"a worker of an earlier version .* on host 'elsewhere'; end it") as caught:
        migrate(url_of(full))
    assert "\n" not in str(caught.value) and rows_of(full) == content and backups(full) == []
    assert len(everything(url_of(full))) == len(FACTS)


@pytest.mark.parametrize(("worker", "seconds"), [(GONE, 50.0), (ELSEWHERE, -1.0)])
def test_a_lost_worker_of_an_earlier_version_does_not_block_migration(full, worker, seconds):
    """A lease whose worker has ended on this machine, or that has expired, does not block the migration."""
    lease(full, worker, seconds)
    migrate(url_of(full))
    assert version_of(full) == migrations.SCHEMA_VERSION


def test_a_process_of_the_earlier_version_fails_after_migration(full):
    """Version 1 reads and writes a column that no longer exists, so it fails instead of storing facts in the notes."""
    with closing(sqlite3.connect(full)) as earlier:
        read = "SELECT number, state, sampler FROM explorer_trials"
        assert earlier.execute(read).fetchall()
        migrate(url_of(full))
        for statement in (read, "UPDATE explorer_trials SET sampler = '{}'"):
            with pytest.raises(sqlite3.OperationalError, match="no such column: sampler"):
                earlier.execute(statement)


def test_a_reader_with_an_open_database_continues(full):
    """A study that was opened before the migration is read the same before and after it."""
    study = open_study(url_of(full), "measured")
    before = study.trials()
    migrate(url_of(full))
    assert study.trials() == before and study.limits == ("params <= 20k",)


def test_a_later_version_is_refused(full):
    """A database of an unknown later version is refused in one line, with advice to update."""
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("UPDATE explorer_schema SET version = 5")
        connection.commit()
    for opening in (open_for_reading, open_for_writing):
        with pytest.raises(StoreError, match="of version 5, this explorer reads versions 1 to 4; update the explorer"):
            opening(url_of(full))


def test_a_trigger_in_an_old_database_blocks_migration(full):
    """A database with a trigger is not migrated, because the trigger could discard the moved rows."""
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("CREATE TRIGGER lost BEFORE UPDATE ON explorer_trials BEGIN SELECT raise(IGNORE); END")
    with pytest.raises(StoreError, match="has a trigger, 'lost'"):
        migrate(url_of(full))
    assert version_of(full) == 1 and backups(full) == []


def old_postgresql(request) -> str:
    """A PostgreSQL storage with the rows of ``version_1_full.db`` in tables of version 1."""
    storage = request.getfixturevalue("postgresql_url")
    engine = sqlalchemy.create_engine(storage)
    migrate(storage)
    with engine.begin() as connection:
        for step in reversed(migrations.STEPS):
            for change in step:
                if change.kind:
                    connection.exec_driver_sql(f"ALTER TABLE {change.table} DROP COLUMN {change.column}")
                elif change.renamed_from:
                    renamed = f"{change.column} TO {change.renamed_from}"
                    connection.exec_driver_sql(f"ALTER TABLE {change.table} RENAME COLUMN {renamed}")
        connection.exec_driver_sql("UPDATE explorer_schema SET version = 1")
        with closing(sqlite3.connect(DATABASES / "version_1_full.db")) as source:
            source.row_factory = sqlite3.Row
            for table in (table for table in metadata.sorted_tables if table.name != "explorer_schema"):
                for row in map(dict, source.execute(f"SELECT * FROM {table.name}")):
                    if "resumable" in row:
                        row["resumable"] = bool(row["resumable"])
                    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
                    insert = sqlalchemy.text(f"INSERT INTO {table.name} ({names}) VALUES ({values})")
                    connection.execute(insert, row)
    engine.dispose()
    return storage


@pytest.mark.slow
def test_postgresql_is_read_and_migrated(request, full):
    """An old PostgreSQL database is read before and after its migration like SQLite, and a worker of an earlier version
    blocks it."""
    storage, told = old_postgresql(request), everything(url_of(full))
    assert everything(storage) == told
    engine = sqlalchemy.create_engine(storage)
    living = f"UPDATE explorer_trials SET state = 'running', worker = '{ELSEWHERE}', lease_until = {time.time() + 50}"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version FROM explorer_schema").scalar() == 1
        was = connection.exec_driver_sql("SELECT * FROM explorer_trials WHERE study_id = 1 AND number = 0").one()
        connection.exec_driver_sql(f"{living} WHERE study_id = 1 AND number = 0")
        connection.commit()
        with pytest.raises(StoreError, match="a worker of an earlier version"):
            migrate(storage)
        back = "UPDATE explorer_trials SET state = 'complete', worker = %s, lease_until = NULL"
        connection.exec_driver_sql(f"{back} WHERE study_id = 1 AND number = 0", (was.worker,))
        connection.commit()
    engine.dispose()
    migrate(storage)
    assert everything(storage) == told
    writer = open_writer(storage, "interrupted", new_worker())
    assert writer.resume().attempt == 1
    writer.study.database.close()


ADDED = {
    "explorer/records.py": (
        "    duration: float | None = None\n",
        "    duration: float | None = None\n    priority: int = 0\n",
    ),
    "explorer/store/schema.py": (
        '    _column("in_order"',
        '    _column("priority", Integer, whole(0), server_default="7"),\n    _column("in_order"',
    ),
    "explorer/store/migrations.py": (
        "step_4())",
        """step_4(), [Change("explorer_trials", "priority", "7", "INTEGER DEFAULT '7' NOT NULL")])""",
    ),
}
USES_IT = """
import sys
from explorer.store.database import open_for_writing
from explorer.store.studies import open_study
from explorer.store.lease import new_worker
from explorer.store.writer import Ending, open_writer
url = sys.argv[1]
before = open_study(url, "measured").trials()
assert {record.priority for record in before} == {7}, before
open_for_writing(url).close()
assert open_study(url, "measured").trials() == before
assert open_writer(url, "interrupted", new_worker()).resume().priority == 7
open_for_writing(f"{url}.new").close()
print("kept")
"""


@pytest.mark.parametrize("migrated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_new_column_is_a_field_a_column_and_a_step(full, tmp_path, migrated):
    """A record's field, its column and a migration step are enough to add a fact to trials, in databases of every
    version."""
    if migrated:
        migrate(url_of(full))
    shutil.copytree(ROOT / "explorer", tmp_path / "code" / "explorer", ignore=shutil.ignore_patterns("__pycache__"))
    for path, (before, after) in ADDED.items():
        file = tmp_path / "code" / path
        text = file.read_text()
        assert text.count(before) == 1, path
        file.write_text(text.replace(before, after))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    command = [sys.executable, "-c", USES_IT, url_of(full)]
    run = subprocess.run(command, cwd=tmp_path / "code", env=environment, capture_output=True, text=True)
    assert run.stdout == "kept\n", run.stderr


def test_repeats_of_version_2_have_no_values_of_a_function(full):
    """A database of version 2 lacks the column of the values that ``evaluate`` returned: it is read as it is, with
    none, and has the column after the first write."""
    migrate(url_of(full))
    before = everything(url_of(full))
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("ALTER TABLE explorer_confirmations DROP COLUMN measured")
        connection.execute("ALTER TABLE explorer_trials DROP COLUMN counterpart")
        connection.execute("UPDATE explorer_schema SET version = 2")
    assert everything(url_of(full)) == before and version_of(full) == 2
    assert {record.measured == {} for record in open_study(url_of(full), "measured").confirmations()} == {True}
    migrate(url_of(full))
    assert everything(url_of(full)) == before and version_of(full) == migrations.SCHEMA_VERSION
