"""Parse storage URLs and paths, find the file of a database, and format URLs without passwords."""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

import sqlalchemy
from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError

from explorer.errors import StoreError
from explorer.store.passwords import HIDDEN, hide_passwords

DEFAULT_STORAGE = "sqlite:///explorer.db"
SERVER_STORAGE = "postgresql://USER@HOST/DATABASE"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)  # at least two characters: "C:" is a drive
# A URL without scheme or colon, or a connection string of libpq; both may contain a password.
_NO_PATH = re.compile(
    r"://|:.*@|\A(postgres\w*|sqlite)//|\bpassword\s*=|\A\w+\s*=\s*('[^']*'|\S+)\s+\w+\s*=", re.DOTALL | re.IGNORECASE
)


def parse_storage(storage: str | os.PathLike[str]) -> URL:
    """Return the URL of a database.

    Args:
        storage: A URL (``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE``) or the path of an SQLite file. ``~`` at
            the start of a path is the home folder. The default driver of PostgreSQL is psycopg.

    Raises:
        StoreError: ``storage`` is not a valid URL or path. The message contains no password.
    """
    if isinstance(storage, os.PathLike):
        return _file_url(os.fspath(storage))
    if not isinstance(storage, str):
        raise StoreError(f"storage: expected the URL or the path of a database, found {type(storage).__name__}")
    text = storage.strip()
    if not text:
        raise StoreError(f"the storage is empty; write {DEFAULT_STORAGE}, a path or {SERVER_STORAGE}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _path_url(text)
    name, _, driver = scheme[1].lower().partition("+")
    rest = text[scheme.end() :]
    if name == "sqlite" and driver in ("", "pysqlite"):
        return _sqlite_url(text, rest)
    if name in ("postgres", "postgresql"):
        return _server_url(driver or "psycopg", rest)
    raise StoreError(
        f"{scheme[0]}{HIDDEN}: expected a path, sqlite:///FILE or {SERVER_STORAGE} as the storage"
        f"; write a path with a colon as in ./a:b.db"
    )


def shown_storage(url: URL) -> str:
    """Return a URL as text without its password."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    return hide_passwords(url.render_as_string(hide_password=True))


def sqlite_file(url: URL) -> Path | None:
    """Return the absolute path of an SQLite database, which may not exist; None for a server.

    Raises:
        StoreError: The path is relative, and the current folder was removed.
    """
    if url.get_backend_name() != "sqlite":
        return None
    try:
        return Path(os.path.realpath(str(url.database)))
    except FileNotFoundError:
        raise StoreError(
            f"{shown_storage(url)}: the current folder was removed; change to another, or give an absolute path"
        ) from None


def database_file(storage: str | os.PathLike[str]) -> Path | None:
    """Return the file of an SQLite database, which may not exist; None for a server.

    Args:
        storage: A URL or a path, as for ``parse_storage``.

    Raises:
        StoreError: ``storage`` is not a valid URL or path.
    """
    return sqlite_file(parse_storage(storage))


def _path_url(text: str) -> URL:
    """Return the URL of a text without a scheme, the path of a file. Raises StoreError if it is not a path."""
    if _NO_PATH.search(text):
        raise StoreError(f"this is not a storage URL; write a path, {DEFAULT_STORAGE} or {SERVER_STORAGE}")
    if text == ":memory:":
        raise _in_memory(text)
    if not re.search(r"[./\\]", text) and not os.path.exists(text):
        raise StoreError(f"{text!r} is not a storage URL; write sqlite:///{text} for a file of this name")
    return _file_url(text)


def _sqlite_url(text: str, rest: str) -> URL:
    """Return the URL of a text with the scheme ``sqlite``; ``rest`` follows the scheme."""
    slashes = len(rest) - len(rest.lstrip("/"))
    if slashes == 1:
        raise StoreError(
            f"{text}: write sqlite://{rest} for a file in the current folder, or sqlite:///{rest} for {rest}"
        )
    path = rest[min(slashes, 3) :]
    if path in ("", ":memory:"):
        raise _in_memory(text)
    if path.startswith("file:") or re.search(r"\?\w+=", path):
        raise StoreError(f"{text}: give a plain path, as in {DEFAULT_STORAGE}; the explorer chooses how to open it")
    return _file_url(path)


def _file_url(path: str) -> URL:
    """Return the URL of an SQLite file. Raises StoreError if the path cannot be that of a file."""
    if "\0" in path:
        raise StoreError(f"{path!r}: a path cannot contain a NUL character")
    if os.name != "nt" and PureWindowsPath(path).drive.endswith(":"):
        raise StoreError(f"{path}: a path with a Windows drive, which this system does not have; give another path")
    path = os.path.expanduser(path)
    if path.endswith(os.sep) or os.path.isdir(path):
        raise StoreError(
            f"{path} is a folder; name the file in it, as in sqlite:///{os.path.join(path, 'explorer.db')}"
        )
    if os.path.exists(path) and not os.path.isfile(path):
        raise StoreError(f"{path} is a device or a pipe; name a file")
    return URL.create("sqlite", database=path)


def _server_url(driver: str, rest: str) -> URL:
    """Return the URL of a PostgreSQL database. ``rest``: the text that follows the scheme.

    Raises StoreError if host, port or database could contain a part of the password.
    """
    text = f"postgresql+{driver}:{rest}"
    try:
        url = sqlalchemy.make_url(text)
        text.encode()
        is_host = re.fullmatch(r"[\w.,:-]*|%2f[\w.%/-]*", url.host or "", re.IGNORECASE)
        is_database = re.fullmatch(r"[^/@:\0][^@:\0]*|", url.database or "")
        is_clear = rest.startswith("//") and rest.count("@") <= 1 and "\0" not in rest
        if is_clear and is_host and is_database and (url.port or 0) < 65_536:
            return url
    except (ArgumentError, ValueError):  # an invalid port, or a text that cannot be encoded as UTF-8
        pass
    raise StoreError(
        f"postgresql:{HIDDEN} is not a storage URL; write {SERVER_STORAGE} and give the password in PGPASSWORD or"
        " ~/.pgpass; in a URL, @ : / ? # % of a password are written %40 %3A %2F %3F %23 %25"
    )


def _in_memory(text: str) -> StoreError:
    return StoreError(
        f"{text}: a database in memory keeps nothing; give a file, as in {DEFAULT_STORAGE}"
        " (explorer.search in Python takes storage=None)"
    )
