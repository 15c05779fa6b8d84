"""The tables of the database, how each column stores a field of a record, and the validation of the tables.

The ``Stored`` of a column defines how its values are validated, read and written; ``rows`` applies it. A column of
``explorer_trials`` stores the field of ``TrialRecord``, ``Ending`` or ``Proposal`` that has the same name. The columns
of other tables store fields of ``Study`` and ``ConfirmationRecord``. Each change to a table needs a step in
``migrations``.

``explorer_studies.revision`` grows by one with every change to a trial of the study, and the trial stores the revision
of its last change. So a reader can select only the trials that changed since its last read.
``explorer_claims`` assigns each network of a study to one trial; its primary key prevents a second training.
PostgreSQL enforces the types of columns. SQLite stores values of any type in any column, and its file may come from an
untrusted source.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    false,
)
from sqlalchemy import text as text_clause

from explorer.errors import StoreError
from explorer.records import FAILURES, STATES
from explorer.store.checking import (
    COUNTERPART,
    DATA_PLACES,
    FLAG,
    LATENCY,
    LIMITS,
    MAX_NOTE_LENGTH,
    MAX_REASON_LENGTH,
    NETWORK_DIGEST,
    NUMBER,
    NUMBERS,
    OBJECT,
    OBJECTIVES,
    RESULT,
    SECONDS,
    SEED_RANGE,
    SETTINGS,
    SHA256,
    TAGS,
    TASKS,
    TEXTS,
    TIMESTAMP,
    Check,
    Stored,
    json_list,
    json_object,
    matching,
    one_of,
    optional,
    text,
    whole,
)
from explorer.system.plain_text import printable, storable

STORED = "stored"  # the key of a column's ``Stored`` in its ``info``
SINCE = "since"  # the key, in a table's ``info``, of the first schema version in which all databases have the table


class PlainText(TypeDecorator[str]):
    """Text without characters that a database cannot store or that control a terminal."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace characters that a database cannot store."""
        return storable(value) if isinstance(value, str) else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace characters that control a terminal."""
        return printable(value) if isinstance(value, str) else value


def _column(name: str, kind: Any, stored: Stored | Check, *more: Any, **options: Any) -> Column[Any]:
    """Return a column of type ``kind`` that stores its values as ``stored``; NOT NULL unless in ``options``."""
    stored = Stored(stored) if isinstance(stored, Check) else stored
    return Column(name, kind, *more, info={STORED: stored}, **{"nullable": False, **options})


metadata = MetaData()

version = Table("explorer_schema", metadata, Column("version", Integer, nullable=False))

studies = Table(
    "explorer_studies",
    metadata,
    _column("id", Integer, whole(0), primary_key=True),
    _column("name", PlainText(200), text(200, 1), unique=True),
    _column("created", Float, TIMESTAMP),
    _column("space_name", PlainText(), text(10_000)),
    _column("space_text", PlainText(), text()),
    _column("fingerprint", PlainText(), json_object(SETTINGS)),  # the settings that must be the same to resume it
    _column("objectives", PlainText(), json_object(OBJECTIVES)),  # name -> "max" or "min"
    _column("seed", BigInteger, whole(*SEED_RANGE)),
    _column("revision", BigInteger, whole(0)),
    _column("limits", PlainText(), json_list(LIMITS), server_default="[]"),
    _column("data_places", PlainText(), json_list(DATA_PLACES), server_default="[]"),
    _column("note", PlainText(), text(MAX_NOTE_LENGTH), server_default=""),
    _column("tags", PlainText(), json_list(TAGS), server_default="[]"),
)

architectures = Table(
    "explorer_architectures",
    metadata,
    Column("digest", PlainText(80), primary_key=True),
    Column("json", PlainText(), nullable=False),
)

environments = Table(
    "explorer_environments",
    metadata,
    Column("digest", PlainText(80), primary_key=True),
    Column("json", PlainText(), nullable=False),
)

_RUNNING = text_clause("state = 'running'")  # of few trials, which each worker looks for often
trials = Table(
    "explorer_trials",
    metadata,
    _column("study_id", Integer, whole(0), ForeignKey("explorer_studies.id"), primary_key=True),
    _column("number", Integer, whole(0), primary_key=True, autoincrement=False),
    _column("state", PlainText(10), one_of(*(state for state in STATES if state != "interrupted"))),
    _column("reason", PlainText(), text(MAX_REASON_LENGTH), default=""),
    _column("digest", PlainText(80), NETWORK_DIGEST, ForeignKey("explorer_architectures.digest")),
    _column("choices", PlainText(), json_object(TEXTS)),  # choice point -> the text of the chosen alternative
    _column("costs", PlainText(), json_object(NUMBERS)),
    _column("objectives", PlainText(), json_object(NUMBERS), default="{}"),
    _column("result", PlainText(), RESULT, nullable=True),  # a TrainingResult with its curve
    _column("same_as", Integer, optional(whole(0)), nullable=True),  # the trial that has claimed the same network
    _column("seed", BigInteger, whole(*SEED_RANGE)),
    _column("attempt", Integer, whole(1), default=1),
    _column("worker", PlainText(), text(1_000)),  # the worker that runs the trial, or ran it last
    _column("lease_until", Float, optional(NUMBER), nullable=True),  # of a running trial
    _column("resumable", Boolean, FLAG, default=False),  # it was interrupted and can be resumed
    _column(
        "environment", PlainText(80), optional(text(80)), ForeignKey("explorer_environments.digest"), nullable=True
    ),
    _column(
        "weights",
        PlainText(64),
        Check(lambda value: value == "" or matching(SHA256, "").passes(value), "a SHA-256, or an empty text"),
        default="",
    ),
    _column("sampler_notes", PlainText(), json_object(OBJECT), default="{}"),
    _column("started", Float, TIMESTAMP),
    _column("finished", Float, optional(TIMESTAMP), nullable=True),
    _column("revision", BigInteger, whole(0)),
    _column("latency", PlainText(), json_object(LATENCY), server_default="{}"),  # how ``latency_ms`` was measured
    _column("failure", PlainText(10), one_of("", *FAILURES), server_default=""),
    _column("duration", Float, optional(SECONDS), nullable=True),
    _column("expected", PlainText(), json_object(NUMBERS), server_default="{}"),  # objectives, of a stopped trial
    _column("epochs_given_up", Integer, whole(0), server_default="0"),  # of stopped trainings that did not continue
    _column("in_order", Boolean, FLAG, server_default=false()),  # interrupted by its search: no attempt is counted
    _column("counterpart", PlainText(), json_object(COUNTERPART), server_default="{}"),  # of the trial ``twin``
    _column("note", PlainText(), text(MAX_NOTE_LENGTH), server_default=""),
    _column("tags", PlainText(), json_list(TAGS), server_default="[]"),
    Index("explorer_trials_by_revision", "study_id", "revision"),
    Index("explorer_trials_by_digest", "study_id", "digest"),
    Index("explorer_trials_running", "study_id", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
)

claims = Table(
    "explorer_claims",
    metadata,
    Column("study_id", ForeignKey("explorer_studies.id"), primary_key=True),
    Column("digest", ForeignKey("explorer_architectures.digest"), primary_key=True),
    Column("number", Integer, nullable=False),
)

confirmations = Table(  # one row per further training of a trial's network; the primary key prevents a second one
    "explorer_confirmations",
    metadata,
    _column("study_id", Integer, whole(0), ForeignKey("explorer_studies.id"), primary_key=True),
    _column("digest", PlainText(80), NETWORK_DIGEST, ForeignKey("explorer_architectures.digest"), primary_key=True),
    _column("epochs", Integer, whole(1), primary_key=True, autoincrement=False),
    _column("seed", BigInteger, whole(*SEED_RANGE), primary_key=True, autoincrement=False),
    _column("state", PlainText(10), one_of("running", "complete", "failed")),
    _column("reason", PlainText(), text(MAX_REASON_LENGTH), default=""),
    _column("test", PlainText(), json_object(NUMBERS), default="{}"),  # accuracy, top5, loss -> value on the test split
    _column("result", PlainText(), RESULT, nullable=True),
    _column("attempt", Integer, whole(1), default=1),
    _column("worker", PlainText(), text(1_000)),
    _column("lease_until", Float, optional(NUMBER), nullable=True),
    _column(
        "environment", PlainText(80), optional(text(80)), ForeignKey("explorer_environments.digest"), nullable=True
    ),
    _column("started", Float, TIMESTAMP),
    _column("finished", Float, optional(TIMESTAMP), nullable=True),
    _column("revision", BigInteger, whole(0)),  # the study's revision at its last change
    _column("measured", PlainText(), json_object(NUMBERS), server_default="{}"),  # by the caller's ``evaluate``
    Index("explorer_confirmations_by_revision", "study_id", "revision"),
    info={SINCE: 2},
)

gradients = Table(
    "explorer_gradients",
    metadata,
    Column("study_id", ForeignKey("explorer_studies.id"), primary_key=True),
    Column("digest", ForeignKey("explorer_architectures.digest"), primary_key=True),
    Column("json", PlainText(), nullable=False),  # of a GradientFlow
    Column("revision", BigInteger, nullable=False),
    info={SINCE: 2},
)

workers = Table(  # one row per process that works on a study: ``presence``
    "explorer_workers",
    metadata,
    _column("study_id", Integer, whole(0), ForeignKey("explorer_studies.id"), primary_key=True),
    _column("worker", PlainText(), text(1_000, 1), primary_key=True),
    _column("command", PlainText(20), text(20, 1)),  # the command or function that runs, such as "search"
    _column("engine", PlainText(200), text(200, 1)),
    _column("device", PlainText(300), text(300)),
    _column("cores", Integer, whole(0)),
    _column("slots", Integer, whole(0)),  # the trainings that it can run in parallel
    _column("tasks", PlainText(), json_list(TASKS), server_default="[]"),  # of an engine of several machines
    _column("target", Integer, optional(whole(0)), nullable=True),  # the number of trials at which it ends
    _column("started", Float, TIMESTAMP),
    _column("beat", Float, TIMESTAMP),  # its last sign of life
    _column("ended", Float, optional(TIMESTAMP), nullable=True),  # of a process whose log is kept
    _column("stop_seen", Integer, whole(0)),  # the last request to stop that it knows
    _column("log", PlainText(), text(10_000), server_default=""),
    info={SINCE: 6},
)

stops = Table(  # one row per request to stop; a process obeys those that are newer than it
    "explorer_stops",
    metadata,
    _column("study_id", Integer, whole(0), ForeignKey("explorer_studies.id"), primary_key=True),
    _column("number", Integer, whole(1), primary_key=True, autoincrement=False),
    _column("requested", Float, TIMESTAMP),
    _column("at_once", Boolean, FLAG),
    _column("requester", PlainText(), text(1_000)),
    info={SINCE: 6},
)


def check_tables(connection: Connection, shown: str) -> None:
    """Raise StoreError if an SQLite database lacks a table or column, or has a value of a wrong type.

    Args:
        connection: A connection to the database.
        shown: The database in messages, its URL without the password.
    """
    if connection.dialect.name == "sqlite":
        _check_columns(connection, shown)
        _check_types(connection, shown)


def check_no_views(connection: Connection, shown: str) -> None:
    """Raise StoreError if an SQLite database has a view or virtual table in place of a table.

    A view can run forever, and its values can change after their types were checked.

    Args:
        connection: A connection to the database.
        shown: The database in messages.
    """
    if connection.dialect.name != "sqlite":
        return
    # Neither views nor virtual tables have a root page.
    query = "SELECT name FROM main.sqlite_master WHERE type IN ('table', 'view') AND coalesce(rootpage, 0) = 0"
    for name in connection.exec_driver_sql(query).scalars():
        if name.lower() in metadata.tables:
            raise StoreError(f"{shown}: {name} is a view, expected a table; restore a backup of the database")


def check_no_triggers(connection: Connection, shown: str) -> None:
    """Raise StoreError if an SQLite table has a trigger, which can change or discard written values without an error.

    Args:
        connection: A connection to the database.
        shown: The database in messages.
    """
    if connection.dialect.name != "sqlite":
        return
    for name, table in connection.exec_driver_sql("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"):
        if table.lower() in metadata.tables:
            raise StoreError(
                f"{shown}: the table {table} has a trigger, {printable(name)[:80]!r}, which the explorer did not make;"
                " the database can be read but not written to; drop the trigger, or restore a backup of the database"
            )


def _check_columns(connection: Connection, shown: str) -> None:
    """Raise StoreError for a missing or computed column. Otherwise a search retries the failed write for minutes."""
    for table in metadata.sorted_tables:
        columns = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_xinfo({table.name})")}
        stored = connection.exec_driver_sql(f"PRAGMA main.table_xinfo({table.name})")
        computed = {row[1] for row in stored if row[6]}
        for name in (column.name for column in table.c):
            if name in computed or name not in columns:
                fault = "is computed, expected a stored column" if name in computed else "is missing"
                where = f"the column {name} of the table {table.name}" if columns else f"the table {table.name}"
                raise StoreError(f"{shown}: {where} {fault}; restore a backup of the database")


def _check_types(connection: Connection, shown: str) -> None:
    """Raise StoreError for a value whose SQLite type differs from that of its column."""
    for table in metadata.sorted_tables:
        names = {column.name: _storage_classes(column) for column in table.c}
        wrong = " OR ".join(f"typeof({name}) NOT IN ({kinds})" for name, kinds in names.items())
        types = ", ".join(f"typeof({name})" for name in names)
        found = connection.exec_driver_sql(f"SELECT rowid, {types} FROM {table.name} WHERE {wrong} LIMIT 1").first()
        if found is not None:
            row, kinds = found[0], dict(zip(names, found[1:]))
            name = next(name for name, expected in names.items() if f"'{kinds[name]}'" not in expected)
            raise StoreError(
                f"{shown}: {table.name}, row {row}, column {name}: expected {names[name]}, found '{kinds[name]}'; "
                "the row is damaged, restore a backup of the database"
            )


def _storage_classes(column: Column[Any]) -> str:
    """Return SQLite's names of the storage classes that a column may have, as an SQL list."""
    kind = "'integer'" if isinstance(column.type, (Integer, Boolean)) else "'text'"
    kind = "'real', 'integer'" if isinstance(column.type, Float) else kind
    return f"{kind}, 'null'" if column.nullable else kind
