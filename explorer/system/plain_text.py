"""Make any text safe for a database and for a terminal.

A reason, a name or a choice may hold what an exception of the user's said, or come from somebody else's database.
"""

from __future__ import annotations

import re

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL takes no NUL, UTF-8 no lone surrogate
# Control characters, which move the cursor or start an escape sequence, signs that turn the direction of writing, and
# what cannot be encoded. Tab and line feed stay.
_NOT_PRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with an escape, as in ``\\x00``, for each character that no database keeps."""
    return _NOT_STORABLE.sub(_escape, text)


def printable(text: str) -> str:
    """Return the text with an escape, as in ``\\x1b``, for each character that a terminal would act on."""
    return _NOT_PRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
