"""Removal of database passwords from messages, logs and files."""

from __future__ import annotations

import os
import re

HIDDEN = "***"
MIN_SECRET = 8  # characters: a shorter value of the environment may be a common word
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|ACCESS_KEY|ACCOUNT_KEY|SAS|CREDENTIAL", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"([?&][^=&\s]*(?:pass|pwd)[^=&\s]*=|\b\w*passw(?:or)?d\s*=\s*)(?!\*\*\*).+", re.IGNORECASE)
_CREDENTIALS = re.compile(
    r"(?<![\w+.-])(?P<start>(?P<server>postgres[\w+.-]*):/*+|(?!sqlite|postgres)[a-z][\w+.-]*://)"
    r"(?!\*\*\*)(?P<user>[^:/?#@\s]*+)"
    r"(?!@|:\*\*\*|:\d{1,5}[^\s@]*(?:\s|$))"  # a user name alone, a password hidden before, a port
    r"(?:(?P<colon>:?)(?(server).*|\S*)@|(?P<open>:)(?(server).+|(?!)))",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(https?://)(?!\*\*\*)[^:/?#@\s]+@", re.IGNORECASE)  # a web server has no user without a password


def has_password(storage: str) -> bool:
    """Return whether a storage contains a password; the storage need not be a valid URL."""
    return hide_passwords(storage) != storage


def hide_passwords(text: str) -> str:
    """Return a text with ``***`` in place of the passwords of its URLs and connection strings.

    In a PostgreSQL URL everything between the user name and the last ``@`` of the line is replaced, since a password
    may contain an unescaped ``@``. After a parameter such as ``password=`` the rest of the line is replaced.
    """

    def hidden(found: re.Match[str]) -> str:
        user = f"{found['user']}:" if found["user"] and (found["colon"] or found["open"]) else ""
        return f"{found['start']}{user}{HIDDEN}{'' if found['open'] else '@'}"

    without = _SECRET_VALUE.sub(rf"\1{HIDDEN}", text)
    return _TOKEN.sub(rf"\1{HIDDEN}@", _CREDENTIALS.sub(hidden, without))


def driver_message(error: Exception) -> str:
    """Return a database driver's message as one line without passwords, of at most 300 characters.

    The message of SQLAlchemy's own exception would add the statement and its parameters.
    """
    return hide_passwords(_without_secrets(" ".join(str(getattr(error, "orig", None) or error).split())))[:300]


def _without_secrets(text: str) -> str:
    """Return a text with ``***`` in place of the keys and tokens that the environment holds."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= MIN_SECRET:
            text = text.replace(value, HIDDEN)
    return text
