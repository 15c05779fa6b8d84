"""What the server reads before the first visit."""

from __future__ import annotations

import sys

from explorer.dashboard import warm_up
from explorer.dashboard.data.storage import TableCache
from explorer.dashboard.launch import STORAGE_VARIABLE
from explorer.dashboard.session import table_of


def test_the_first_visit_finds_modules_and_trials(study, monkeypatch):
    """After the start of the server, the modules of the first page are imported, and no trial is read twice."""
    monkeypatch.setenv(STORAGE_VARIABLE, study.storage)
    warm_up.start_warm_up().join()
    assert all(f"explorer.dashboard.{name}" in sys.modules for name in warm_up.MODULES)
    monkeypatch.setattr(TableCache, "_changed", lambda self, study: 1 / 0)
    assert len(table_of(study)) == len(study.trials())


def test_a_storage_that_cannot_be_read_stops_nothing(tmp_path, monkeypatch):
    """The pages report the problem; the server starts without a message of its own."""
    (tmp_path / "explorer.db").write_text("no database")
    monkeypatch.setenv(STORAGE_VARIABLE, f"sqlite:///{tmp_path}/explorer.db")
    warm_up.start_warm_up().join()
