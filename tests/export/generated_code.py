"""Import of the code that an export writes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType


def imported(text: str, folder: Path) -> ModuleType:
    """Write ``text`` to ``model.py`` in ``folder`` and return it as a module."""
    path = folder / "model.py"
    path.write_text(text)
    module = ModuleType("exported_model")
    exec(compile(text, path, "exec"), module.__dict__)  # an import could take the cached bytecode of an earlier text
    return module
