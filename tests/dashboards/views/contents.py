"""What a page that was run displays."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas
from streamlit.testing.v1 import AppTest


def texts(at: AppTest) -> str:
    """Return all texts of a page."""
    assert not at.exception
    return "\n".join(str(element.value) for element in [*at.text, *at.code, *at.caption, *at.markdown, *at.subheader])


def plain(text: str) -> str:
    """Return Markdown without the escapes of its punctuation."""
    return text.replace("\u2060", "").replace("\\", "")


def tables(at: AppTest) -> list[pandas.DataFrame]:
    """Return the tables of a page; columns of numbers are numbers."""
    assert not at.exception
    found = []
    for element in at.get("html"):
        if not element.proto.body.startswith('<div class="explorer-table"'):
            continue
        tree = ElementTree.fromstring(element.proto.body.replace("&nbsp;", ""))
        heads = [(cell.text or "").replace("\u00a0", "") for cell in tree.iter("th")]
        rows = [[cell.text or "" for cell in row] for row in tree.find("table/tbody")]
        table = pandas.DataFrame(rows, columns=heads)
        for name in table:
            numbers = pandas.to_numeric(table[name], errors="coerce")
            if (numbers.notna() | (table[name] == "")).all() and numbers.notna().any():
                table[name] = numbers
        found.append(table)
    return found


def table_with(at: AppTest, column: str) -> pandas.DataFrame:
    """Return the first table of a page that has a column."""
    return next(table for table in tables(at) if column in table)


def drawings(at: AppTest) -> int:
    """Return the number of drawings of blocks and networks on a page."""
    assert not at.exception
    return sum('<div class="explorer-drawing"' in element.proto.body for element in at.get("html"))


def runs(at: AppTest) -> pandas.DataFrame:
    """Return the table of trials on the page of runs."""
    return table_with(at, "reason")
