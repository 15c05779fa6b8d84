"""The start of the dashboard's server."""

from __future__ import annotations

import json
import sys

import pytest

from explorer.dashboard import launch
from explorer.dashboard.launch import run_dashboard, server_command, server_environment
from explorer.errors import StoreError


def options(*given) -> dict:
    return json.loads(server_command(*given)[-1])["config"]


def test_the_server_binds_to_loopback_by_default():
    """Without ``--host`` the server listens only on this machine, and it sends no usage statistics."""
    assert options()["server.address"] == "127.0.0.1"
    assert options(None, "192.0.2.7")["server.address"] == "192.0.2.7"
    assert options(None, "0.0.0.0")["browser.serverAddress"] == "localhost"
    assert options(None, "0.0.0.0", ["explorer.example"])["browser.serverAddress"] == "explorer.example"
    assert options(None, "::1")["browser.serverAddress"] == "[::1]"
    assert options()["browser.gatherUsageStats"] is False


def test_protection_is_on():
    """XSRF and origin checks are on, and the browser shows no error details."""
    asked = options()
    assert asked["server.enableXsrfProtection"] is asked["server.enableCORS"] is True
    assert asked["client.showErrorDetails"] == "none"


def test_the_port_is_passed_on():
    """A given port is used; without one Streamlit looks for a free port."""
    assert options(9000)["server.port"] == 9000
    assert "server.port" not in options()


def test_the_storage_is_not_on_the_command_line():
    """The storage, which may contain a password, is passed by the environment, which other users cannot read."""
    url = "postgresql+psycopg://me:canary@host/db"
    assert "canary" not in " ".join(server_command())
    assert server_environment(url)[launch.STORAGE_VARIABLE] == url


def test_a_missing_package_is_named(monkeypatch):
    """Without Streamlit or plotly one line names what to install."""
    monkeypatch.setattr(launch, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(StoreError, match=r"needs plotly; install with: .*pip install 'plotly>="):
        run_dashboard("sqlite:///explorer.db")


def test_an_invalid_storage_starts_no_server(monkeypatch):
    """An invalid storage is reported at once, before any server starts."""
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_, **__: pytest.fail("a server was started"))
    with pytest.raises(StoreError, match=r"write sqlite:///studies for a file"):
        run_dashboard("studies")


def test_an_invalid_host_starts_no_server(monkeypatch):
    """A host name with a scheme or a port gives one line and starts no server."""
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_, **__: pytest.fail("a server was started"))
    with pytest.raises(StoreError, match="'http://x' is not a host name"):
        run_dashboard("sqlite:///explorer.db", allow_hosts=["http://x"])


def test_the_start_names_the_accepted_hosts(monkeypatch, capfd):
    """One line at the start names the accepted hosts and warns that there is no login."""
    monkeypatch.setattr(launch, "server_command", lambda *_: [sys.executable, "-c", ""])
    assert run_dashboard("sqlite:///explorer.db", allow_hosts=["lab.example"]) == 0
    assert capfd.readouterr().out == "The dashboard has no login. It answers to lab.example, localhost, 127.0.0.1.\n"
    assert run_dashboard("sqlite:///explorer.db", host="0.0.0.0", behind_proxy=True) == 0
    assert capfd.readouterr().out.startswith("The dashboard relies on a proxy for the login.")


def test_other_machines_need_a_login(monkeypatch):
    """A host beyond loopback needs a token or a proxy; one line says so, and no server starts without."""
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_, **__: pytest.fail("a server was started"))
    for host in ("0.0.0.0", "192.0.2.7", "::", "lab.example"):
        with pytest.raises(StoreError, match="has no login; add --token, or --behind-proxy"):
            run_dashboard("sqlite:///explorer.db", host=host)
    with pytest.raises(StoreError, match="the output is not a terminal; set EXPLORER_DASHBOARD_TOKEN"):
        run_dashboard("sqlite:///explorer.db", token=True)
    monkeypatch.setenv(launch.TOKEN_VARIABLE, "short")
    with pytest.raises(StoreError, match="at least 12 printable characters"):
        run_dashboard("sqlite:///explorer.db")


def test_a_token_is_only_in_the_environment(monkeypatch, capfd):
    """The token is neither on the command line nor in the output; the server gets it from its environment."""
    started = []
    real = launch.subprocess.Popen

    def start(command, env):
        started.append((command, env))
        return real([sys.executable, "-c", ""])

    monkeypatch.setattr(launch.subprocess, "Popen", start)
    monkeypatch.setenv(launch.TOKEN_VARIABLE, "a canary of a token")
    assert run_dashboard("sqlite:///explorer.db", host="0.0.0.0", read_only=True) == 0
    ((command, environment),) = started
    assert "canary" not in " ".join(command) and "canary" not in "".join(capfd.readouterr())
    assert environment[launch.TOKEN_VARIABLE] == "a canary of a token"
    assert environment[launch.READ_ONLY_VARIABLE] == "yes"


@pytest.mark.parametrize(("host", "listened"), [("[::1]", "::1"), ("LocalHost.", "localhost"), ("0:0::0", "::")])
def test_a_host_is_normalised(host, listened, monkeypatch, capfd):
    """Brackets, capitals and a final dot are removed from the host before the server looks it up."""
    taken = []
    monkeypatch.setattr(launch, "server_command", lambda *given: taken.append(given) or [sys.executable, "-c", ""])
    assert run_dashboard("sqlite:///explorer.db", host=host, behind_proxy=True) == 0
    assert taken[0][1] == listened
    assert capfd.readouterr().out.count("localhost") == 1


def test_an_address_of_another_machine_is_one_line(capfd):
    """An address that this machine does not have ends the server with status 1 and one line."""
    assert run_dashboard("sqlite:///explorer.db", host="192.0.2.7", behind_proxy=True) == 1
    assert capfd.readouterr().err == "error: cannot listen on 192.0.2.7: Cannot assign requested address\n"
