"""The cloud of costs as one page that opens in any browser, without a network: axes and colours are chosen there."""

from __future__ import annotations

import html
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from dashboards.quantities import unit_of
from dashboards.text import safe_text
from explorer.errors import ExplorerError
from explorer.quantities import COSTS
from explorer.survey.table import choice_names
from explorer.system.files import write_atomically

MOST = 20_000  # points drawn: as many as a browser moves about without delay
_TEMPLATE = Path(__file__).with_name("atlas.html")


def check_plotting() -> None:
    """Raises ExplorerError when plotly is not installed."""
    if find_spec("plotly") is None:
        raise ExplorerError("--plot needs plotly; install with: pip install 'explorer[dashboard]'")


def page_head() -> str:
    """With what every page of an atlas begins."""
    return _TEMPLATE.read_text(encoding="utf-8").partition("@title@")[0]


def write_page(path: Path, atlas: Path, most: int = MOST) -> int:
    """Writes the page of an atlas in Parquet; returns how many points it shows. Raises ExplorerError."""
    table, total = _drawn(atlas, most)
    try:
        write_atomically(path, cloud_page(table, total).encode())
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written: {error.strerror or error}") from None
    return table.num_rows


def _drawn(atlas: Path, most: int) -> tuple[pyarrow.Table, int]:
    """All rows, or ``most`` drawn at random, and how many there are; never the whole of a large file in memory."""
    with parquet.ParquetFile(atlas) as file:
        total = file.metadata.num_rows
        rows = (
            np.sort(np.random.default_rng(0).choice(total, most, replace=False)) if total > most else np.arange(total)
        )
        parts, start = [], 0
        for number in range(file.num_row_groups):
            end = start + file.metadata.row_group(number).num_rows
            own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
            if len(own):
                parts.append(file.read_row_group(number).take(own))
            start = end
        return pyarrow.concat_tables(parts).unify_dictionaries(), total


def cloud_page(table: pyarrow.Table, total: int) -> str:
    """The page, ``table`` as ``explorer.survey.table`` makes it, of ``total`` rows there are."""
    from plotly.offline import get_plotlyjs

    content = cloud(table, total)
    # In a script, "</" and "<!--" of the texts must not be read as markup.
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    page = _TEMPLATE.read_text(encoding="utf-8")
    for mark, text in (("@title@", html.escape(content["title"])), ("@plotly@", get_plotlyjs()), ("@data@", data)):
        page = page.replace(mark, text, 1)
    return page


def cloud(table: pyarrow.Table, total: int) -> dict[str, Any]:
    """What the page shows: ``costs`` (values in their units), ``choices`` (a level a point), ``index``, ``caption``."""
    about = json.loads((table.schema.metadata or {}).get(b"explorer", b"{}"))
    costs = []
    for name in COSTS:
        values = table[name].to_numpy()
        unit = unit_of(name, (values.max(),))
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
    shape = "x".join(map(str, about.get("input", ())))
    shown = (
        f"{table.num_rows:,} of its {total:,} networks, drawn at random"
        if table.num_rows < total
        else f"{total:,} networks"
    )
    derivations = int(about.get("derivations", total))
    if derivations > total:
        shown += (
            f" ({total:,} drawn of {derivations:,} derivations)"
            if derivations < 10**15
            else f" (of some 10^{len(str(derivations)) - 1})"
        )
    return {
        "title": safe_text(f"Costs of {about.get('space', 'a space')}", length=120),
        "caption": f"{shown}; input {shape}, {about.get('classes', '')} classes. One point a network, one image.",
        "costs": costs,
        "choices": choices,
        "index": [str(index) for index in table["index"].to_pylist()],
    }
