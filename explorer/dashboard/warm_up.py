"""Reads what the first page needs while the browser opens: the modules of a page, and the newest study."""

from __future__ import annotations

from importlib import import_module
from threading import Thread

MODULES = ("panels.plane", "panels.network", "panels.picked_trial", "panels.trial_list", "data.summary")


def start_warm_up() -> Thread:
    """Import the modules of the page Frontier and read the study that changed last, beside the server."""
    thread = Thread(target=_warm_up, daemon=True)
    thread.start()
    return thread


def _warm_up() -> None:
    from explorer.dashboard.session import take_snapshot

    take_snapshot(None)  # a problem with the storage is shown by the page, which reads it again
    for name in MODULES:
        import_module(f"explorer.dashboard.{name}")
