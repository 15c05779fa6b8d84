"""Reads what the first page needs while the browser opens: the modules of a page, and the newest study."""

from __future__ import annotations

from importlib import import_module
from threading import Event, Thread

MODULES = ("panels.plane", "panels.network", "panels.picked_trial", "panels.trial_list", "data.summary")
LONGEST_SECONDS = 60.0  # that a page waits for the imports
_imported = Event()
_imported.set()  # nothing is waited for where no warm-up was started


def start_warm_up() -> Thread:
    """Import the modules of the page Frontier and read the study that changed last, beside the server."""
    _imported.clear()
    thread = Thread(target=_warm_up, daemon=True)
    thread.start()
    return thread


def wait_for_imports() -> None:
    """Wait until the modules are imported: two threads must not begin with a package from two of its ends.

    Python then gives one of them a module that is not complete, if the modules of the package import each other.
    """
    _imported.wait(LONGEST_SECONDS)


def _warm_up() -> None:
    try:
        for name in MODULES:
            import_module(f"explorer.dashboard.{name}")
    finally:
        _imported.set()
    from explorer.dashboard.session import take_snapshot

    take_snapshot(None)  # a problem with the storage is shown by the page, which reads it again
