"""Imports follow the layers in ``pyproject.toml``, and files and folders stay small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKED = ("explorer", "dashboards")
MAX_LINES = 400
MAX_FILES = 20


def test_imports_run_down_the_layers():
    """No package imports one above or beside it, and no two modules of a package import each other, not even in
    functions."""
    program = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_files_and_folders_are_small():
    """No file has more than 400 lines, and no folder more than 20 files."""
    files = [file for folder in CHECKED for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    long = {str(file.relative_to(ROOT)): lines for file in files if (lines := _lines(file)) > MAX_LINES}
    full = {
        str(folder.relative_to(ROOT)): count
        for folder in {file.parent for file in files}
        if (count := len(list(folder.glob("*.py")))) > MAX_FILES
    }
    assert (long, full) == ({}, {})


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())
