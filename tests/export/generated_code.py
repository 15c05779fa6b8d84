"""Import of the code that an export writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def imported(text: str, folder: Path) -> ModuleType:
    """Write ``text`` to ``model.py`` in ``folder`` and import it."""
    path = folder / "model.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("exported_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
