"""Generated documentation is up to date."""

from __future__ import annotations

import pytest

from docs.generate import PAGES, ROOT
from explorer.networks.ops import registry


@pytest.mark.parametrize(("path", "content"), PAGES.items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_are_up_to_date(path, content):
    """docs/ops.md, docs/errors.md and the schema equal the output of `python -m docs.generate`."""
    assert path.read_text() == content(), "run: python -m docs.generate"


def test_every_op_is_documented():
    """Each registered op appears once on the ops page."""
    lines = (ROOT / "docs" / "ops.md").read_text().splitlines()
    for spelling in registry.by_spelling:
        assert sum(line.startswith((f"| `{spelling}`", f"| `{spelling}KxK`")) for line in lines) == 1
