"""Starts the dashboard's server, shut to everybody but this machine unless a host is given."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from explorer.errors import StoreError
from explorer.store.database import database_file

LOOPBACK = "127.0.0.1"
STORAGE_VARIABLE = "EXPLORER_STORAGE"
_APP = Path(__file__).with_name("app.py")


def run_dashboard(storage: str, port: int | None = None, host: str | None = None) -> int:
    """Serves the dashboard of ``storage`` until it is interrupted; returns the server's exit status.

    Without ``port`` the first free one from 8501 is taken, and printed. Raises StoreError when
    Streamlit or plotly is not installed, or ``storage`` is no storage at all; one that is not there yet may come.
    """
    missing = [name for name in ("streamlit", "plotly") if find_spec(name) is None]
    if missing:
        raise StoreError(
            f"the dashboard needs {' and '.join(missing)}; install with: pip install 'explorer[dashboard]'"
        )
    database_file(storage)
    server = subprocess.Popen(server_command(port, host), env=server_environment(storage))
    try:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()
    except KeyboardInterrupt:
        return server.wait()  # the terminal interrupted both
    finally:
        server.terminate()


def server_command(port: int | None = None, host: str | None = None) -> list[str]:
    """The command line of the server. What it says overrides a user's Streamlit configuration."""
    options = {
        "server.address": host or LOOPBACK,
        "server.headless": "true",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }
    if port is not None:
        options["server.port"] = str(port)
    if host in ("0.0.0.0", "::"):
        # Without a name to print, Streamlit asks a machine on the internet for its own address.
        options["browser.serverAddress"] = socket.gethostname()
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(_APP),
        *(f"--{name}={value}" for name, value in options.items()),
    ]


def server_environment(storage: str) -> dict[str, str]:
    """The server's environment. The storage is in it, not on the command line: it may hold a password."""
    above = str(_APP.parent.parent)
    path = os.pathsep.join(filter(None, [above, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, STORAGE_VARIABLE: storage, "PYTHONPATH": path}
