"""The engines: how one is found by its name.

An engine is a function with the signature of ``executor.Engine``. A package adds an engine as an entry point of the
group ``explorer.engines``; the name of the entry point is the name of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoints, entry_points
from importlib.util import find_spec

from explorer.errors import StudyError, did_you_mean
from explorer.study.workers.executor import Engine, Executor, Needs
from explorer.study.workers.jobs import Work
from explorer.study.workers.local import start_local
from explorer.system.installation import install_command

LOCAL = "local"  # the engine of this machine, which is found without entry points
LAUNCHED = ("slurm",)  # engines that start ``explorer worker`` processes: ``launchers``
GROUP = "explorer.engines"


def require_engine(name: str) -> None:
    """Raise StudyError if no engine of this name is installed."""
    known = [LOCAL, *LAUNCHED, *_installed().names]
    if name not in known:
        raise StudyError(f"unknown engine {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")


def check_engine(
    name: str, address: str | None, cpus: int | None, options: Mapping[str, str], functions: Sequence[str]
) -> None:
    """Raise StudyError for an unknown engine, and for settings that it does not have.

    Args:
        name: The engine.
        address: Its address, or None.
        cpus: CPU cores of each trial, or None.
        options: Its options.
        functions: Names of the settings that are functions of the caller's.
    """
    require_engine(name)
    if name == LOCAL and (address or cpus):
        raise StudyError(
            "engine_address and cpus_per_trial are settings of a cluster; name its engine too, as in --engine ray"
        )
    if options and name not in LAUNCHED:
        raise StudyError(f"engine {name!r} has no options; --engine-option is for {', '.join(LAUNCHED)}")
    if name not in LAUNCHED:
        return
    if functions:
        raise StudyError(
            f"engine {name!r} starts 'explorer worker' processes, which cannot call {' and '.join(functions)} of a "
            "script; submit the script itself to the scheduler, with --storage postgresql://..., as often as you like"
        )
    if address:
        raise StudyError(f"engine {name!r} has no address; search on a machine that can submit jobs")
    if find_spec("submitit") is None:
        raise StudyError(f"engine {name!r} needs the package submitit; install it with: {install_command(name)}")


def start_executor(name: str, work: Work, needs: Needs) -> Executor:
    """Start an executor of the engine ``name``.

    Raises:
        StudyError: There is no such engine, a package that it needs is not installed, or it cannot be reached.
    """
    require_engine(name)
    if name == LOCAL:
        return start_local(work, needs)
    try:
        engine: Engine = _installed()[name].load()
    except ModuleNotFoundError as error:
        raise StudyError(
            f"engine {name!r} needs the package {error.name}; install it with: {install_command(name)}"
        ) from None
    return engine(work, needs)


def _installed() -> EntryPoints:
    return entry_points(group=GROUP)
