"""Pages of the dashboard, run without a browser."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from explorer.dashboard.launch import STORAGE_VARIABLE, pages_folder
from tests.polling import PATIENCE


@pytest.fixture
def page(url, monkeypatch):
    """Run one page of ``url`` and return its contents."""

    def draw(name: str, storage: str = url, **session) -> AppTest:
        monkeypatch.setenv(STORAGE_VARIABLE, storage)
        at = AppTest.from_file(pages_folder() / "views" / f"{name}.py", default_timeout=PATIENCE)
        for key, value in session.items():
            at.session_state[key] = value
        return at.run()

    return draw
