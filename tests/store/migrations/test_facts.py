"""Databases of earlier versions are read the same before and after their migration."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

import explorer
from explorer.errors import StoreError
from explorer.space.search_space import parse_space
from explorer.store import migrations
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.schema import metadata
from explorer.store.studies import open_study
from explorer.store.writer import open_writer
from explorer.study.search import run_search
from tests.store.conftest import ELSEWHERE
from tests.store.migrations.earlier import (
    DATABASES,
    FACTS,
    everything,
    migrate,
    old_postgresql,
    url_of,
    version_of,
)


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
    curve = [replace(epoch, seconds=9.0) for epoch in record.result.curve]  # it was trained again
    writer.finish(3, Ending("stopped", result=replace(record.result, curve=tuple(curve))))
    given_up = writer.study.savings()["epochs_trained"] - before["epochs_trained"]
    assert given_up == record.result.epochs
    writer.study.database.close()


def test_a_reader_with_an_open_database_continues(full):
    """A study that was opened before the migration is read the same before and after it."""
    study = open_study(url_of(full), "measured")
    before = study.trials()
    migrate(url_of(full))
    assert study.trials() == before and study.limits == ("params <= 20k",)


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


def test_repeats_of_version_2_have_no_values_of_a_function(full):
    """A database of version 2 lacks the column of the values that ``evaluate`` returned: it is read as it is, with
    none, and has the column after the first write."""
    migrate(url_of(full))
    before = everything(url_of(full))
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("ALTER TABLE explorer_confirmations DROP COLUMN measured")
        connection.execute("ALTER TABLE explorer_trials DROP COLUMN counterpart")
        for column in ("note", "tags"):
            connection.execute(f"ALTER TABLE explorer_studies DROP COLUMN {column}")
            connection.execute(f"ALTER TABLE explorer_trials DROP COLUMN {column}")
        connection.execute("UPDATE explorer_schema SET version = 2")
    assert everything(url_of(full)) == before and version_of(full) == 2
    assert {record.measured == {} for record in open_study(url_of(full), "measured").confirmations()} == {True}
    migrate(url_of(full))
    assert everything(url_of(full)) == before and version_of(full) == migrations.SCHEMA_VERSION
