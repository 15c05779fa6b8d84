"""Make text from a database safe for the place that shows it.

A database may come from anyone. Its texts are shown as text, never as markup, a link or an image.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

TextFormat = Literal["plain", "markdown", "plotly", "dot", "cell"]

LENGTH = 200
# Control, bidi and other format characters, surrogates, private and unassigned code points, line separators.
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_WORD_JOINER = "\u2060"


def safe_text(value: Any, form: TextFormat = "plain", length: int = LENGTH) -> str:
    """Return a value as one line of visible characters that the given format shows literally.

    Args:
        value: Any value; ``str`` is applied to it.
        form: ``plain`` for widgets without markup (``st.text``, ``st.code``, options of a select box), ``markdown`` for
            labels and messages, ``plotly`` for names, titles and hover texts, ``dot`` for a quoted graphviz label,
            ``cell`` for a table cell that may be downloaded as CSV.
        length: Maximum number of visible characters; longer text is cut and ends in "…".
    """
    return _safe(str(value)[: 4 * length], form, length)


@functools.lru_cache(maxsize=1 << 15)  # thousands of trials share a few choices
def _safe(text: str, form: TextFormat, length: int) -> str:
    visible = "".join(" " if char.isspace() else char for char in text if _is_visible(char))
    line = " ".join(visible.split())
    return _ESCAPES[form](line if len(line) <= length else line[: length - 1] + "…")


def _is_visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in _INVISIBLE


def _markdown(line: str) -> str:
    # A backslash keeps punctuation from being markup. Streamlit links bare addresses and e-mail addresses and replaces
    # :emoji: after that, in the unescaped text, so an invisible word joiner separates them.
    escaped = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)
    return re.sub(r"(\\[:@.])", rf"{_WORD_JOINER}\1{_WORD_JOINER}", escaped)


def _plotly(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dot(line: str) -> str:
    # Graphviz decodes HTML entities in labels, so "&" is written as one.
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _cell(line: str) -> str:
    # A spreadsheet reads a cell that starts with one of these characters as a formula.
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


_ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "markdown": _markdown,
    "plotly": _plotly,
    "dot": _dot,
    "cell": _cell,
}
