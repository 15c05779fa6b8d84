"""The tables. One row a trial, flat, so that a dashboard reads 20,000 of them in a blink.

``explorer_studies.revision`` grows by one with every change to one of the study's trials, and the
trial carries the number of its last change: a reader asks for what is newer than what it has.
``explorer_claims`` gives each network of a study to one trial; its key is what forbids a second training.
``explorer_confirmations`` and ``explorer_gradients`` came later: a database without them is read as one where they
are empty, and gets them when it is next written to.
"""

from __future__ import annotations

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
    func,
    inspect,
    select,
)

from explorer.errors import StoreError
from explorer.system.plain_text import printable, storable

SCHEMA_VERSION = 1
LIMITS = "limits"  # a study's limits lie within its fingerprint's JSON: databases made before there were any still read
DATA_PLACES = "data_places"  # so do the places where its data lay
_CREATION_LOCK = 0x6578706C  # PostgreSQL's advisory locks are numbers; this one is ours


class PlainText(TypeDecorator[str]):
    """Text that every database can keep, and that a terminal shows as it stands when it is read."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return storable(value) if isinstance(value, str) else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return printable(value) if isinstance(value, str) else value


metadata = MetaData()

version = Table("explorer_schema", metadata, Column("version", Integer, nullable=False))

studies = Table(
    "explorer_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", PlainText(200), nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("space_name", PlainText(), nullable=False),
    Column("space_text", PlainText(), nullable=False),
    Column("fingerprint", PlainText(), nullable=False),  # JSON: what must not differ when the study is taken up again
    Column("objectives", PlainText(), nullable=False),  # JSON: name -> "max" or "min"
    Column("seed", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
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

trials = Table(
    "explorer_trials",
    metadata,
    Column("study_id", ForeignKey("explorer_studies.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", PlainText(10), nullable=False),
    Column("reason", PlainText(), nullable=False, default=""),
    Column("digest", ForeignKey("explorer_architectures.digest"), nullable=False),
    Column("choices", PlainText(), nullable=False),  # JSON: choice point -> alternative's text
    Column("costs", PlainText(), nullable=False),  # JSON: name -> number
    Column("objectives", PlainText(), nullable=False, default="{}"),  # JSON: name -> number
    Column("result", PlainText()),  # JSON of a TrainingResult, the curve in it
    Column("same_as", Integer),  # the trial that holds the same network
    Column("seed", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False, default=1),
    Column("worker", PlainText(), nullable=False),  # the process that runs it, or ran it last
    Column("lease_until", Float),  # a running trial whose lease has passed is nobody's
    Column("resumable", Boolean, nullable=False, default=False),  # failed through no fault of its own
    Column("environment", ForeignKey("explorer_environments.digest")),
    Column("weights", PlainText(64), nullable=False, default=""),  # SHA-256 of the file, where one is kept
    Column("sampler", PlainText(), nullable=False, default="{}"),  # JSON: the sampler's own notes on the trial
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("revision", BigInteger, nullable=False),
    Index("explorer_trials_by_revision", "study_id", "revision"),
    Index("explorer_trials_by_digest", "study_id", "digest"),
)

claims = Table(
    "explorer_claims",
    metadata,
    Column("study_id", ForeignKey("explorer_studies.id"), primary_key=True),
    Column("digest", ForeignKey("explorer_architectures.digest"), primary_key=True),
    Column("number", Integer, nullable=False),
)

confirmations = Table(  # one row a training: the key forbids a second of the same
    "explorer_confirmations",
    metadata,
    Column("study_id", ForeignKey("explorer_studies.id"), primary_key=True),
    Column("digest", ForeignKey("explorer_architectures.digest"), primary_key=True),
    Column("epochs", Integer, primary_key=True, autoincrement=False),
    Column("seed", BigInteger, primary_key=True, autoincrement=False),
    Column("state", PlainText(10), nullable=False),  # running, complete or failed
    Column("reason", PlainText(), nullable=False, default=""),
    Column("test", PlainText(), nullable=False, default="{}"),  # JSON: accuracy, top5, loss -> number, on test images
    Column("result", PlainText()),  # JSON of a TrainingResult
    Column("attempt", Integer, nullable=False, default=1),
    Column("worker", PlainText(), nullable=False),
    Column("lease_until", Float),
    Column("environment", ForeignKey("explorer_environments.digest")),
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("revision", BigInteger, nullable=False),  # of the study, as a trial's
    Index("explorer_confirmations_by_revision", "study_id", "revision"),
)

gradients = Table(
    "explorer_gradients",
    metadata,
    Column("study_id", ForeignKey("explorer_studies.id"), primary_key=True),
    Column("digest", ForeignKey("explorer_architectures.digest"), primary_key=True),
    Column("json", PlainText(), nullable=False),  # of a GradientFlow
    Column("revision", BigInteger, nullable=False),
)


def create(connection: Connection, shown: str) -> None:
    """Makes the missing tables. Within one writing transaction: a second creator waits and finds them there."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
    if not inspect(connection).has_table(version.name):
        metadata.create_all(connection)
        connection.execute(version.insert().values(version=SCHEMA_VERSION))
    check(connection, shown)
    _check_no_triggers(connection, shown)
    metadata.create_all(connection, [confirmations, gradients])  # those of before these tables


