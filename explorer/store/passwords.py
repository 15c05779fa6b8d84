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
# Keys and tokens in the query of a URL, and in assignments to variables of the environment.
_KEY = r"(?:token|secret|api_?key|access_?key|account_?key|credentials?|signature|sig|sas)"
_QUERY_KEY = re.compile(rf"([?&;](?:[^=&;\s]*[_-])?{_KEY}=)(?!\*\*\*)[^&;\s]+", re.IGNORECASE)
_VARIABLE_KEY = re.compile(rf"\b((?:[A-Z0-9]+_)*{_KEY.upper()}=)(?!\*\*\*)\S+")
_ASSIGNED_KEY = re.compile(rf"(?:^|[\s,;:=])(?:\w*_)?{_KEY}=(?!\*\*\*)\S", re.IGNORECASE)
# What stands alone before the host of a web address is a token, not the name of a user.
_TOKEN = re.compile(r"(https?://)(?!\*\*\*)[^:/?#@\s]+@", re.IGNORECASE)


def has_password(storage: str) -> bool:
    """Return whether a storage, or a value of an option, contains a password, a key or a token.

    The storage need not be a valid URL. ``token=...`` counts here, though messages keep it: a space may have a choice
    of this name.
    """
    return hide_passwords(storage) != storage or _ASSIGNED_KEY.search(storage) is not None


def hide_passwords(text: str) -> str:
    """Return a text with ``***`` in place of the passwords, keys and tokens of its URLs and connection strings.

    In a PostgreSQL URL everything between the user name and the last ``@`` of the line is replaced, since a password
    may contain an unescaped ``@``. After a parameter such as ``password=`` the rest of the line is replaced.
    """

    def hidden(found: re.Match[str]) -> str:
        user = f"{found['user']}:" if found["user"] and (found["colon"] or found["open"]) else ""
        return f"{found['start']}{user}{HIDDEN}{'' if found['open'] else '@'}"

    without = _SECRET_VALUE.sub(rf"\1{HIDDEN}", text)
    for key in (_QUERY_KEY, _VARIABLE_KEY):
        without = key.sub(rf"\1{HIDDEN}", without)
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
