"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.analysis.quantities import FRACTIONS
from explorer.cli.address import Input
from explorer.cli.amounts import Whole
from explorer.cli.setting_options import setting_option
from explorer.cli.streams import tell
from explorer.errors import ExplorerError
from explorer.space.language.parse import parse_shape
from explorer.store.passwords import HIDDEN, has_password
from explorer.system.files import require_writable
from explorer.system.plain_text import printable
from explorer.training.settings import TrainingSettings

DEFAULT_STORAGE = "sqlite:///explorer.db"

as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else there."
)


def _warn_of_password(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE and has_password(value):
        tell(
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


def storage_words(shown: str) -> str:
    """`` --storage URL`` for a command to run next, or nothing where it finds the storage without it.

    A storage with a password is left to EXPLORER_STORAGE: the shown text could not be used.
    """
    from_command_line = click.get_current_context().get_parameter_source("storage") is ParameterSource.COMMANDLINE
    return f" --storage {shlex.quote(shown)}" if from_command_line and HIDDEN not in shown else ""


_training = {each.name: setting_option(each) for each in TrainingSettings.described()}
data_dir, skip_damaged, device = _training["data_dir"], _training["skip_damaged"], _training["device"]


def with_input(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--data NAME``, or ``--input CxHxW`` and ``--classes N``: replace the space's own input."""

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
    """``--input CxHxW`` and ``--classes N``, each by itself if need be."""
    own = "the space's own unless named."
    command = click.option("--input", metavar="CxHxW", help=f"Input shape, as in 3x224x224; {own}")(command)
    classes = click.option("--classes", type=Whole(1, 65_536), metavar="N", help=f"Number of classes; {own}")
    return classes(command)


def input_override(data: str | None, data_dir: str | None, shape: str | None, classes: int | None) -> Input | None:
    """The input that these options ask for, None for the space's own. Raises ExplorerError where they contradict."""
    if data is not None:
        if shape is not None or classes is not None:
            raise ExplorerError("--data already says input and classes; leave out --input and --classes")
        from explorer.data.catalogue import describe_data

        return Input(*describe_data(data, data_dir))
    if shape is None and classes is None:
        return None
    return Input(None if shape is None else parse_shape(shape), classes)


def check_output(option: str, path: Path, suffixes: Sequence[str], is_earlier: Callable[[Path], bool]) -> None:
    """Raises ExplorerError where the file ``path`` cannot be written, or holds what the command did not write.

    ``suffixes``: the ones that its name may have; ``is_earlier``: whether an existing file is the command's own output.
    """
    named = f"{option} {path}"
    if path.suffix.lower() not in suffixes:
        kind = suffixes[0][1:]
        raise ExplorerError(f"{named}: the file is written as {kind}; give it a name that ends in {suffixes[0]}")
    try:
        require_writable(path)
        if path.exists() and not path.is_file():
            raise ExplorerError("it is no regular file")
        foreign = path.is_file() and path.stat().st_size and not is_earlier(path)
    except ExplorerError as error:
        raise ExplorerError(f"{named}: {error}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExplorerError(f"{named[:200]!r}: cannot be written: {reason}") from None
    if foreign:
        raise ExplorerError(f"{named}: the file there was not written by this command; remove it, or give another name")


def begins_with(path: Path, start: str) -> bool:
    """Whether the file's text begins so."""
    with path.open("rb") as stream:
        return stream.read(len(start.encode())) == start.encode()


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))


def console() -> Console:
    """Where people read: standard output, as wide as a full table when it is no terminal."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=160)


def print_table(columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> None:
    """A table; ``columns``: heading -> "left" or "right"."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, side in columns.items():
        table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    console().print(table)


def plain(value: Any) -> Text:
    """Text as it is: nothing in it is markup or an escape sequence."""
    return Text("" if value is None else printable(str(value)))


def counted(number: float) -> str:
    """A count as people read it: 40.8M, 272k, 512."""
    for factor, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= factor:
            return f"{number / factor:.3g}{suffix}"
    return f"{number:g}"


def large(number: int) -> str:
    """A whole number in full to a billion, then in powers of ten."""
    if number < 10**9:
        return f"{number:,}"
    digits = str(number)
    return f"{digits[0]}.{digits[1:3]}e{len(digits) - 1}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def amount(name: str, value: float) -> str:
    """A quantity's value as people read it: 93.2%, 1.23, 40.8M."""
    if name in FRACTIONS:
        return percent(value)
    return f"{value:.3g}" if name.endswith("_ms") else counted(value)


def choices_line(choices: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in choices.items())
