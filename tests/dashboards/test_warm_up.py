"""What the server does before its first page: the page waits for the imports, not for the study."""

from __future__ import annotations

import time

import pytest

from explorer.dashboard import session, warm_up


@pytest.fixture
def read(monkeypatch):
    """The studies that the server reads, without a storage."""
    picked = []
    monkeypatch.setattr(session, "take_snapshot", picked.append)
    return picked


def test_a_page_waits_for_the_imports(monkeypatch, read):
    """A page begins after all modules are imported; the newest study is read after that."""
    imported = []

    def import_slowly(name):
        time.sleep(0.05)
        imported.append(name)

    monkeypatch.setattr(warm_up, "import_module", import_slowly)
    thread = warm_up.start_warm_up()
    warm_up.wait_for_imports()
    assert len(imported) == len(warm_up.MODULES)
    thread.join()
    assert read == [None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failed_import_does_not_stop_the_page(monkeypatch, read):
    """The page then imports the module itself, and shows the error."""

    def fail(name):
        raise ImportError(name)

    monkeypatch.setattr(warm_up, "import_module", fail)
    warm_up.start_warm_up().join()
    assert warm_up._imported.is_set() and not read


def test_every_module_can_be_imported():
    """The list names modules of the dashboard."""
    for name in warm_up.MODULES:
        assert warm_up.import_module(f"explorer.dashboard.{name}")
