"""Migration of databases of earlier schema versions, and reading such databases without changing them.

A step changes one schema version to the next. It lists the columns that it adds, changes or renames, each with the
SQL expression of its value. For writing, ``migrate`` alters the tables and fills the columns with these expressions.
For reading, ``show_as_current`` creates temporary views with the same expressions, and the database does not change. A
step contains types and expressions in full, because ``schema`` describes only the current tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, inspect, select, text

from explorer.errors import StoreError
from explorer.store.lease import LEASE_SECONDS, is_gone
from explorer.store.rows import now
from explorer.store.schema import SINCE, confirmations, metadata, trials, version

Sql = dict[str, str]  # database dialect ("sqlite", "postgresql") -> SQL expression


@dataclass(frozen=True)
class Change:
    """A column that a schema version adds, changes or renames.

    Attributes:
        table: The name of the table.
        column: The name of the column in the new version.
        value: The SQL expression of the column's value, in terms of the previous version's columns; one per dialect if
            the dialects differ.
        kind: The type, default and constraint of a new column; empty for an existing column.
        renamed_from: The column's previous name; empty if it was the same.
    """

    table: str
    column: str
    value: Sql | str
    kind: str = ""
    renamed_from: str = ""

    @property
    def replaces(self) -> str:
        """The column of the previous version that this column replaces; for a new column its own name."""
        return self.renamed_from or self.column

    def value_on(self, database: str) -> str:
        """Return the SQL expression for a dialect."""
        return self.value if isinstance(self.value, str) else self.value[database]


def entry(column: str, name: str, default: str = "NULL", cast: str = "text") -> Sql:
    """Return the SQL expression of an entry of a JSON object.

    Args:
        column: The column with the JSON object.
        name: The name of the entry.
        default: The expression to use if the object has no such entry.
        cast: The type of the value on PostgreSQL.
    """
    return {
        "sqlite": f"coalesce(json_extract({column}, '$.\"{name}\"'), {default})",
        "postgresql": f"coalesce(({column}::json ->> '{name}')::{cast}, {default})",
    }


def without(column: str, *names: str) -> Sql:
    """Return the SQL expression of the JSON object in ``column`` without the entries ``names``."""
    paths = ", ".join(f"'$.\"{name}\"'" for name in names)
    removed = " - ".join(f"'{name}'" for name in names)
    return {"sqlite": f"json_remove({column}, {paths})", "postgresql": f"({column}::jsonb - {removed})::text"}


def step_2() -> list[Change]:
    """Move values from the sampler's notes of a trial and from a study's fingerprint to separate columns.

    The column ``sampler`` is renamed, so that a process of version 1 that has the database open fails and cannot
    write values that no version reads.
    """
    notes = ("latency", "failure", "seconds", "expected", "given_up", "in_order")
    of_trials = {
        "latency": ("VARCHAR DEFAULT '{}' NOT NULL", entry("sampler", "explorer:latency", "'{}'")),
        "failure": ("VARCHAR(10) DEFAULT '' NOT NULL", _failure()),
        "duration": ("FLOAT", entry("sampler", "explorer:seconds", cast="double precision")),
        "expected": ("VARCHAR DEFAULT '{}' NOT NULL", entry("sampler", "explorer:expected", "'{}'")),
        "epochs_given_up": ("INTEGER DEFAULT '0' NOT NULL", entry("sampler", "explorer:given_up", "0", "int")),
        "in_order": ("BOOLEAN DEFAULT false NOT NULL", entry("sampler", "explorer:in_order", "false", "bool")),
    }
    kept = without("sampler", *(f"explorer:{note}" for note in notes))
    names = "VARCHAR DEFAULT '[]' NOT NULL"
    return [
        *(Change("explorer_trials", column, value, kind) for column, (kind, value) in of_trials.items()),
        Change("explorer_trials", "sampler_notes", kept, renamed_from="sampler"),
        Change("explorer_studies", "limits", entry("fingerprint", "limits", "'[]'"), names),
        Change("explorer_studies", "data_places", entry("fingerprint", "data_places", "'[]'"), names),
        Change("explorer_studies", "fingerprint", without("fingerprint", "limits", "data_places")),
    ]


def _failure() -> Sql:
    """Return the SQL expression of the kind of a trial's failure.

    Early databases of version 1 have no kind; it is derived from the text of the reason.
    """
    by_reason = (
        "CASE WHEN reason LIKE 'it took longer than%' OR reason LIKE 'it held %' THEN 'limit'"
        " WHEN reason LIKE '%not finite%' THEN 'network'"
        " WHEN reason LIKE 'the trial''s process%' THEN 'died' ELSE 'code' END"
    )
    return {
        database: "CASE WHEN state <> 'failed' OR resumable OR same_as IS NOT NULL THEN ''"
        f" WHEN reason LIKE 'its worker was lost%' THEN 'lost' ELSE {kept} END"
        for database, kept in entry("sampler", "explorer:failure", by_reason).items()
    }


def step_3() -> list[Change]:
    """Add the values that a caller's ``evaluate`` returned for a repeat."""
    return [Change("explorer_confirmations", "measured", "'{}'", "VARCHAR DEFAULT '{}' NOT NULL")]


def step_4() -> list[Change]:
    """Add of which trial another one is the counterpart."""
    return [Change("explorer_trials", "counterpart", "'{}'", "VARCHAR DEFAULT '{}' NOT NULL")]


