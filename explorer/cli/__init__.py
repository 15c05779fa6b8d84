"""The command-line interface: commands parse arguments, call the library and print; an error becomes one line.

Exit status: 0 success, 1 the work failed, 2 invalid input, 128 + N stopped by signal N (130 by Ctrl-C, 143 by SIGTERM).
The module of a command is imported when the command is called.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from explorer.cli.streams import is_broken_pipe, log_as_lines, print_message, use_fail_safe_streams
from explorer.errors import ExplorerError, SpaceError, did_you_mean, one_line
from explorer.system.signals import Interrupted, end_in_order, ignored_signals_repeated, signal_name

# Command -> its module and its line in the overview.
COMMANDS = {
    "space": ("spaces", "Check a search space and show its choices, counts and cost ranges."),
    "sample": ("spaces", "Sample networks of a space, uniformly over its derivations."),
    "atlas": ("spaces", "Write the costs of all networks of a space as a table and a plot, without training."),
    "cost": ("spaces", "Count the costs of an architecture, without training."),
    "latency": ("measuring", "Measure or predict the inference latency of architectures."),
    "scores": ("scoring", "Compute zero-cost scores of untrained networks, and show how well they rank trained ones."),
    "gradients": ("gradients", "Show how signal and gradient flow through an architecture's blocks at initialisation."),
    "search": ("running", "Train networks of a space and find the accuracy-versus-cost frontier."),
    "worker": ("running", "Add a worker to a study that a search created."),
    "train": ("running", "Train one architecture."),
    "studies": ("managing.studies", "List the studies in a storage; rename, delete, copy, merge, note or tag them."),
    "status": ("managing.watching", "Show which processes work on a study, how fast, and when they will end."),
    "stop": ("managing.watching", "Ask all processes that work on a study to stop."),
    "trials": ("studies", "List the trials of a study."),
    "frontier": ("studies", "List the non-dominated networks of a study, or the best one under a budget."),
    "confirm": ("confirming", "Train the frontier's networks again from fresh seeds, and test them."),
    "effects": ("effects", "Estimate the effect of each choice, all else equal, at equal cost, and on the frontier."),
    "compare": ("comparing", "Compare the error distributions of two spaces at equal cost."),
    "reproduce": ("reproducing", "Train the cases of a published table, and print its numbers beside ours."),
    "clean": ("managing.cleaning", "List the files of a study that can be removed, and remove them."),
    "report": ("studies", "Write a study as one static page with the dashboard's figures, to open offline."),
    "export": ("sharing", "Write an architecture as a self-contained folder."),
    "describe": ("sharing", "Show the contents of an exported folder and verify its files."),
    "import-optuna": ("managing.optuna", "Read an Optuna study whose parameters are the choices of a space."),
    "export-optuna": ("managing.optuna", "Write a study as an Optuna study, for optuna-dashboard."),
    "dashboard": ("sharing", "Browse studies in the browser."),
    "data": ("machine", "List, inspect and download data sets."),
    "doctor": ("machine", "Check what this machine has, what is missing, and how to fix it."),
}

# Names of commands in other tools -> the command to suggest.
COMMAND_SYNONYMS = {
    "version": "--version",
    **dict.fromkeys(("run", "start", "resume", "continue", "optimize", "tune"), "search"),
    **dict.fromkeys(("list", "ls"), "studies"),
    **dict.fromkeys(("ps", "top", "watch", "workers"), "status"),
    **dict.fromkeys(("kill", "cancel", "pause", "end"), "stop"),
    **dict.fromkeys(("rename", "mv", "delete", "rm", "copy", "cp", "merge", "note", "tag"), "studies"),
    **dict.fromkeys(("ui", "serve", "web", "browse"), "dashboard"),
    **dict.fromkeys(("fit", "eval", "evaluate", "test"), "train"),
    **dict.fromkeys(("download", "fetch", "datasets"), "data"),
    **dict.fromkeys(("plot", "html"), "report"),
    **dict.fromkeys(("pareto", "best", "results"), "frontier"),
    **dict.fromkeys(("check", "info", "env"), "doctor"),
}
SERVER_URL = re.compile(r"postgres[\w+]*:", re.IGNORECASE)


class WorkFailed(Exception):
    """The work failed although the input is valid: exit status 1."""


class Commands(click.Group):
    """A group that imports the module of a command when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"explorer.cli.{COMMANDS[name][0]}"), name.replace("-", "_"))
        command.help = command.help or COMMANDS[name][1]  # python -OO removes docstrings
        for each in (command, *getattr(command, "commands", {}).values()):  # those of a group take it too
            if all(option.name != "import_files" for option in each.params):
                each.params.append(_import_option())
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            known, meant = ", ".join(COMMANDS), COMMAND_SYNONYMS.get(args[0].lower())
            near = f"; did you mean {meant!r}?" if meant else did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"unknown command {args[0]!r}; the commands are {known}{near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The texts come from COMMANDS, so that --help imports no command.
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