def check(connection: Connection, shown: str) -> None:
    """Raises StoreError unless the tables are there, of this version, and each column holds values of its type."""
    if not inspect(connection).has_table(version.name):
        raise StoreError(
            f"{shown}: this database holds no studies of the explorer; give the storage that 'explorer search' wrote"
        )
    if connection.dialect.name == "sqlite":
        _check_no_views(connection, shown)
    found = connection.scalar(select(version.c.version))
    if found != SCHEMA_VERSION:
        mend = (
            "update the explorer"
            if isinstance(found, int) and found > SCHEMA_VERSION
            else "read it with the version that wrote it"
        )
        kept = found if isinstance(found, int) else repr(found)[:20]
        raise StoreError(
            f"{shown}: the tables are of version {kept}, this explorer reads version {SCHEMA_VERSION}; {mend}"
        )
    if connection.dialect.name == "sqlite":
        _check_tables(connection, shown)
        _check_types(connection, shown)


def _check_no_views(connection: Connection, shown: str) -> None:
    """A view in place of a table can compute for ever, and its rows pass no check of types."""
    # Virtual tables have no page, either.
    found = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND coalesce(rootpage, 0) = 0"
    for name in connection.exec_driver_sql(found).scalars():
        if name.lower() in metadata.tables:
            raise StoreError(f"{shown}: {name} is a view, expected a table; put back a copy of the database")


def _check_tables(connection: Connection, shown: str) -> None:
    """What a search writes to must be there: a write that fails is tried again for minutes."""
    for table in metadata.sorted_tables:
        columns = {row[1]: row[6] for row in connection.exec_driver_sql(f"PRAGMA table_xinfo({table.name})")}
        if not columns and table in (confirmations, gradients):
            continue
        for name in (column.name for column in table.c):
            if columns.get(name) != 0:
                fault = "is missing" if name not in columns else "is computed, expected a stored one"
                where = f"the column {name} of the table {table.name}" if columns else f"the table {table.name}"
                raise StoreError(f"{shown}: {where} {fault}; put back a copy of the database")


def _check_no_triggers(connection: Connection, shown: str) -> None:
    """A trigger can change or discard what is written, without an error."""
    if connection.dialect.name != "sqlite":
        return
    for name, table in connection.exec_driver_sql("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"):
        if table.lower() in metadata.tables:
            raise StoreError(
                f"{shown}: the table {table} has a trigger, {printable(name)[:80]!r}, which the explorer did not make;"
                " it can be read, not written to; drop the trigger, or put back a copy of the database"
            )


def _check_types(connection: Connection, shown: str) -> None:
    """SQLite keeps a value of any type in any column: what differs was not written by the explorer."""
    present = set(inspect(connection).get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in present:
            continue
        names = {column.name: _stored_as(column) for column in table.c}
        wrong = " OR ".join(f"typeof({name}) NOT IN ({kinds})" for name, kinds in names.items())
        types = ", ".join(f"typeof({name})" for name in names)
        found = connection.exec_driver_sql(f"SELECT rowid, {types} FROM {table.name} WHERE {wrong} LIMIT 1").first()
        if found is not None:
            row, kinds = found[0], dict(zip(names, found[1:]))
            name = next(name for name, expected in names.items() if f"'{kinds[name]}'" not in expected)
            raise StoreError(
                f"{shown}: {table.name}, row {row}, column {name}: expected {names[name]}, found '{kinds[name]}'; "
                "the row is damaged, put back a copy of the database"
            )


def _stored_as(column: Column) -> str:
    """SQLite's names for the types of a column's values, as a list of SQL."""
    kind = "'integer'" if isinstance(column.type, (Integer, Boolean)) else "'text'"
    kind = "'real', 'integer'" if isinstance(column.type, Float) else kind
    return f"{kind}, 'null'" if column.nullable else kind
