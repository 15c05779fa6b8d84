"""Options that several commands share, and functions that format and print results."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from explorer.cli.address import Input
from explorer.cli.amounts import Whole
from explorer.cli.setting_options import setting_option
from explorer.cli.streams import print_message
from explorer.errors import ExplorerError
from explorer.space.language.input import parse_shape
from explorer.space.lint.lint import Lint
from explorer.store.passwords import HIDDEN, has_password
from explorer.system.plain_text import printable
from explorer.training.settings import TrainingSettings

if TYPE_CHECKING:  # a command that prints JSON does not need them
    from rich.console import Console, RenderableType
    from rich.text import Text

IMPORTED = "explorer.imported"  # key of a click context's meta: the files of --import, as they were typed
DEFAULT_STORAGE = "sqlite:///explorer.db"

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else, on standard output."
)

mix = click.option("--mix-environments", is_flag=True, help="Compare latencies although machines or settings differ.")


def _warn_of_password(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Print a warning if the command line contains a password."""
    if ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE and has_password(value):
        print_message(
            "--storage holds a password that other users of this machine can read in the list of processes (ps);"
            " set EXPLORER_STORAGE instead, or leave the password to PGPASSWORD or ~/.pgpass"
        )
    return value


storage = click.option(
    "--storage",
    envvar="EXPLORER_STORAGE",
    default=DEFAULT_STORAGE,
    show_default=True,
    metavar="URL",
    callback=_warn_of_password,
    help="Database of the studies, a URL or the path of a file; also from EXPLORER_STORAGE, which hides a password.",
)


def program() -> str:
    """Return how the shell finds this program, for a suggested next command: ``explorer`` if that is on the PATH."""
    typed, found = Path(sys.argv[0]), shutil.which("explorer")
    if typed.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m explorer"
    is_other = typed.name == "explorer" and (found is None or os.path.realpath(found) != os.path.realpath(typed))
    return shlex.quote(sys.argv[0]) if is_other else "explorer"


def repeated_options(shown: str) -> str:
    """Return the options of this command that a suggested next command needs too: `` --storage URL --import FILE``.

    A storage with a password has to be in EXPLORER_STORAGE, because ``shown`` hides the password.

    Args:
        shown: URL of the storage without its password.

    Returns:
        The options, each after a blank; empty text if the command needs none.
    """
    ctx = click.get_current_context()
    from_command_line = ctx.get_parameter_source("storage") is ParameterSource.COMMANDLINE
    words = [f" --storage {shlex.quote(shown)}"] if from_command_line and HIDDEN not in shown else []
    return "".join([*words, *(f" --import {shlex.quote(file)}" for file in ctx.meta.get(IMPORTED, ()))])


_training = {each.name: setting_option(each) for each in TrainingSettings.described()}
data_dir, skip_damaged, device = _training["data_dir"], _training["skip_damaged"], _training["device"]


def with_input(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--data``, ``--input`` and ``--classes``; the command receives them as ``override``.

    ``override`` is an ``Input``, or None for the space's own input.
    """

    def wrapped(
        *args: Any, data: str | None, data_dir: str | None, input: str | None, classes: int | None, **kwargs: Any
    ) -> Any:
        return command(*args, override=input_override(data, data_dir, input, classes), **kwargs)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped = click.option("--data", metavar="NAME", help="Take input shape and classes from this data set.")(wrapped)
    wrapped = data_dir(wrapped)
    return input_shape(wrapped)


def input_shape(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--input CxHxW`` and ``--classes N``, which can be used separately."""
    own = "the space's own by default."
    command = click.option("--input", metavar="CxHxW", help=f"Input shape, as in 3x224x224; {own}")(command)
    classes = click.option("--classes", type=Whole(1, 65_536), metavar="N", help=f"Number of classes; {own}")
    return classes(command)


def input_override(data: str | None, data_dir: str | None, shape: str | None, classes: int | None) -> Input | None:
    """Return the input that the options name.

    Args:
        data: Name of a data set whose shape and classes are used.
        data_dir: Folder of the data sets.
        shape: Input shape, as ``CxHxW``.
        classes: Number of classes.

    Returns:
        The input; None if the options keep the space's own.

    Raises:
        ExplorerError: ``data`` is combined with ``shape`` or ``classes``, or one of them is invalid.
    """
    if data is not None:
        if shape is not None or classes is not None:
            raise ExplorerError("--data already sets input and classes; leave out --input and --classes")
        from explorer.data.catalogue import describe_data

        return Input(*describe_data(data, data_dir))
    if shape is None and classes is None:
        return None
    return Input(None if shape is None else parse_shape(shape), classes)


def print_json(document: Any) -> None:
    """Print plain data as a JSON document."""
    click.echo(json.dumps(document, indent=2))


def print_warnings(warnings: Sequence[Lint]) -> None:
    """Print the warnings of a space on standard error, and how to silence them."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    if warnings:
        names = ", ".join(dict.fromkeys(warning.name for warning in warnings))
        click.echo(f"to silence them, add this line to the file: allow: [{names}]", err=True)


def console() -> Console:
    """Return a console on standard output; 160 columns wide, enough for the widest table, if it is not a terminal."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=160)


GAP = 2  # blanks between two columns of a table
MAX_WORD = 30  # characters of a word that a table keeps on one line


def print_table(columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table; the arguments are those of ``table_of``."""
    from rich.console import Group

    table = table_of(columns, rows)
    console().print(table, soft_wrap=isinstance(table, Group))


def table_of(columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> RenderableType:
    """Return a table; in a terminal too narrow for its longest words, each row as lines of ``heading: cell``.

    Args:
        columns: Alignment, "left" or "right", by heading.
        rows: Cells of each row; None is an empty cell.
    """
    from rich.console import Group
    from rich.table import Table

    out, cells, needed = console(), [[plain(cell) for cell in row] for row in rows], 0
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for place, (heading, side) in enumerate(columns.items()):
        words = [word for text in (heading, *(row[place].plain for row in cells)) for word in text.split()]
        widest = min(MAX_WORD, max(map(len, words), default=0))  # a column is not narrower: no word is broken
        longest = max((row[place].cell_len for row in cells), default=0)
        needed += GAP + max(widest, longest if side == "right" else 0, len(heading) if side == "right" else 0)
        justify: Literal["left", "right"] = "right" if side == "right" else "left"
        table.add_column(heading, justify=justify, overflow="fold", min_width=widest, no_wrap=side == "right")
    if out.is_terminal and needed - GAP > out.width:  # a table would be cut at the right
        return Group(*(line for row in cells for line in _as_lines(columns, row)))
    for row in cells:
        table.add_row(*row)
    return table


def _as_lines(headings: Iterable[str], cells: Iterable[Text]) -> Iterator[Text]:
    """Yield a row of a table as lines of ``heading: cell``, and an empty line."""
    from rich.text import Text

    for heading, cell in zip(headings, cells):
        yield Text.assemble((f"{heading}: " if heading else "", "bold"), cell)
    yield Text("")


def plain(value: Any) -> Text:
    """Return a value as text without markup and escape sequences."""
    from rich.text import Text

    return Text("" if value is None else printable(str(value)))


def format_whole(number: int) -> str:
    """Format a whole number: in full below a billion, else as a power of ten."""
    if number < 10**9:
        return f"{number:,}"
    return f"{Decimal(number):.2e}".replace("+", "")  # of a whole number of any size, rounded


def choices_line(choices: Mapping[str, str]) -> str:
    """Format the choices of a derivation on one line."""
    return " ".join(f"{name}={text}" for name, text in choices.items())
