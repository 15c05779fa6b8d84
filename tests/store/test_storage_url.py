"""The accepted forms of a storage URL, and the masking of its password."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store.database import open_for_reading
from explorer.store.passwords import has_password, hide_passwords
from explorer.store.storage_url import parse_storage, shown_storage, sqlite_file
from explorer.store.studies import list_studies, open_study
from tests.store.conftest import make_study

CANARY = "CANARY"
FORMS = (
    "postgresql://me:{}@host/db",
    "postgres://me:{}@host:5432/db",
    "POSTGRESQL://me:{}@host",
    "postgresql+psycopg2://:{}@host/db",
    "postgresql:/me:{}@host/db",
    "postgresql:me:{}@host/db",
    "postgresql//me:{}@host/db",
    "postgresql:///me:{}@host/db",
    "postgresql://me:{}/db",
    "postgresql://me:{}",
    "postgresql://me@host:{}/db",
    "postgresql://host/db?password={}",
    "postgresql://host/db?user=me&sslpassword={}&application_name=x",
    " postgresql://me:{}@host/db\n",
    "postgres ql://me:{}@host/db",
    "me:{}@host/db",
    "//me:{}@host/db",
    "mysql://me:{}@host/db",
    "sqlite+pysqlcipher://:{}@/x.db",
    "host=h user=me password={}",
    "password = '{}' host=h",
)


def test_a_path_may_contain_equals_signs(tmp_path):
    """A folder named like ``key=value`` is not read as a connection string."""
    for path in ("runs/user=me/x.db", "user=me/x.db", f"{tmp_path}/host=a b/x.db"):
        assert parse_storage(path).database == path


def spelled(form: str) -> Iterator[str]:
    """Return ``form`` with passwords of many kinds of characters. Passwords that make another host, as in me:a@b, are
    left out."""
    signs = "@:/?#%& +=\\'é\ud800" if "@" in form or "?" in form else ":/?#%& +=\\'é\ud800"
    for first, second, last in product(signs, signs, ("", "y")):
        yield form.format(f"x{CANARY}{first}z{second}{CANARY}{last}")


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_password_is_displayed(form):
    """No part of a password appears in the displayed URL or the error, and masking twice changes nothing more."""
    for storage in spelled(form):
        try:
            shown = shown_storage(parse_storage(storage))
        except StoreError as error:
            shown = str(error)
        assert CANARY not in shown and "\n" not in shown, storage.encode(errors="backslashreplace")
        assert hide_passwords(shown) == shown


@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith("postgresql:") and "@host:" not in form])
def test_a_foreign_message_is_masked(form):
    """A URL or a connection string within another text loses its password, and a second pass changes nothing."""
    for storage in spelled(form):
        cleaned = hide_passwords(f"cannot open {storage}")
        assert CANARY not in cleaned and cleaned.startswith("cannot open postgresql:")
        assert hide_passwords(cleaned) == cleaned
    assert CANARY not in hide_passwords(f"connection failed: host=h password='{CANARY} {CANARY}' user=me")


@pytest.mark.parametrize("form", ["https://{}@host/bucket", "HTTP://{}@host:9000", "cannot open https://me:{}@host"])
def test_a_token_before_the_host_of_a_web_server_is_masked(form):
    """A web address names a token where others name a user."""
    cleaned = hide_passwords(form.format(CANARY))
    assert CANARY not in cleaned and "***@host" in cleaned and hide_passwords(cleaned) == cleaned


@pytest.mark.parametrize(
    "form",
    ["mlflow=http://h/?token={}", "https://h/x?a=1&api_key={}&b=2", "https://h/x?X-Amz-Signature={}",
     "export=AWS_SECRET_ACCESS_KEY={}", "ALL,WANDB_API_KEY={}", "MLFLOW_TRACKING_TOKEN={} ran"],
)  # fmt: skip
def test_keys_in_queries_and_variables_are_masked(form):
    """So they do not appear in messages, and a manifest or a batch file is not written with them."""
    cleaned = hide_passwords(form.format(CANARY))
    assert CANARY not in cleaned and hide_passwords(cleaned) == cleaned and has_password(form.format(CANARY))


@pytest.mark.parametrize("text", ["token=abc", "comment=secret=abc", "a,access_key=abc"])
def test_assigned_keys_count_as_passwords(text):
    """A value of an option with a key is refused, though a message may contain a choice of this name."""
    assert has_password(text) and hide_passwords(text) == text


def test_other_options_have_no_password():
    """Names that only contain the word of a key are not refused."""
    assert not any(map(has_password, ["tokens=8", "partition=gpu", "keys=3", "design=x", "monkey=1", "sigma=0.1"]))


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////srv/me@lab/x.db: there is no study 'a@b'",
        "flowers@16: 30 images resized",
        "attn@stage2=se(r=4), bypass=conv3x3",
        "postgresql+psycopg://me@host:5432/db: there is no study 'a'",
        "postgresql+psycopg://me:***@host/db: there is no study 'a@b'",
    ],
)
def test_other_texts_are_unchanged(text):
    """Paths, names of data sets and choices with an ``@`` are not masked."""
    assert hide_passwords(text) == text


@pytest.mark.parametrize("storage", ["postgres://me:x@host:5/db", "postgresql://me:x@host:5/db"])
def test_psycopg_is_the_default_driver(storage):
    """URLs in the form that hosting providers give them are accepted."""
    assert shown_storage(parse_storage(storage)) == "postgresql+psycopg://me:***@host:5/db"
    assert parse_storage("postgresql+psycopg2://host/db").drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    "storage",
    ["x.db", "./x.db", "~/x.db", "sqlite:x.db", "sqlite://x.db", "sqlite:///x.db", "sqlite:///~/x.db", "{}/x.db",
     "sqlite:///{}/x.db", "SQLite:///x.db", " sqlite:///x.db\r\n", Path("x.db"), Path("~/x.db")],
)  # fmt: skip
def test_each_form_of_a_file_path_is_accepted(storage, tmp_path, monkeypatch):
    """A path with or without ``~``, and with any unambiguous number of slashes, names the same file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_study(storage.format(tmp_path) if isinstance(storage, str) else storage).database.close()
    assert "x.db" in os.listdir(tmp_path) and "~" not in os.listdir(tmp_path)
    assert [summary.name for summary in list_studies(f"sqlite:///{tmp_path}/x.db")] == ["one"]


