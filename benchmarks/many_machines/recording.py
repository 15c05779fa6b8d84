"""Results of a measurement as a section of a Markdown record: device, versions, repeats and spread."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("sqlalchemy", "psycopg", "ray", "optuna", "torch")


class Recorder:
    """Adds sections to a record.

    Args:
        file: The record; None writes nothing.
        command: The command line, which the section quotes.
        storage: The database, in words.
    """

    def __init__(self, file: Path | None, command: Sequence[str], storage: str):
        self._file, self._storage = file, storage
        self._command = " ".join(["python", f"{_place(command[0])}", *command[1:]])
        self._load = os.getloadavg()[0]
        self._began = time.monotonic()

    def add(self, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add a section with one line for each row, or for the rows of one kind that differ only in their figures.

        Args:
            title: The heading.
            rows: The results; those with equal values of the first column are repeats.
        """
        if self._file is None or not rows:
            return
        flat = [_flat(row) for row in rows]
        first, *names = flat[0]
        groups: dict[Any, list[dict[str, Any]]] = {}
        for row in flat:
            groups.setdefault(row[first], []).append(row)
        lines = [f"| {' | '.join([first, 'repeats', *names])} |", "|---" * (len(names) + 2) + "|"]
        for key, repeats in groups.items():
            cells = [_cell([row[name] for row in repeats if name in row]) for name in names]
            lines.append(
                f"| {' | '.join([f'{key:,}' if isinstance(key, int) else str(key), str(len(repeats)), *cells])} |"
            )
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES if _is_installed(name))
        facts = (
            f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.processor() or platform.machine()}),"
            f" {platform.system()}, Python {platform.python_version()}, {versions}, {self._storage}. Load average"
            f" {self._load:.1f} before and {os.getloadavg()[0]:.1f} after;"
            f" it took {time.monotonic() - self._began:.0f} s."
        )
        with self._file.open("a") as stream:
            stream.write("\n".join([f"## {title}", "", f"`{self._command}`", "", facts, "", *lines, "", ""]))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose mappings became columns."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": each for key, each in value.items()}
        else:
            flat[name] = value
    return flat


def _cell(values: Sequence[Any]) -> str:
    """Return the median of repeats, with their range if there are several."""
    if not values or not isinstance(values[0], (int, float)):
        return str(values[0]) if values else ""
    middle = _number(statistics.median(values))
    return middle if min(values) == max(values) else f"{middle} ({_number(min(values))} to {_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except ImportError:
        return False


def _place(script: str) -> str:
    """Return the path of a script from the root of the repository."""
    path = Path(script).resolve()
    return str(path.relative_to(Path(__file__).resolve().parents[2]))
