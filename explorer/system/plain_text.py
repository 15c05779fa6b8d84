"""Make any text safe for a database and for a terminal.

Text from the user's exceptions and from other people's databases can hold characters that neither accepts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL takes no NUL, UTF-8 no lone surrogate
# Control characters, which move the cursor or start an escape sequence; characters that change the direction of text;
# and characters that cannot be encoded. Tab and line feed are kept.
_NOT_PRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with an escape, as in ``\\x00``, for each character that a database does not accept."""
    return _NOT_STORABLE.sub(_escape, text)


def printable(text: str) -> str:
    """Return the text with an escape, as in ``\\x1b``, for each character that a terminal would interpret."""
    return text if text.isprintable() else _NOT_PRINTABLE.sub(_escape, text)  # nearly all is, which is seen quickly


def _escape(match: re.Match[str]) -> str:
    """Return the escape of one character."""
    return match[0].encode("unicode_escape").decode()


def html_table(title: str, values: Mapping[str, object]) -> str:
    """Return a table of two columns in HTML, with all text escaped, for notebooks.

    Args:
        title: The caption.
        values: Name -> value of each row.
    """
    escaped = ((html.escape(name), html.escape(str(value))) for name, value in values.items())
    rows = (f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in escaped)
    return f"<table><caption>{html.escape(title)}</caption>{''.join(rows)}</table>"
