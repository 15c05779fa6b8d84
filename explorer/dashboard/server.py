"""The dashboard's web server, run as a module: Streamlit behind the checks of ``hosts`` and ``login``.

The one argument is JSON: ``{"names": [NAME, ...], "config": {STREAMLIT_OPTION: value, ...}}``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Collection
from pathlib import Path

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App

from explorer.dashboard.hosts import refusal
from explorer.dashboard.launch import TOKEN_VARIABLE, pages_folder
from explorer.dashboard.login import Login
from explorer.dashboard.preload import preload_header
from explorer.dashboard.static_files import StaticFiles
from explorer.dashboard.warm_up import start_warm_up


def page_script_hashes() -> list[str]:
    """Return the CSP sources of the scripts in Streamlit's own page."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]


POLICY = {
    "default-src": "'none'",
    # Streamlit loads the code of a component (``panels.plane_marks``) from a blob, which only its own page can make.
    "script-src": " ".join(["'self'", "blob:", *page_script_hashes()]),
    "style-src": "'self' 'unsafe-inline'",  # Streamlit and plotly write style elements
    "font-src": "'self' data:",
    "img-src": "'self' data: blob:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",  # the form of the login
    "frame-ancestors": "'none'",
}
REFERRER = "Referrer-Policy"
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "Cross-Origin-Resource-Policy": "same-origin",
    REFERRER: "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: refuses requests for other host names, and adds the security headers to every response."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self.app = app
        self.names = names
        self.preload = preload_header()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                headers = MutableHeaders(scope=message)
                referrer = headers.get(REFERRER, HEADERS[REFERRER])  # the login has its own
                headers.update({**HEADERS, REFERRER: referrer})
                if (
                    self.preload
                    and headers.get("content-type", "").startswith("text/html")
                    and message["status"] == 200
                ):
                    headers["Link"] = self.preload
            await send(message)

        asked = Headers(scope=scope)
        refused = refusal(asked.getlist("host"), asked.getlist("origin"), scope["path"], self.names, scope["server"][1])
        if refused is None:
            return await self.app(scope, receive, send_guarded)
        response = PlainTextResponse(f"{refused.reason}\n", refused.status, {"Connection": "close"})
        await response(scope, receive, send_guarded)


def main(argument: str) -> None:
    """Serve until SIGINT or SIGTERM, which end the process with status 0.

    Exits with status 1 and one line if the address cannot be used.
    """
    given = json.loads(argument)
    token = os.environ.pop(TOKEN_VARIABLE, "")  # not passed on to the processes that the server starts
    middleware = [Middleware(Guard, names=given["names"])]
    middleware += [Middleware(Login, token=token)] if token else []
    middleware += [Middleware(StaticFiles)]
    app = App(pages_folder() / "app.py", middleware=middleware)
    address = given["config"]["server.address"]
    for interrupt in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops the server, then raises the signal again
        signal.signal(interrupt, lambda *_: sys.exit(0))
    start_warm_up()
    try:
        app.run(config=given["config"])
    except OSError as error:
        sys.exit(f"error: cannot listen on {address}: {error.strerror or error}")


if __name__ == "__main__":
    main(sys.argv[1])