@pytest.mark.parametrize("folder", ["a b", "größe", "100%", "a?b", "a?b=c", "#1", "a@b", "a:b", os.fsdecode(b"\xff")])
def test_any_folder_name_is_accepted(folder, tmp_path, monkeypatch):
    """A database is written and read in a folder of any name, by URL and by path."""
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    make_study("sqlite:///one.db").database.close()
    assert open_study(Path(tmp_path / folder / "one.db"), "one").name == "one"
    if folder != "a?b=c":
        assert open_study(f"sqlite:///{tmp_path}/{folder}/one.db", "one").name == "one"
    assert os.listdir(tmp_path) == [folder]


@pytest.mark.parametrize(
    "storage, line",
    [
        ("sqlite:/x.db", "write sqlite:///x.db for a file in the current folder, or sqlite:////x.db for /x.db"),
        ("sqlite//x.db", "this is not a storage URL"),
        ("nonsense", "write sqlite:///nonsense for a file of this name"),
        ("C:\\x.db", "a path with a Windows drive"),
        ("sqlite:///C:/x.db", "a path with a Windows drive"),
        ("", "the storage is empty"),
        (":memory:", "in memory"),
        (".", "is a folder; name the file in it, as in sqlite:///./explorer.db"),
        ("data:v1/x.db", "write a path with a colon as in ./a:b.db"),
        ("x\0.db", "cannot contain a NUL character"),
        (5, "found int"),
        ("/dev/zero", "is a device or a pipe; name a file"),
    ],
)
def test_ambiguous_urls_are_rejected_with_a_suggestion(storage, line):
    """Any other form gives a one-line error with the form to write, and creates no file."""
    with pytest.raises(StoreError) as caught:
        open_for_reading(storage)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_the_file_path_is_absolute(tmp_path, monkeypatch):
    """A database keeps its file when the process changes its folder; without a current folder it gives a one-line
    error."""
    monkeypatch.chdir(tmp_path)
    assert sqlite_file(parse_storage("x.db")) == tmp_path / "x.db"
    study = make_study("sqlite:///x.db")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert study.counts()["complete"] == 0
    study.database.write(lambda connection: None, retry_seconds=0)
    (tmp_path / "gone").rmdir()
    with pytest.raises(StoreError, match="the current folder was removed"):
        sqlite_file(parse_storage("x.db"))


def test_the_repr_of_a_study_contains_no_password():
    """The repr of a database leaves out its engine, whose URL may contain a password in its query."""
    from explorer.store.database import Database
    from explorer.store.server.engine import server_engine

    url = parse_storage(f"postgresql://me:{CANARY}@host/db?password={CANARY}")
    assert CANARY not in repr(Database(server_engine(url), shown_storage(url), None))
