"""Start the dashboard's server. Only this machine can open it unless a host is given."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from explorer.dashboard.hosts import WILDCARDS, address, allowed_names, is_loopback
from explorer.errors import StoreError
from explorer.store.storage_url import database_file
from explorer.system.installation import install_command

LOOPBACK = "127.0.0.1"
STORAGE_VARIABLE = "EXPLORER_STORAGE"
TOKEN_VARIABLE = "EXPLORER_DASHBOARD_TOKEN"
LEAST_LENGTH = 12  # characters of a token
READ_ONLY_VARIABLE = "EXPLORER_DASHBOARD_READ_ONLY"  # not empty: the server writes no notes


def run_dashboard(
    storage: str,
    port: int | None = None,
    host: str | None = None,
    allow_hosts: Sequence[str] = (),
    *,
    token: bool = False,
    behind_proxy: bool = False,
    read_only: bool = False,
) -> int:
    """Serve the dashboard of a storage until SIGINT or SIGTERM.

    Args:
        storage: URL of the storage. It need not exist yet.
        port: The port to listen on; by default the first free one from 8501, which is printed.
        host: The address to listen on; by default 127.0.0.1.
        allow_hosts: Host names to answer to besides ``host`` and the loopback names.
        token: Whether browsers must log in with the token of the environment variable ``EXPLORER_DASHBOARD_TOKEN``, or
            without one with a random token, which is printed to the terminal. Always if that variable is set.
        behind_proxy: Whether a reverse proxy in front of the server asks for a login.
        read_only: Whether notes and tags cannot be changed.

    Returns:
        The exit status of the server.

    Raises:
        StoreError: Streamlit or plotly is not installed, a host name or the token is invalid, ``storage`` is not a
            storage URL, or ``host`` is not a loopback address and there is neither a token nor a proxy.
    """
    missing = [name for name in ("streamlit", "plotly") if find_spec(name) is None]
    if missing:
        raise StoreError(f"the dashboard needs {' and '.join(missing)}; install with: {install_command('dashboard')}")
    database_file(storage)
    host = None if host is None else address(host)
    names = allowed_names(host, allow_hosts)
    answered = ", ".join(dict.fromkeys([*names, "localhost", LOOPBACK]))
    secret = _token() if token or os.environ.get(TOKEN_VARIABLE) else ""
    if not (secret or behind_proxy or host is None or is_loopback(host)):
        raise StoreError(
            f"--host {host} opens the dashboard to other machines, and it has no login; add --token, or --behind-proxy"
            " if a reverse proxy asks for a login"
        )
    login = "asks for a token" if secret else "relies on a proxy for the login" if behind_proxy else "has no login"
    print(f"The dashboard {login}. It answers to {answered}.", flush=True)
    environment = {**server_environment(storage), TOKEN_VARIABLE: secret, READ_ONLY_VARIABLE: "yes" * read_only}
    server = subprocess.Popen(server_command(port, host, names), env=environment)
    try:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()
    except KeyboardInterrupt:
        return server.wait()  # the terminal sent SIGINT to the server too
    finally:
        server.terminate()


def _token() -> str:
    """Return the token of the environment, or a new one, which is printed to the terminal.

    Raises:
        StoreError: The token is too short, or there is neither a token nor a terminal: a log must not hold it.
    """
    given = os.environ.get(TOKEN_VARIABLE, "")
    if given:
        if len(given) < LEAST_LENGTH or not given.isprintable():
            raise StoreError(f"{TOKEN_VARIABLE}: a token has at least {LEAST_LENGTH} printable characters")
        return given
    if not sys.stdout.isatty():
        raise StoreError(f"--token prints a new token, but the output is not a terminal; set {TOKEN_VARIABLE}")
    made = secrets.token_urlsafe(24)
    print(f"Token of this dashboard: {made}", flush=True)
    return made


def server_command(port: int | None = None, host: str | None = None, names: Sequence[str] = ()) -> list[str]:
    """Return the command line of the server. Its options override a user's Streamlit configuration.

    Args:
        port: The port to listen on; by default the first free one from 8501.
        host: The address to listen on; by default 127.0.0.1.
        names: The host names to answer to besides the loopback names.
    """
    options: dict[str, object] = {
        "server.address": host or LOOPBACK,
        "server.headless": True,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }
    if port is not None:
        options["server.port"] = port
    if host in WILDCARDS:
        # Without a name to print, Streamlit asks an internet service for this machine's address.
        options["browser.serverAddress"] = next(iter(names), "localhost")
    elif host is not None and ":" in host:
        options["browser.serverAddress"] = f"[{host}]"
    # -P: modules in the working directory must not shadow those of the server.
    return [
        sys.executable,
        "-P",
        "-m",
        "explorer.dashboard.server",
        json.dumps({"names": list(names), "config": options}),
    ]


def server_environment(storage: str) -> dict[str, str]:
    """Return the server's environment variables.

    They hold the storage, because its URL may contain a password and command lines are visible to other users.
    """
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, STORAGE_VARIABLE: storage, "PYTHONPATH": path}


def pages_folder() -> Path:
    """Return the folder of ``app.py`` and the pages: in a wheel inside this package, in a checkout ``dashboards/``."""
    packed = Path(__file__).with_name("pages")
    return packed if packed.is_dir() else Path(__file__).parents[2] / "dashboards"
