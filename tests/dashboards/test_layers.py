"""Imports of the dashboard go from the pages down to the tables."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import explorer.dashboard
from explorer.dashboard.launch import pages_folder

PACKAGE = Path(explorer.dashboard.__file__).parent
# Each layer may import only the layers before it.
LAYERS = ("text", "quantities", "data", "figures", "session", "panels", "views")


def imports(path: Path) -> set[str]:
    """Return the names of all modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def files(layer: str) -> list[Path]:
    folder = pages_folder() / layer if layer == "views" else PACKAGE / layer
    return sorted(folder.glob("*.py")) if folder.is_dir() else [PACKAGE / f"{layer}.py"]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_down(layer):
    """No layer of the dashboard imports a later one, and no layer below the session imports Streamlit."""
    later = LAYERS[LAYERS.index(layer) + 1 :]
    for file in files(layer):
        found = imports(file)
        parts = {name.split(".")[2] for name in found if name.startswith("explorer.dashboard.")}
        assert not parts & set(later), file
        assert layer in ("session", "panels", "views") or not any(name.split(".")[0] == "streamlit" for name in found)
