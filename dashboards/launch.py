"""Starts the dashboard's server, shut to everybody but this machine unless a host is given."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from dashboards.hosts import WILDCARDS, address, allowed_names
from explorer.errors import StoreError
from explorer.store.database import database_file

LOOPBACK = "127.0.0.1"
STORAGE_VARIABLE = "EXPLORER_STORAGE"


def run_dashboard(
    storage: str, port: int | None = None, host: str | None = None, allow_hosts: Sequence[str] = ()
) -> int:
    """Serves the dashboard of ``storage`` until it is interrupted; returns the server's exit status.

    Without ``port`` the first free one from 8501 is taken, and printed. ``allow_hosts``: host names that it answers
    to besides ``host`` and the loopback names. Raises StoreError when Streamlit or plotly is not installed, a host
    name is none, or ``storage`` is no storage at all; one that is not there yet may come.
    """
    missing = [name for name in ("streamlit", "plotly") if find_spec(name) is None]
    if missing:
        raise StoreError(
            f"the dashboard needs {' and '.join(missing)}; install with: pip install 'explorer[dashboard]'"
        )
    database_file(storage)
    host = None if host is None else address(host)
    names = allowed_names(host, allow_hosts)
    told = dict.fromkeys([*names, "localhost", LOOPBACK])
    print(f"The dashboard has no login. It answers to {', '.join(told)}.", flush=True)
    server = subprocess.Popen(server_command(port, host, names), env=server_environment(storage))
    try:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()
    except KeyboardInterrupt:
        return server.wait()  # the terminal interrupted both
    finally:
        server.terminate()


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
        # Without a name to print, Streamlit asks a machine on the internet for its own address.
        options["browser.serverAddress"] = next(iter(names), "localhost")
    elif host is not None and ":" in host:
        options["browser.serverAddress"] = f"[{host}]"
    # -P: modules of the working folder must not replace those of the server.
    return [sys.executable, "-P", "-m", "dashboards.server", json.dumps({"names": list(names), "config": options})]


def server_environment(storage: str) -> dict[str, str]:
    """The server's environment. The storage is in it, not on the command line: it may hold a password."""
    above = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [above, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, STORAGE_VARIABLE: storage, "PYTHONPATH": path}
