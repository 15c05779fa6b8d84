"""What is written from the program is what the program says."""

from __future__ import annotations

import pytest

from docs.generate import PAGES, ROOT
from explorer.networks.ops import registry


@pytest.mark.parametrize(("path", "content"), PAGES.items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_are_up_to_date(path, content):
    """docs/ops.md, docs/errors.md and the schema are what `python -m docs.generate` writes."""
    assert path.read_text() == content(), "run: python -m docs.generate"


def test_every_op_has_its_line():
    """Each registered op stands in the ops page once."""
    lines = (ROOT / "docs" / "ops.md").read_text().splitlines()
    for spelling in registry.by_spelling:
        assert sum(line.startswith((f"| `{spelling}`", f"| `{spelling}KxK`")) for line in lines) == 1
