"""Generated documentation is up to date."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from docs.generate import PAGES, PUBLIC, ROOT
from explorer.networks.ops import registry


@pytest.mark.parametrize(("path", "content"), PAGES.items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_are_up_to_date(path, content):
    """The generated pages, the schema and the types for type checkers equal the output of `python -m docs.generate`."""
    assert path.read_text() == content(), "run: python -m docs.generate"


def test_every_op_is_documented():
    """Each registered op appears once on the ops page."""
    lines = (ROOT / "docs" / "reference" / "ops.md").read_text().splitlines()
    for spelling in registry.by_spelling:
        assert sum(line.startswith((f"| `{spelling}`", f"| `{spelling}KxK`")) for line in lines) == 1


def test_the_reliability_page_names_tests_that_exist():
    """Each test and test file that docs/explanation/reliability.md names exists."""
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text()
    files = {str(file.relative_to(ROOT / "tests")): file.read_text() for file in (ROOT / "tests").rglob("*.py")}
    named = set(re.findall(r"`(?:[\w/]+\.py::)?(test_\w+)`", page))
    assert named and {name for name in named if not any(f"def {name}(" in text for text in files.values())} == set()
    paths = set(re.findall(r"`((?:\w+/)*test_\w+\.py)[`:]", page))
    assert paths and paths - {*files, *(path.rsplit("/")[-1] for path in files)} == set()


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    """Each link of the pages has a target, and each docstring of a public name is valid."""
    pytest.importorskip("sphinx", reason="the documentation is built with the extra docs")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", ROOT / "docs", ROOT, tmp_path]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "docs" / "index.html").exists()


def test_each_public_name_is_on_the_python_page():
    """docs/reference/python.md has an entry for each name of ``import explorer``."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    assert sorted(re.findall(r"^\.\. auto\w+:: explorer\.(\w+)$", page, re.MULTILINE)) == sorted(PUBLIC)
