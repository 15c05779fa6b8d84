"""The command line: arguments to calls, and errors to one clean line. No logic lives here.

Exit status: 0 done, 1 the work failed, 2 bad input, 128 + N interrupted by signal N: 130 by Ctrl-C, 143 by SIGTERM.
A command's module is imported when it is called.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import sys
import warnings
from importlib import import_module
from typing import Any

import click

from explorer.cli.streams import lasting_streams, log_as_lines, reader_left, tell
from explorer.errors import ExplorerError, did_you_mean, one_line
from explorer.system.signals import Interrupted, end_in_order, ignored_signals_repeated, signal_name

COMMANDS = {
    "space": ("spaces", "Check a search space: its choices, counts and cost ranges."),
    "sample": ("spaces", "Draw networks of a space, uniformly over its derivations."),
    "atlas": ("spaces", "What every network of a space costs, before any training, as a table and a plot."),
    "cost": ("spaces", "What an architecture costs, counted without training."),
    "latency": ("measuring", "How long an architecture takes for a batch, measured now."),
    "scores": ("scoring", "What untrained networks promise, and how well that ranks a study's trained ones."),
    "gradients": ("gradients", "How signal and gradient pass through an architecture's blocks before training."),
    "search": ("running", "Train networks of a space and find the accuracy-versus-cost frontier."),
    "worker": ("running", "One more worker on a study that a search began."),
    "train": ("running", "Train one architecture."),
    "studies": ("studies", "The studies in a storage."),
    "trials": ("studies", "The trials of a study."),
    "frontier": ("studies", "The non-dominated networks of a study, or the best under a budget."),
    "confirm": ("confirming", "Train the frontier's networks again from fresh seeds, and test them."),
    "effects": ("studies", "What each choice does at equal cost, with intervals."),
    "compare": ("comparing", "The error distributions of two spaces at equal cost."),
    "clean": ("cleaning", "What files of a study could be freed, and free them."),
    "report": ("studies", "One static page with the dashboard's figures, to open offline."),
    "export": ("sharing", "Write an architecture as a self-contained folder."),
    "describe": ("sharing", "What an exported folder holds, its files checked."),
    "dashboard": ("sharing", "Browse studies in the browser."),
    "data": ("machine", "The data sets: which there are, and how to get them."),
    "doctor": ("machine", "What this machine has, what is missing, and how to get it."),
}

OTHER_NAMES = {
    **dict.fromkeys(("run", "start", "resume", "continue", "optimize", "tune"), "search"),
    **dict.fromkeys(("list", "ls", "status"), "studies"),
    **dict.fromkeys(("ui", "serve", "web", "browse"), "dashboard"),
    **dict.fromkeys(("fit", "eval", "evaluate", "test"), "train"),
    **dict.fromkeys(("download", "fetch", "datasets"), "data"),
    **dict.fromkeys(("plot", "html"), "report"),
    **dict.fromkeys(("pareto", "best", "results"), "frontier"),
    **dict.fromkeys(("check", "info", "env"), "doctor"),
}  # of commands in other tools
SERVER_URL = re.compile(r"postgres[\w+]*:", re.IGNORECASE)


class WorkFailed(Exception):
    """The work, not the input, was at fault: exit status 1."""


class Commands(click.Group):
    """The commands by name, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"explorer.cli.{COMMANDS[name][0]}"), name)
        command.help = command.help or COMMANDS[name][1]  # python -OO leaves no docstring
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            known, meant = ", ".join(COMMANDS), OTHER_NAMES.get(args[0].lower())
            near = f"; did you mean {meant!r}?" if meant else did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"unknown command {args[0]!r}; the commands are {known}{near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table, so that --help imports no command.
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0 done, 1 the work failed, 2 bad input, 128 + N stopped by signal N."
    " --debug with any command shows where an error arose.",
)
@click.version_option(package_name="explorer")
def cli() -> None:
    """Explore spaces of residual networks: derive, cost, train, compare, export."""


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit."""
    atexit.register(gc.freeze)  # to look through torch for garbage at exit takes a third of a second, for nothing
    atexit.register(_end_fork_server)
    args = sys.argv[1:] if args is None else args
    debug = "--debug" in args
    end_in_order()
    _show_warnings_that_would_be_errors()
    output = lasting_streams()
    with log_as_lines(), ignored_signals_repeated():
        status = _run([arg for arg in args if arg != "--debug"], debug)
    sys.stdout.flush()
    if output.error and not reader_left(output.error):
        status = status or _said(f"standard output: {output.error.strerror}", 1, debug=False)
    sys.exit(status)


def _end_fork_server() -> None:
    if (children := sys.modules.get("explorer.study.workers.pool")) is not None:  # only if processes were started
        children.end_fork_server()


def _show_warnings_that_would_be_errors() -> None:
    """``PYTHONWARNINGS=error`` is meant for a user's own code: a library's deprecated call is shown and ends nothing,
    here and in the processes that are started."""
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("default")
        sys.warnoptions[:] = ["default"]
        os.environ["PYTHONWARNINGS"] = "default"


def _run(args: list[str], debug: bool) -> int:
    """Run one command; returns its exit status."""
    try:
        os.getcwd()
    except OSError as error:  # torch ends the process where there is none
        return _said(f"the current folder: {error.strerror}; change to a folder that is there", 2, debug)
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    try:
        return cli.main(args, prog_name="explorer", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        where = f"{error.ctx.command_path}: " if isinstance(error, click.UsageError) and _in_command(error) else ""
        message = " ".join(error.format_message().split())
        if isinstance(error, click.NoSuchOption):
            message = _no_such_option(error, args)
        if message.startswith("Got unexpected extra argument") and any(SERVER_URL.search(arg) for arg in args):
            message = "a storage URL with blanks in it must be quoted"  # what follows the blank may be a password's end
        return _said(f"{where}{message}", 2, debug)
    except ExplorerError as error:
        return _said(str(error), 2, debug)
    except WorkFailed as error:
        return _said(str(error), 1, debug)
    except (KeyboardInterrupt, click.Abort) as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        number = cause.number if isinstance(cause, Interrupted) else signal.SIGINT
        by = "" if number == signal.SIGINT else f" by {signal_name(number)}"
        return _said(f"interrupted{by}", 128 + number, debug)
    except (OSError, MemoryError, ImportError) as error:
        return _said(_of_the_machine(error), 1, debug)


def _of_the_machine(error: OSError | MemoryError | ImportError) -> str:
    """What the operating system refused, and where, or which package cannot be loaded."""
    if isinstance(error, MemoryError):
        return "the memory ran out"
    if isinstance(error, ImportError):
        while error.__cause__ is not None:  # numpy puts a page of advice in front of the reason
            error = error.__cause__
        return f"{one_line(error)}; 'explorer doctor' says which packages are missing or damaged"
    return ": ".join(str(part) for part in (error.filename, error.strerror or one_line(error)) if part is not None)


def _no_such_option(error: click.NoSuchOption, args: list[str]) -> str:
    """The option as it was written (of ``-study``, click names the first letter alone) and the nearest one known."""
    words = (arg.partition("=")[0] for arg in args)
    word = next((word for word in words if word.startswith(error.option_name) and len(word) > 2), error.option_name)
    if not _in_command(error):
        return f"No such option {word!r} before the command; options stand after it, as in explorer studies --json"
    known = [name for param in error.ctx.command.params for name in param.opts if name.startswith("--")]
    return f"No such option {word!r}{did_you_mean('--' + word.lstrip('-'), known)}"


def _in_command(error: click.UsageError) -> bool:
    return error.ctx is not None and error.ctx.parent is not None


def _said(message: str, status: int, debug: bool) -> int:
    if debug:
        import traceback

        tell(traceback.format_exc().rstrip())
    tell(message)
    return status
