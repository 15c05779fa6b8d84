"""Passwords of databases, hidden in every text that people or files get to see."""

from __future__ import annotations

import re

HIDDEN = "***"
_SECRET_VALUE = re.compile(r"([?&][^=&\s]*(?:pass|pwd)[^=&\s]*=|\b\w*passw(?:or)?d\s*=\s*)(?!\*\*\*).+", re.IGNORECASE)
_CREDENTIALS = re.compile(
    r"(?<![\w+.-])(?P<start>(?P<server>postgres[\w+.-]*):/*+|(?!sqlite|postgres)[a-z][\w+.-]*://)"
    r"(?!\*\*\*)(?P<user>[^:/?#@\s]*+)"
    r"(?!@|:\*\*\*|:\d{1,5}[^\s@]*(?:\s|$))"  # a user name alone, a password hidden before, a port
    r"(?:(?P<colon>:?)(?(server).*|\S*)@|(?P<open>:)(?(server).+|(?!)))",
    re.IGNORECASE,
)


def has_password(storage: str) -> bool:
    """Whether a storage, well formed or not, holds a password."""
    return hide_passwords(storage) != storage


def hide_passwords(text: str) -> str:
    """Return a message with ``***`` in place of the passwords of the URLs and connection strings in it.

    A URL of PostgreSQL loses all between its user name and the last ``@`` of the line, since a password may hold an
    unescaped ``@``; after a parameter such as ``password=`` the rest of the line is hidden.
    """

    def hidden(found: re.Match[str]) -> str:
        user = f"{found['user']}:" if found["user"] and (found["colon"] or found["open"]) else ""
        return f"{found['start']}{user}{HIDDEN}{'' if found['open'] else '@'}"

    return _CREDENTIALS.sub(hidden, _SECRET_VALUE.sub(rf"\1{HIDDEN}", text))


def words_of(error: Exception) -> str:
    """Return a driver's message as one line without passwords; SQLAlchemy's own adds statement and parameters."""
    return hide_passwords(" ".join(str(getattr(error, "orig", None) or error).split()))[:300]
