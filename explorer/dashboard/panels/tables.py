"""Tables of a page as HTML: readable by screen readers, and one card per row on a phone (``style.css``)."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas
import streamlit as st

from explorer.dashboard.text import safe_text

Form = str | Callable[[float], str]  # a format of a number, or a function that writes it
PAGE_ROWS = 25
DIGITS = "{:.4g}"
LONG = 40  # characters of a text that is broken into lines
# A number that is written with its unit, such as "36.86k", "+2.1%" or "85.3% ± 0.4".
WRITTEN_NUMBER = re.compile(r"[-+±]?\d[\d,.]*(e[-+]?\d+)?\s?(%|[kMGTP]|[KMG]iB|[mµ]?s|ms| points)?( ± [\d.]+%?)?")


def draw_table(
    rows: pandas.DataFrame,
    title: str,
    *,
    forms: Mapping[str, Form] = MappingProxyType({}),
    height: int | None = None,
) -> None:
    """Draw all rows of a table.

    Args:
        rows: The table; its texts must be safe for a cell (``safe_text``).
        title: What the table holds, for screen readers.
        forms: Column -> format of its numbers, or a function that writes them; by default ``DIGITS``, and
            whole numbers as they are.
        height: Greatest height in pixels, above which the table scrolls; None for no limit.
    """
    st.html(table_html(rows, title, forms=forms, height=height))


def draw_pages(count: int, rows: Callable[[int, int], pandas.DataFrame], title: str, key: str) -> None:
    """Draw one page of a long table, with a picker of the page.

    Args:
        count: Number of all rows.
        rows: Returns the rows from a place up to another one.
        title: What the table holds, for screen readers.
        key: A name that no other table of the page has.
    """
    pages = max(1, math.ceil(count / PAGE_ROWS))
    page = 1
    if pages > 1:
        st.session_state[key] = min(max(1, int(st.session_state.get(key, 1))), pages)
        page = int(st.number_input(f"Page (1 to {pages:,})", 1, pages, step=1, key=key, width=170))
    first = (page - 1) * PAGE_ROWS
    last = min(first + PAGE_ROWS, count)
    draw_table(rows(first, last), title)
    if pages > 1:
        st.caption(f"Rows {first + 1:,} to {last:,} of {count:,}.")


def table_html(
    rows: pandas.DataFrame,
    title: str,
    *,
    forms: Mapping[str, Form] = MappingProxyType({}),
    height: int | None = None,
) -> str:
    """Return a table as HTML. Each cell names its column, which a phone shows in place of the head."""
    numeric = {name: _is_numeric(rows[name]) for name in rows.columns}
    head = "".join(
        f'<th scope="col"{_aligned(numeric[name])}>{html.escape(str(name)) or "&#160;"}</th>' for name in rows.columns
    )
    body = []
    for row in rows.itertuples(index=False, name=None):
        cells = [(str(name), _cell(value, forms.get(str(name), DIGITS))) for name, value in zip(rows.columns, row)]
        made = [
            f'<td data-label="{html.escape(name)}"{_aligned(numeric[name], text)}{"" if text else _EMPTY}>{text}</td>'
            for name, text in cells
        ]
        body.append(f"<tr>{''.join(made)}</tr>")
    limit = f' style="max-height:{height}px"' if height else ""
    label = html.escape(safe_text(title))
    return (
        f'<div class="explorer-table" role="region" aria-label="{label}" tabindex="0"{limit}>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


_EMPTY = ' data-empty="yes"'


def _is_numeric(column: pandas.Series) -> bool:
    """Return whether a column holds numbers, or texts that are all written numbers."""
    if pandas.api.types.is_numeric_dtype(column):
        return True
    texts = [value for value in column if value]
    return bool(texts) and all(isinstance(value, str) and WRITTEN_NUMBER.fullmatch(value) for value in texts)


def _aligned(is_number: bool, text: str = "") -> str:
    return ' class="number"' if is_number else ' class="long"' if len(text) > LONG else ""


def _cell(value: Any, form: Form) -> str:
    """Return a value as HTML; nothing for a missing one."""
    if value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, pandas.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        if form is DIGITS and value.is_integer():
            return f"{value:.0f}"
        return html.escape(form.format(value) if isinstance(form, str) else form(value))
    return html.escape(str(value))
