"""How the server is started."""

from __future__ import annotations

import pytest

from dashboards import launch
from dashboards.launch import run_dashboard, server_command, server_environment
from explorer.errors import StoreError


def options(*given) -> dict[str, str]:
    return dict(word[2:].split("=") for word in server_command(*given) if word.startswith("--"))


def test_loopback_unless_told():
    """The server is bound to this machine alone unless a host is given, and sends nothing anywhere."""
    assert options()["server.address"] == "127.0.0.1"
    assert options(None, "192.0.2.7")["server.address"] == "192.0.2.7"
    assert "browser.serverAddress" in options(None, "0.0.0.0")
    assert options()["browser.gatherUsageStats"] == "false"


def test_protection_is_on():
    """XSRF and origin checks are asked for, and errors are not shown in the browser."""
    asked = options()
    assert asked["server.enableXsrfProtection"] == asked["server.enableCORS"] == "true"
    assert asked["client.showErrorDetails"] == "none"


def test_the_port_is_the_users():
    """A port is passed on; without one Streamlit looks for a free one."""
    assert options(9000)["server.port"] == "9000"
    assert "server.port" not in options()


def test_the_storage_is_not_on_the_command_line():
    """The storage, which may hold a password, goes through the environment, where other users do not see it."""
    url = "postgresql+psycopg://me:canary@host/db"
    assert "canary" not in " ".join(server_command())
    assert server_environment(url)[launch.STORAGE_VARIABLE] == url


def test_a_missing_part_is_named(monkeypatch):
    """Without Streamlit or plotly one line says what to install."""
    monkeypatch.setattr(launch, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(StoreError, match=r"needs plotly; install with: pip install 'explorer\[dashboard\]'"):
        run_dashboard("sqlite:///explorer.db")


def test_what_is_no_storage_starts_no_server(monkeypatch):
    """A storage that cannot be one is said at once, in place of a server whose pages all say it."""
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_, **__: pytest.fail("a server was started"))
    with pytest.raises(StoreError, match=r"write sqlite:///studies for a file"):
        run_dashboard("studies")
