"""Tables in terminals of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from explorer.cli import options

COLUMNS = {"trial": "right", "space": "left", "choices": "left"}
ROWS = [(4, "preact_variants", "depth=1 attn@stage1=se(r=16)"), (12, None, "depth=3 attn@stage1=none")]
TABLE = [
    "trial  space            choices",
    "    4  preact_variants  depth=1 attn@stage1=se(r=16)",
    "   12                   depth=3 attn@stage1=none",
]


def printed(monkeypatch, width: int) -> str:
    """Return what the table is in a terminal of this width, without colours."""
    out = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(options, "console", lambda: out)
    options.print_table(COLUMNS, ROWS)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_wide_terminal_shows_a_table(monkeypatch):
    """Each row is one line if the terminal is wide enough."""
    assert [line.rstrip() for line in printed(monkeypatch, 80).splitlines()] == TABLE


@pytest.mark.parametrize("width", [5, 20, 40, 44, 45, 46, 50, 60])
def test_nothing_of_a_table_is_cut(monkeypatch, width):
    """A narrow terminal shows every word of every cell: in a table, or one line for each cell."""
    shown = printed(monkeypatch, width)
    for row in ROWS:
        for word in " ".join(str(cell) for cell in row if cell is not None).split():
            assert word in shown.split()