def _import_option() -> click.Option:
    """Return the option ``--import``, which every command has; its files are loaded before other options are read."""

    def load(ctx: click.Context, param: click.Parameter, files: tuple[str, ...]) -> None:
        for file in files:
            from explorer.cli.options import IMPORTED
            from explorer.extensions.files import load_extension

            load_extension(file)
            ctx.meta[IMPORTED] = files

    return click.Option(
        ["--import", "import_files"],
        multiple=True,
        metavar="FILE.py",
        is_eager=True,
        expose_value=False,
        callback=load,
        help="Load ops, samplers and other extensions from this file; may be repeated. Also from EXPLORER_IMPORT.",
    )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0 success, 1 the work failed, 2 invalid input, 128 + N stopped by signal N."
    " --debug with any command shows the traceback of an error.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, param, given: _show_version(ctx) if given else None,
    help="Show the version and exit.",
)
def cli() -> None:
    """Explore design spaces of residual networks: derive, cost, train, compare and export architectures."""


def _show_version(ctx: click.Context) -> None:
    from explorer.system.version import explorer_version  # it asks git: only for this option

    click.echo(f"explorer, version {explorer_version()}")
    ctx.exit()


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        args: The arguments; those of the process by default.
    """
    atexit.register(gc.freeze)  # the garbage collection of torch's objects at exit takes a third of a second
    atexit.register(_end_fork_server)
    args = sys.argv[1:] if args is None else args
    debug = "--debug" in args
    end_in_order()
    _keep_warnings_from_raising()
    output = use_fail_safe_streams()
    args = [arg for arg in args if arg != "--debug"]
    with log_as_lines(), ignored_signals_repeated(), _few_collections(args):
        status = _run(args, debug)
    sys.stdout.flush()
    if output.error and not is_broken_pipe(output.error):
        status = status or _report(f"standard output: {output.error.strerror}", 1, debug=False)
    sys.exit(status)


@contextmanager
def _few_collections(args: list[str]) -> Iterator[None]:
    """Collect garbage less often in the commands on spaces: most of what such a short command makes lives to its end,
    and with Python's threshold of 700 objects the collections take a tenth of its time."""
    usual = gc.get_threshold()
    if args and COMMANDS.get(args[0], ("", ""))[0] == "spaces":
        gc.set_threshold(300_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _end_fork_server() -> None:
    """End the server process that forks the workers, if this process started one."""
    if (pool := sys.modules.get("explorer.study.workers.pool")) is not None:  # not imported: no process was started
        pool.end_fork_server()


def _keep_warnings_from_raising() -> None:
    """Show warnings that ``PYTHONWARNINGS=error`` would raise, in this process and in its child processes.

    The option is meant for users' own code; a deprecated call in a library must not end a search.
    """
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("default")
        sys.warnoptions[:] = ["default"]
        os.environ["PYTHONWARNINGS"] = "default"


def _run(args: list[str], debug: bool) -> int:
    """Run one command, report its error, and return the exit status."""
    try:
        os.getcwd()
    except OSError as error:  # torch aborts the process if there is no current folder
        return _report(f"the current folder: {error.strerror}; change to a folder that exists", 2, debug)
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    try:
        return cli.main(args, prog_name="explorer", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        context = _command_context(error) if isinstance(error, click.UsageError) else None
        where = "" if context is None else f"{context.command_path}: "
        message = " ".join(error.format_message().split())
        if isinstance(error, click.NoSuchOption):
            message = _no_such_option(error, args)
        elif context is not None and isinstance(error, click.UsageError):
            message += _space_hint(error, context, args)
        if message.startswith("Got unexpected extra argument") and any(SERVER_URL.search(arg) for arg in args):
            # click's message would show the text after the blank, which may be part of a password.
            message = "a storage URL with blanks in it must be quoted"
        return _report(f"{where}{message}", 2, debug)
    except SpaceError as error:
        return _report(error.shown(), 2, debug)
    except ExplorerError as error:
        return _report(str(error), 2, debug)
    except WorkFailed as error:
        return _report(str(error), 1, debug)
    except (KeyboardInterrupt, click.Abort) as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        number = cause.number if isinstance(cause, Interrupted) else signal.SIGINT
        by = "" if number == signal.SIGINT else f" by {signal_name(number)}"
        return _report(f"interrupted{by}", 128 + number, debug)
    except (OSError, MemoryError, ImportError) as error:
        return _report(_system_message(error), 1, debug)


def _space_hint(error: click.UsageError, context: click.Context, args: list[str]) -> str:
    """Return what to type in place of a missing space, or of one that is typed without its option; else empty text."""
    takes_option = any("--space" in each.opts for each in context.command.params)
    is_unexpected = error.message.startswith("Got unexpected extra argument")
    from explorer.space.shipped import shipped_names, shipped_spaces

    if isinstance(error, click.MissingParameter) and error.param is not None and "space" in str(error.param.name):
        wanted = "--space FILE" if takes_option else "a FILE"
        return f" Write {wanted}, or the name of a space that comes with the explorer: {shipped_names()}"
    shipped = [name.removesuffix(".yaml") for name in shipped_spaces()]
    space = next((word for word in args[1:] if word.endswith((".yaml", ".yml")) or word in shipped), None)
    if not is_unexpected or space is None:
        return ""
    if any(each.name == "arch" for each in context.command.params):
        choices = [word for word in args[1:] if re.fullmatch(r"[A-Za-z][\w.@-]*=.+", word)]
        return f"; did you mean {shlex.quote(f'{space}#' + ','.join(choices))}?" if choices else ""
    return f"; did you mean --space {space}?" if takes_option and "--space" not in args else ""


def _system_message(error: OSError | MemoryError | ImportError) -> str:
    """Return the message for an error of the operating system, for lack of memory or for a failed import."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, ImportError):
        cause: BaseException = error
        while cause.__cause__ is not None:  # numpy raises its page of advice from the error with the reason
            cause = cause.__cause__
        return f"{one_line(cause)}; 'explorer doctor' says which packages are missing or damaged"
    return ": ".join(str(part) for part in (error.filename, error.strerror or one_line(error)) if part is not None)


def _no_such_option(error: click.NoSuchOption, args: list[str]) -> str:
    """Return the message for an unknown option: the option as typed and the most similar known one.

    Of ``-study``, click's own message names only the first letter.
    """
    words = (arg.partition("=")[0] for arg in args)
    word = next((word for word in words if word.startswith(error.option_name) and len(word) > 2), error.option_name)
    context = _command_context(error)
    if context is None and word.lower() in ("-v", "-version"):
        return f"No such option {word!r}; did you mean '--version'?"
    if context is None:
        return f"No such option {word!r} before the command; put options after it, as in explorer studies --json"
    known = [
        name
        for param in context.command.params
        for name in (*param.opts, *param.secondary_opts)
        if name.startswith("--")
    ]
    return f"No such option {word!r}{did_you_mean('--' + word.lstrip('-'), known)}"


def _command_context(error: click.UsageError) -> click.Context | None:
    """Return the context of the command in which the error occurred; None if it occurred before the command."""
    return error.ctx if error.ctx is not None and error.ctx.parent is not None else None


def _report(message: str, status: int, debug: bool) -> int:
    """Print an error message, with the traceback if ``debug`` is true, and return the exit status."""
    if debug:
        import traceback

        print_message(traceback.format_exc().rstrip())
    print_message(message)
    return status
