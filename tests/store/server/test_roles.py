"""The roles of docs/many_machines/storage.md: a worker that creates nothing, and a dashboard that writes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.cli.doctor import Check, examine
from explorer.errors import StoreError
from explorer.store.database import open_for_writing
from explorer.store.managing.changes import delete_study
from explorer.store.studies import list_studies, open_study
from explorer.store.study import Study
from explorer.study.search import run_search
from tests.store.conftest import make_study
from tests.study.evaluations import good

PAGE = Path(__file__).parents[3] / "docs" / "many_machines" / "storage.md"


@pytest.fixture
def roles(postgresql, postgresql_url) -> dict[str, str]:
    """The storages of the two roles, made by the statements of the page after the owner created the tables."""
    make_study(postgresql_url).database.close()
    (statements,) = re.findall(r"<!-- roles -->\n```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    database = postgresql_url.rpartition("/")[2]
    postgresql.execute(*filter(None, map(str.strip, re.sub(r"--.*", "", statements).split(";"))), database=database)
    names = ("explorer_worker", "explorer_dashboard")
    yield {name: postgresql.url(database, name) for name in names}
    for name in names:
        postgresql.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}", database=database)


def test_a_worker_creates_no_table(roles, postgresql, space):
    """The worker's role searches, in a new study too, but cannot create a table in an empty database."""
    found = run_search(space, evaluate=good, storage=roles["explorer_worker"], study="two", trials=3)
    assert found.study.counts()["complete"] == 3
    with postgresql.database() as empty, pytest.raises(StoreError, match="may not create them") as raised:
        run_search(space, evaluate=good, storage=postgresql.url(empty, "explorer_worker"), trials=1)
    assert "\n" not in str(raised.value)


def test_a_dashboard_only_reads(roles, space):
    """The dashboard's role lists and reads studies; a search as this role ends at once in one line."""
    run_search(space, evaluate=good, storage=roles["explorer_worker"], study="two", trials=2)
    storage = roles["explorer_dashboard"]
    assert {each.name for each in list_studies(storage)} == {"one", "two"}
    assert [record.state for record in open_study(storage, "two").trials()] == ["complete"] * 2
    with pytest.raises(StoreError, match="may not INSERT rows of the table") as raised:
        run_search(space, evaluate=good, storage=storage, study="two", trials=3)
    assert "\n" not in str(raised.value)


@pytest.fixture
def bare_role(postgresql) -> Iterator[str]:
    """A role that may log in and has no right on any table."""
    postgresql.execute("CREATE ROLE explorer_bare LOGIN")
    yield "explorer_bare"
    postgresql.execute("DROP ROLE explorer_bare")


def test_a_missing_right_is_named_at_once(postgresql, postgresql_url, bare_role, space, caplog):
    """A role gets one line that names the GRANT, not retries, for each right that it lacks."""
    make_study(postgresql_url).database.close()
    database = postgresql_url.rpartition("/")[2]
    storage = postgresql.url(database, bare_role)

    def search() -> Study:
        return run_search(space, evaluate=good, storage=storage, study="two", trials=2).study

    everything = (
        rf"GRANT SELECT, INSERT, UPDATE ON .*; GRANT DELETE ON .*; GRANT USAGE ON ALL SEQUENCES .* TO {bare_role}"
    )
    for action in (search, lambda: list_studies(storage)):
        with pytest.raises(StoreError, match=everything):
            action()
    try:
        for grant in (
            "SELECT ON ALL TABLES IN SCHEMA public",
            "INSERT, UPDATE ON ALL TABLES IN SCHEMA public",
            "DELETE ON explorer_workers",
            "USAGE ON ALL SEQUENCES IN SCHEMA public",
        ):
            with pytest.raises(StoreError, match=f"GRANT .*{grant.partition(' ')[0].rstrip(',')}"):
                search()
            postgresql.execute(f"GRANT {grant} TO {bare_role}", database=database)
        assert search().counts()["complete"] == 2
    finally:
        postgresql.execute(f"DROP OWNED BY {bare_role}", database=database)
    assert "trying again" not in caplog.text


def test_the_doctor_says_what_a_role_lacks(roles, postgresql, bare_role):
    """Only a role with which a search can run passes, also in a database without tables."""
    database = roles["explorer_worker"].rpartition("/")[2]

    def found(storage: str) -> Check:
        return next(check for check in examine(storage) if check.name == "storage")

    assert found(roles["explorer_worker"]).ok
    for storage, lacks in (
        (roles["explorer_dashboard"], ", only read studies; its owner grants this"),
        (postgresql.url(database, bare_role), "may not SELECT rows"),
    ):
        check = found(storage)
        assert (
            (check.ok, check.needed) == (False, True)
            and lacks in check.found
            and "GRANT SELECT" in check.found
            and "SEQUENCES" in check.found
        )
    with postgresql.database() as empty:
        assert "may not create them" in found(postgresql.url(empty, bare_role)).found
        assert found(postgresql.url(empty)).ok


def test_only_a_role_with_the_right_deletes_a_study(roles, space, caplog):
    """The worker's role gets one line that names the GRANT, and the study stays."""
    run_search(space, evaluate=good, storage=roles["explorer_worker"], study="two", trials=2)
    study = open_study(roles["explorer_worker"], "two")
    with pytest.raises(StoreError, match=r"GRANT DELETE ON explorer_studies, explorer_stops,.* TO explorer_worker"):
        delete_study(study)
    assert "trying again" not in caplog.text and study.counts()["complete"] == 2


@pytest.mark.parametrize("storage", ["mysql://me@host/db", "mysql+pymysql://me:secret@host/db", "oracle://me@host/db"])
def test_other_servers_are_refused(storage):
    """A server other than PostgreSQL gives one line, without its password."""
    for opening in (open_study, open_for_writing):
        with pytest.raises(StoreError, match=r"expected a path, sqlite:///FILE or postgresql://") as raised:
            opening(storage)
        assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
