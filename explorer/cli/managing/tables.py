"""Tables as CSV, LaTeX and Markdown, for spreadsheets, papers and README files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from explorer.cli.options import console, plain, print_table
from explorer.errors import ExplorerError

as_csv = click.option("--csv", "as_csv", is_flag=True, help="Print CSV, and nothing else, on standard output.")
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


def table_formats(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--csv``, ``--latex`` and ``--markdown``; the command receives the chosen one as ``table``.

    ``table`` is "csv", "latex", "markdown" or empty.
    """

    def wrapped(*args: Any, as_csv: bool, as_latex: bool, as_markdown: bool, as_json: bool, **kwargs: Any) -> Any:
        wanted = {"csv": as_csv, "latex": as_latex, "markdown": as_markdown, "json": as_json}
        chosen = [name for name, is_chosen in wanted.items() if is_chosen]
        if len(chosen) > 1:
            raise ExplorerError(f"{' and '.join(f'--{name}' for name in chosen)}: choose one format")
        return command(*args, table="" if as_json or not chosen else chosen[0], as_json=as_json, **kwargs)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped = click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")(wrapped)
    wrapped = click.option("--latex", "as_latex", is_flag=True, help="Print a LaTeX table (package booktabs).")(wrapped)
    return as_csv(wrapped)


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV with all columns that a row has; a missing value is an empty cell, numbers are not rounded."""
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(sys.stdout, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def print_annotated(
    table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], notes: Sequence[str]
) -> None:
    """Print a table and the notes below it; in LaTeX the notes are comments.

    Args:
        table: "latex", "markdown", or empty for a terminal.
        columns: Alignment, "left" or "right", by heading.
        rows: Cells of each row; None is an empty cell.
        notes: The notes, one line each.
    """
    if table == "latex":
        click.echo("\n".join([latex_table(columns, rows), *(f"% {note}" for note in notes)]))
    elif table == "markdown":
        click.echo("\n\n".join([markdown_table(columns, rows), *map(_markdown, notes)]))
    else:
        print_table(columns, rows)
        for note in notes:
            console().print(plain(note))


def latex_table(columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a LaTeX table with the rules of booktabs.

    Args:
        columns: Alignment, "left" or "right", by heading.
        rows: Cells of each row; None is an empty cell.
    """
    lines = [r"\begin{tabular}{" + "".join(side[0] for side in columns.values()) + "}", r"\toprule"]
    lines += [" & ".join(map(_latex, columns)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_latex, row)) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _latex(cell: Any) -> str:
    text = "" if cell is None else " ".join(str(cell).split())
    return "".join(_LATEX.get(sign, sign) for sign in text)


def markdown_table(columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table, as GitHub renders it.

    Args:
        columns: Alignment, "left" or "right", by heading.
        rows: Cells of each row; None is an empty cell.
    """
    rules = ["---:" if side == "right" else "---" for side in columns.values()]
    lines = [[_markdown(name) for name in columns], rules, *([_markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _markdown(cell: Any) -> str:
    text = "" if cell is None else " ".join(str(cell).split())
    return "".join(f"\\{sign}" if sign in r"\|*_`<[" else sign for sign in text)
