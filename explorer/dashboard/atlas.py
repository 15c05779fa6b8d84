"""The atlas page: the costs of a space's networks as one HTML file that opens offline and lets readers pick axes."""

from __future__ import annotations

import html
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.table import WITHIN, choice_names
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.text import safe_text
from explorer.errors import ExplorerError
from explorer.system.files import write_atomically
from explorer.system.installation import install_command

MAX_POINTS = 20_000  # a browser pans and zooms so many without delay
_TEMPLATE = Path(__file__).with_name("atlas.html")


def check_plotting() -> None:
    """Raise ExplorerError if plotly is not installed."""
    if find_spec("plotly") is None:
        raise ExplorerError(f"--plot needs plotly; install with: {install_command('dashboard')}")


def page_head() -> str:
    """Return the text with which every atlas page starts."""
    return _TEMPLATE.read_text(encoding="utf-8").partition("@title@")[0]


def write_page(path: Path, atlas: Path, points: int = MAX_POINTS) -> int:
    """Write the page of an atlas.

    Args:
        path: The HTML file.
        atlas: The atlas, a Parquet file.
        points: Maximum number of points; a larger atlas is sampled uniformly.

    Returns:
        The number of points.

    Raises:
        ExplorerError: The file cannot be written.
    """
    table, total = _sample(atlas, points)
    try:
        write_atomically(path, page_text(table, total).encode())
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written: {error.strerror or error}") from None
    return int(table.num_rows)


def _sample(atlas: Path, points: int) -> tuple[pyarrow.Table, int]:
    """Return all rows, or a uniform sample of ``points``, and the number of rows. Reads one row group at a time."""
    whole = parquet.read_table(atlas, columns=[WITHIN])[WITHIN].to_numpy() if _has_limits(atlas) else None
    with parquet.ParquetFile(atlas) as file:
        kept = np.arange(file.metadata.num_rows) if whole is None else np.flatnonzero(whole)
        total = len(kept)
        rows = kept[np.sort(np.random.default_rng(0).choice(total, points, replace=False))] if total > points else kept
        parts, start = [], 0
        for number in range(file.num_row_groups):
            end = start + file.metadata.row_group(number).num_rows
            own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
            if len(own):
                parts.append(file.read_row_group(number).take(own))
            start = end
        return pyarrow.concat_tables(parts or [file.schema_arrow.empty_table()]).unify_dictionaries(), total


def _has_limits(atlas: Path) -> bool:
    """Return whether the networks of an atlas are marked that keep the limits of the space; only these are drawn."""
    return WITHIN in parquet.read_schema(atlas).names


def page_text(table: pyarrow.Table, total: int) -> str:
    """Return the page as HTML.

    Args:
        table: Rows of an atlas, as ``explorer.costs.whole_space.table`` writes it.
        total: Number of rows of the whole atlas.
    """
    from plotly.offline import get_plotlyjs

    content = page_content(table, total)
    # In a script, "</" and "<!--" in texts would be read as markup.
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    page = _TEMPLATE.read_text(encoding="utf-8")
    for mark, text in (("@title@", html.escape(content["title"])), ("@plotly@", get_plotlyjs()), ("@data@", data)):
        page = page.replace(mark, text, 1)
    return page


def page_content(table: pyarrow.Table, total: int) -> dict[str, Any]:
    """Return the data of the page: title, caption, costs in their units, levels of choices, and indices of networks."""
    metadata = json.loads((table.schema.metadata or {}).get(b"explorer", b"{}"))
    costs = []
    for name in COSTS:
        values = table[name].to_numpy()
        unit = unit_of(name, (values.max(initial=0),))
        costs.append(
            {
                "name": name,
                "label": unit.label,
                "title": unit.title,
                "suffix": unit.suffix,
                "values": (values / unit.divisor).tolist(),
            }
        )
    choices = []
    for name in choice_names(table.schema):
        column = table[name].combine_chunks()
        levels = [safe_text(text, "plotly", length=60) for text in column.dictionary.to_pylist()]
        codes = column.indices.fill_null(-1).to_pylist()
        choices.append({"name": safe_text(name, "plotly", length=60), "levels": levels, "codes": codes})
    shape = "x".join(map(str, metadata.get("input", ())))
    shown = (
        f"{table.num_rows:,} of its {total:,} networks, a uniform sample"
        if table.num_rows < total
        else f"{total:,} networks"
    )
    shown += " that keep the limits of the space" if WITHIN in table.schema.names else ""
    derivations = int(metadata.get("derivations", total)) if WITHIN not in table.schema.names else total
    if derivations > total:
        shown += (
            f" ({total:,} sampled of {derivations:,} derivations)"
            if derivations < 10**15
            else f" (of about 10^{len(str(derivations)) - 1})"
        )
    return {
        "title": safe_text(f"Costs of {metadata.get('space', 'a space')}", length=120),
        "caption": (
            f"{shown}; input {shape}, {metadata.get('classes', '')} classes. One point per network; costs of one image."
        ),
        "costs": costs,
        "choices": choices,
        "index": [str(index) for index in table["index"].to_pylist()],
    }
