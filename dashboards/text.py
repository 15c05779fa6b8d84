"""Texts from a database, made safe for the place where they are shown.

A database may come from anyone. What it says is shown as text, never as markup, a link or an image.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

Place = Literal["plain", "markdown", "plotly", "dot", "cell"]

LENGTH = 200
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # control, bidi and other format signs, surrogates, unassigned
_WORD_JOINER = "\u2060"


def safe_text(value: Any, place: Place = "plain", length: int = LENGTH) -> str:
    """``value`` as one line of at most ``length`` visible characters that ``place`` shows as it stands.

    ``plain``: widgets that interpret nothing (st.text, st.code, options of a select box);
    ``markdown``: labels and messages; ``plotly``: names, titles and hover texts;
    ``dot``: within a quoted graphviz label; ``cell``: a table's cell, which may be downloaded as CSV.
    """
    return _safe(str(value)[: 4 * length], place, length)


@functools.lru_cache(maxsize=1 << 15)  # thousands of trials give the same few answers
def _safe(text: str, place: Place, length: int) -> str:
    visible = "".join(" " if sign.isspace() else sign for sign in text if _shows(sign))
    line = " ".join(visible.split())
    return _AS_SHOWN[place](line if len(line) <= length else line[: length - 1] + "…")


def _shows(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign) not in _INVISIBLE


def _markdown(line: str) -> str:
    # A backslash keeps punctuation from being markup. Bare addresses, e-mail addresses and :emoji: are
    # looked for after that, in the plain text, so an invisible joiner parts them.
    escaped = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)
    return re.sub(r"(\\[:@.])", rf"{_WORD_JOINER}\1{_WORD_JOINER}", escaped)


def _plotly(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dot(line: str) -> str:
    # Graphviz decodes entities in labels, so an ampersand is written as one.
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _cell(line: str) -> str:
    # A spreadsheet takes a cell with one of these signs in front for a formula.
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


_AS_SHOWN: dict[str, Callable[[str], str]] = {
    "plain": str,
    "markdown": _markdown,
    "plotly": _plotly,
    "dot": _dot,
    "cell": _cell,
}
