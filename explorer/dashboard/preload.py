"""The scripts of the first page that its browser loads at once, instead of one after the other as elements arrive.

Streamlit loads the code of an element when the server sends the first one of its kind. Plotly, which is 5 MB, would
otherwise be asked for last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit

ELEMENTS = (
    "PlotlyChart", "Html", "PageLink", "Selectbox", "NumberInput", "Checkbox", "BidiComponent", "Button",
)  # fmt: skip
PAGE = "index.html"  # the entry of Streamlit's page in its manifest


def preload_header() -> str:
    """Return the ``Link`` header of a page; empty if this version of Streamlit has no manifest of its scripts."""
    folder = Path(streamlit.__file__).parent / "static"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        known = _with_imports(manifest, [PAGE])
        elements = [name for name in manifest if Path(name).stem in ELEMENTS and manifest[name].get("isDynamicEntry")]
        wanted = [name for name in _with_imports(manifest, sorted(elements, key=_is_not_plotly)) if name not in known]
        files = [manifest[name]["file"] for name in wanted]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return ", ".join(f"</{file}>; rel=modulepreload; crossorigin" for file in files)


def _is_not_plotly(name: str) -> bool:
    return Path(name).stem != ELEMENTS[0]


def _with_imports(manifest: Mapping[str, Any], names: list[str]) -> list[str]:
    """Return entries of a manifest and all that they import, each once."""
    found: dict[str, None] = {}
    waiting = list(reversed(names))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += reversed(manifest[name].get("imports", []))
    return list(found)
