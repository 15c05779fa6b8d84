"""The interface of trackers, and how a search starts the ones that it is given.

A tracker is a function that is called with each ``Event`` of a search, as ``progress`` is. It is made by a function of
the study and a target, such as a folder or an address. Each process tracks the trials that it runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from explorer.errors import SettingError, StudyError
from explorer.extensions.lookup import find, names, unknown_hint
from explorer.extensions.registry import serve
from explorer.records import TrialRecord
from explorer.settings.kinds import Kind
from explorer.store.passwords import driver_message
from explorer.store.study import Study
from explorer.study.events import Event, Progress
from explorer.system.installation import install_command

METRICS = ("train_loss", "val_loss", "val_accuracy", "val_top5", "lr")  # of an epoch, which trackers send
SLOW_SECONDS = 2.0  # of the start of a tracker, after which a line says so
MakeTracker = Callable[[Study, str], Progress]
_log = logging.getLogger(__name__)


class Tool(NamedTuple):
    """A tool for which the explorer has a tracker.

    Attributes:
        module: The module of the tracker, whose function ``make`` makes one.
        needs: The module that has to be installed.
    """

    module: str
    needs: str


TOOLS = {
    "tensorboard": Tool("explorer.study.trackers.tensorboard", "tensorboard"),
    "mlflow": Tool("explorer.study.trackers.mlflow", "mlflow"),
    "wandb": Tool("explorer.study.trackers.wandb", "wandb"),
}
serve("tracker", TOOLS)


class Trackers(Kind):
    """Names of trackers, each perhaps with a target, as in tensorboard=runs; or in Python functions of an Event."""

    repeated = True

    def check(self, name: str, value: Any) -> tuple[str | Progress, ...]:
        given = [value] if isinstance(value, str) or callable(value) else value
        if not isinstance(given, Iterable):
            raise SettingError(f"{name} must be names of trackers or functions, found {value!r}")
        return tuple(each if callable(each) else _checked(name, each) for each in given)

    def write(self, value: Any) -> list[str]:
        return [each for each in value if isinstance(each, str)]


def _checked(setting: str, text: Any) -> str:
    """Return the text of a tracker. Raises SettingError if there is none of that name, or its package is missing."""
    if not isinstance(text, str):
        raise SettingError(f"{setting} must be names of trackers or functions, found {text!r}")
    name = text.partition("=")[0].strip()
    if name in TOOLS:
        if find_spec(TOOLS[name].needs) is None:
            needs = TOOLS[name].needs
            raise SettingError(f"tracker {name!r} needs the package {needs}; install it with: {install_command(name)}")
    elif name not in names("tracker"):
        known = [*TOOLS, *names("tracker")]
        hint = unknown_hint("tracker", name, known)
        raise SettingError(f"unknown tracker {name!r}; known: {', '.join(known)}{hint}")
    return text


def start_trackers(given: Iterable[str | Progress], study: Study) -> list[Progress]:
    """Return the trackers of a search.

    Args:
        given: Names with targets, or functions, as the setting ``track`` has them.
        study: The study.

    Raises:
        StudyError: A tracker cannot be started, for instance because its server cannot be reached.
    """
    started: list[Progress] = []
    for each in given:
        if not isinstance(each, str):
            started.append(Guarded(each, getattr(each, "__name__", "your tracker")))
            continue
        name, _, target = (part.strip() for part in each.partition("="))
        found = None if name in TOOLS else find("tracker", name)
        make: MakeTracker = import_module(TOOLS[name].module).make if found is None else found.value
        try:
            with _saying_if_slow(name):
                started.append(Guarded(make(study, target), name))
        except Exception as error:
            raise StudyError(
                f"tracker {name!r} cannot be started: {type(error).__name__}: {driver_message(error)}"
            ) from error
    return started


@contextmanager
def _saying_if_slow(name: str) -> Iterator[None]:
    """Log a line if a tracker has not started after SLOW_SECONDS."""
    timer = threading.Timer(SLOW_SECONDS, _log.warning, ("tracker %s has not started yet; still waiting for it", name))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Guarded:
    """A tracker whose first error is logged and ends its use: it must not end a search.

    Args:
        tracker: The tracker.
        name: Its name, for the message.
    """

    def __init__(self, tracker: Progress, name: str):
        self._tracker, self._name, self._works = tracker, name, True

    def __call__(self, event: Event) -> None:
        if self._works:
            try:
                self._tracker(event)
            except Exception as error:
                self._works = False
                what = f"{type(error).__name__}: {driver_message(error)}"
                _log.warning("tracker %s has failed and gets no further events: %s", self._name, what)


def results_of(trial: TrialRecord) -> dict[str, float]:
    """Return the costs and objectives of a trial by name, and the seconds that it took."""
    seconds = {} if trial.seconds is None else {"seconds": trial.seconds}
    return {**trial.quantities, **seconds}
