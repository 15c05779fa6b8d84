"""Rename, delete and annotate a study, and annotate its trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store.checking import MAX_NOTE_LENGTH, MAX_TAG_LENGTH
from explorer.store.database import StudyIdentity, open_for_writing
from explorer.store.lease import LEASE_SECONDS, is_gone
from explorer.store.managing.files import copy_files, move_folder, remove_files
from explorer.store.remote.files import FolderFiles
from explorer.store.remote.place import is_remote
from explorer.store.rows import lock_study, next_revision, now, read_row, to_row, trial_row
from explorer.store.schema import (
    architectures,
    claims,
    confirmations,
    environments,
    gradients,
    stops,
    studies,
    trials,
    workers,
)
from explorer.store.server.privileges import check_deletion
from explorer.store.studies import check_name, find_study
from explorer.store.study import Study

OF_STUDY = (trials, claims, confirmations, gradients)  # the tables whose rows belong to one study


@contextmanager
def writable(study: Study) -> Iterator[Study]:
    """Provide the same study, opened for writing.

    Args:
        study: A study that was opened for reading, or that is in memory.

    Raises:
        StoreError: The database cannot be written to.
    """
    if study.database.in_memory:
        yield study
        return
    database = open_for_writing(study.database.url)
    try:
        yield find_study(database, study.name)
    finally:
        database.close()


def require_idle(connection: Connection, study: StudyIdentity, action: str) -> None:
    """Lock a study, and raise StoreError if a worker runs one of its trainings.

    Args:
        connection: A connection of a writing transaction.
        study: The study.
        action: What has to wait, such as "deleted", for the message.
    """
    lock_study(connection, study.id)
    current_time = now(connection)
    for table in (trials, confirmations):
        held = select(table.c.worker).where(
            table.c.study_id == study.id, table.c.state == "running", table.c.lease_until > current_time
        )
        for worker in connection.scalars(held):
            if not is_gone(worker):
                raise StoreError(
                    f"study {study.name!r} cannot be {action} while a worker on host {worker.partition(':')[0]!r} runs "
                    f"a training of it; end the search, or wait up to {LEASE_SECONDS:.0f} s if its process was killed"
                )


def require_free_name(connection: Connection, name: str, shown: str) -> None:
    """Raise StoreError if the database has a study of this name.

    Args:
        connection: A connection to the database.
        name: The name.
        shown: The database in messages.
    """
    if connection.execute(select(studies.c.id).where(studies.c.name == name)).first() is not None:
        raise StoreError(f"there is a study {name!r} in {shown} already; choose another name, or delete that study")


def rename_study(study: Study, name: str) -> Study:
    """Give a study another name. The folder of its weights and checkpoints moves with it.

    Args:
        study: The study.
        name: The new name, 1 to 200 printable characters.

    Returns:
        The renamed study, opened for reading if it has a file or server.

    Raises:
        StoreError: The name is invalid or taken, a worker runs a training of the study, or the folder cannot be moved.
    """
    check_name(name)
    if name == study.name:
        return study
    with writable(study) as opened:
        database = opened.database
        renamed = replace(opened, name=name)
        before, after = opened.artifacts, renamed.artifacts

        def work(connection: Connection) -> None:
            require_idle(connection, opened, "renamed")
            own = studies.c.id == opened.id
            if connection.scalar(select(studies.c.name).where(own)) != name:  # else the commit's answer was lost
                require_free_name(connection, name, database.shown)
                connection.execute(studies.update().where(own).values(name=name))
            move_folder(before, after)

        if is_remote(opened.place):
            copy_files(opened.files, renamed.files)
        try:
            database.write(work)
        except BaseException:
            move_folder(after, before)
            if is_remote(opened.place):
                renamed.files.remove_all()
            raise
        if is_remote(opened.place):
            opened.files.remove_all()
    return find_study(study.database, name)


def delete_study(study: Study) -> int:
    """Delete a study: its trials, confirmations and gradient flows, and the folder of its weights and checkpoints.

    Args:
        study: The study.

    Returns:
        The bytes of the removed files.

    Raises:
        StoreError: A worker runs a training of the study, the database cannot be written to, or a file cannot be
            removed.
    """
    with writable(study) as opened:

        def work(connection: Connection) -> None:
            of_study = (stops, workers, gradients, confirmations, claims, trials)
            check_deletion(connection, [studies.name, *(table.name for table in of_study)], opened.database.shown)
            require_idle(connection, opened, "deleted")
            for table in of_study:
                connection.execute(delete(table).where(table.c.study_id == opened.id))
            connection.execute(delete(studies).where(studies.c.id == opened.id))
            # Only SQLite has no other writer meanwhile, which could begin a trial of a network that is removed here.
            if connection.dialect.name == "sqlite":
                _delete_unused(connection, architectures, "digest", OF_STUDY)
                _delete_unused(connection, environments, "environment", (trials, confirmations))

        opened.database.write(work)
    size = remove_files(FolderFiles(study.artifacts), study.name)
    return size + remove_files(study.files, study.name)


def _delete_unused(connection: Connection, table: Table, column: str, users: Iterable[Table]) -> None:
    """Delete the rows of a table whose digest is in no row of ``users``, in the column of that name."""
    unused = [table.c.digest.not_in(select(user.c[column]).where(user.c[column].is_not(None))) for user in users]
    connection.execute(delete(table).where(*unused))


def annotate_study(
    study: Study, *, note: str | None = None, add_tags: Iterable[str] = (), remove_tags: Iterable[str] = ()
) -> Study:
    """Change the note and the tags of a study. This is possible while it runs.

    Args:
        study: The study.
        note: The new note, one line of at most 2,000 characters; empty removes it, None keeps it.
        add_tags: Tags to add, each of 1 to 60 printable characters without commas.
        remove_tags: Tags to remove; those that the study does not have are ignored.

    Returns:
        The study as changed.

    Raises:
        StoreError: The note or a tag is invalid, or the database cannot be written to.
    """
    with writable(study) as opened:
        own = studies.c.id == opened.id
        _annotate(opened, studies, own, f"explorer_studies, study {opened.name!r}", note, add_tags, remove_tags)
    return find_study(study.database, study.name)


def annotate_trial(
    study: Study,
    number: int,
    *,
    note: str | None = None,
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
) -> TrialRecord:
    """Change the note and the tags of a trial. This is possible while it runs.

    Args:
        study: The study.
        number: The number of the trial.
        note: As for ``annotate_study``, like ``add_tags`` and ``remove_tags``.
        add_tags: Tags to add.
        remove_tags: Tags to remove.

    Returns:
        The trial as changed.

    Raises:
        StoreError: The study has no such trial, the note or a tag is invalid, or the database cannot be written to.
    """
    study.trial(number)
    with writable(study) as opened:
        own = (trials.c.study_id == opened.id) & (trials.c.number == number)
        _annotate(opened, trials, own, trial_row(number), note, add_tags, remove_tags)
    return find_study(study.database, study.name).trial(number)


def _annotate(
    study: Study,
    table: Table,
    own: ColumnElement[bool],
    where: str,
    note: str | None,
    add_tags: Iterable[str],
    remove_tags: Iterable[str],
) -> None:
    """Change note and tags of one row of a table."""
    line = None if note is None else " ".join(note.split())
    if line is not None and (len(line) > MAX_NOTE_LENGTH or not line.isprintable()):
        raise StoreError(f"a note is printable text of at most {MAX_NOTE_LENGTH:,} characters, found {len(line):,}")
    added, removed = [_tag(each) for each in add_tags], {each.strip() for each in remove_tags}

    def work(connection: Connection) -> None:
        lock_study(connection, study.id)
        row = connection.execute(select(table.c.tags).where(own)).one()._asdict()
        found = read_row(where, table, row)["tags"]
        tags = [each for each in dict.fromkeys([*found, *added]) if each not in removed]
        values = {"tags": tags, **({} if line is None else {"note": line})}
        changed = to_row(table, values)
        if table is trials:  # readers of the study load the trial again
            changed["revision"] = next_revision(connection, study.id)
        connection.execute(table.update().where(own).values(**changed))

    study.database.write(work)


def _tag(text: str) -> str:
    """Return a tag without blanks around it. Raises StoreError."""
    tag = text.strip()
    if not tag or len(tag) > MAX_TAG_LENGTH or not tag.isprintable() or "," in tag:
        raise StoreError(f"tag {text[:80]!r}: a tag has 1 to {MAX_TAG_LENGTH} printable characters, and no comma")
    return tag