def step_5() -> list[Change]:
    """Add the note and the tags of a study."""
    return [
        Change("explorer_studies", "note", "''", "VARCHAR DEFAULT '' NOT NULL"),
        Change("explorer_studies", "tags", "'[]'", "VARCHAR DEFAULT '[]' NOT NULL"),
    ]


def step_6() -> list[Change]:
    """Add the tables of the processes that work on a study, which ``migrate`` creates."""
    return []


STEPS = (step_2(), step_3(), step_4(), step_5(), step_6())  # in order: the first leads from version 1 to version 2
SCHEMA_VERSION = 1 + len(STEPS)


def found_version(connection: Connection, shown: str) -> int:
    """Return the schema version of a database.

    Args:
        connection: A connection to the database.
        shown: The database in messages, its URL without the password.

    Raises:
        StoreError: The database has no tables of the explorer, or their version is unknown.
    """
    if not inspect(connection).has_table(version.name):
        raise StoreError(
            f"{shown}: this database holds no studies of the explorer; give the storage that 'explorer search' wrote"
        )
    found = connection.scalar(select(version.c.version))
    if type(found) is int and 1 <= found <= SCHEMA_VERSION:
        return found
    stated = found if isinstance(found, int) else repr(found)[:20]
    newer = isinstance(found, int) and found > SCHEMA_VERSION
    fix = "update the explorer" if newer else "read it with the version that wrote it"
    raise StoreError(
        f"{shown}: the tables are of version {stated}, this explorer reads versions 1 to {SCHEMA_VERSION}; {fix}"
    )


def require_no_workers(connection: Connection, shown: str) -> None:
    """Raise StoreError if a worker of an earlier version holds a lease, since changed tables would make it fail.

    Args:
        connection: A connection to the database.
        shown: The database in messages.
    """
    current_time = now(connection)
    for table in (trials, confirmations):
        if not inspect(connection).has_table(table.name):
            continue
        held = select(table.c.worker).where(table.c.state == "running", table.c.lease_until > current_time)
        for worker in connection.scalars(held):
            if not is_gone(worker):
                raise StoreError(
                    f"{shown}: a worker of an earlier version of the explorer still runs a training on host "
                    f"{worker.partition(':')[0]!r}; end it, or wait up to {LEASE_SECONDS:.0f} s if it was killed, then "
                    "run the same command again"
                )


def migrate(connection: Connection, found: int) -> None:
    """Change the tables of schema version ``found`` to the current version, in the transaction of ``connection``."""
    if connection.dialect.name == "postgresql":  # other processes that read the version wait for the commit
        connection.execute(text(f"LOCK TABLE {version.name} IN ACCESS EXCLUSIVE MODE"))
    present = set(inspect(connection).get_table_names())
    for step in STEPS[found - 1 :]:
        changes = [change for change in step if change.table in present]
        for change in changes:
            if change.kind:
                connection.execute(text(f"ALTER TABLE {change.table} ADD COLUMN {change.column} {change.kind}"))
        for table in dict.fromkeys(change.table for change in changes):
            values = (f"{c.replaces} = {c.value_on(connection.dialect.name)}" for c in changes if c.table == table)
            connection.execute(text(f"UPDATE {table} SET {', '.join(values)}"))
        for change in changes:
            if change.renamed_from:
                renamed = f"{change.renamed_from} TO {change.column}"
                connection.execute(text(f"ALTER TABLE {change.table} RENAME COLUMN {renamed}"))
    metadata.create_all(connection)
    for each in metadata.sorted_tables:
        for index in each.indexes:
            index.create(connection, checkfirst=True)
    connection.execute(version.update().values(version=SCHEMA_VERSION))


def show_as_current(connection: Connection, found: int) -> None:
    """Create temporary views through which ``connection`` reads tables of version ``found`` as the current tables."""
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if inspector.has_table(table.name):
            columns = [column["name"] for column in inspector.get_columns(table.name)]
            query = _as_current(connection, table, columns, found)
        else:
            query = _empty(connection, table) if table.info.get(SINCE, 1) > found else ""
        if query:
            connection.execute(text(f"CREATE TEMPORARY VIEW {table.name} AS {query}"))


def _as_current(connection: Connection, table: Table, columns: list[str], found: int) -> str:
    """Return the query with the current columns of a table of version ``found``; empty if the table is the same."""
    sqlite = connection.dialect.name == "sqlite"
    query, quote = "", connection.dialect.identifier_preparer.quote
    source = f"main.{table.name}" if sqlite else table.name
    names = [*(["rowid"] if sqlite else []), *map(quote, columns)]
    for number, step in enumerate(STEPS[found - 1 :]):
        changes = [change for change in step if change.table == table.name]
        if changes:
            replaced = {change.replaces for change in changes}
            kept = [name for name in names if name not in replaced]
            values = [f"{change.value_on(connection.dialect.name)} AS {change.column}" for change in changes]
            own = [f"{name} AS {name}" for name in kept]
            query = f"SELECT {', '.join([*own, *values])} FROM {source}"
            names, source = [*kept, *(change.column for change in changes)], f"({query}) AS of_step_{number}"
    return query


def _empty(connection: Connection, table: Table) -> str:
    """Return a query with the columns of ``table`` and no rows."""
    kinds = {column.name: column.type.compile(connection.dialect) for column in table.c}
    return f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {name}' for name, kind in kinds.items())} WHERE false"
