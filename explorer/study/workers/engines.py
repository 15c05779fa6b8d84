"""The engines: how one is found by its name.

An engine is a function with the signature of ``executor.Engine``. A package adds an engine as an entry point of the
group ``explorer.engines``; the name of the entry point is the name of the engine.
"""

from __future__ import annotations

from importlib.metadata import EntryPoints, entry_points

from explorer.errors import StudyError, did_you_mean
from explorer.study.workers.executor import Engine, Executor, Needs
from explorer.study.workers.jobs import Work
from explorer.study.workers.local import start_local
from explorer.system.installation import install_command

LOCAL = "local"  # the engine of this machine, which is found without entry points
GROUP = "explorer.engines"


def require_engine(name: str) -> None:
    """Raise StudyError if no engine of this name is installed."""
    known = [LOCAL, *_installed().names]
    if name not in known:
        raise StudyError(f"unknown engine {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")


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
