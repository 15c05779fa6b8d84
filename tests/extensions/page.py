"""The files that docs/everyday/extending.md shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "everyday" / "extending.md").read_text()


def shown(name: str) -> str:
    """Return the code block of the page that is marked with the name of a file."""
    block = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL)
    assert block is not None, name
    return block[1]
