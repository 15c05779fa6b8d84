"""Answers requests for the scripts, style sheets and fonts of Streamlit's page from memory.

A first visit asks for more than a hundred. Streamlit reads each from disk in a thread and never compresses them; here
each is read once, and compressed once for browsers on other machines.
"""

from __future__ import annotations

import asyncio
import gzip
from ipaddress import ip_address
from mimetypes import guess_type
from pathlib import Path

import streamlit
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

COMPRESSED = {".js", ".css", ".json"}  # fonts and images are compressed already
UNCHANGED = "public, immutable, max-age=31536000"  # the name of each file has the hash of its content


class StaticFiles:
    """ASGI middleware: answers ``/static/...``, and passes everything else on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        folder = Path(streamlit.__file__).parent / "static"
        self._files = {f"/{file.relative_to(folder).as_posix()}": file for file in (folder / "static").rglob("*.*")}
        self._read: dict[tuple[str, bool], bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self._files.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        headers = Headers(scope=scope) if file is not None else {}
        if file is None or "range" in headers:
            return await self.app(scope, receive, send)
        compresses = file.suffix in COMPRESSED
        is_packed = compresses and "gzip" in headers.get("accept-encoding", "") and not _is_local(scope)
        content = self._read.get((scope["path"], is_packed))
        if content is None:
            content = self._read[scope["path"], is_packed] = await asyncio.to_thread(_content, file, is_packed)
        kind = guess_type(file.name)[0] or "application/octet-stream"
        fixed = {"Cache-Control": UNCHANGED}
        fixed |= {"Vary": "Accept-Encoding"} if compresses else {}
        fixed |= {"Content-Encoding": "gzip"} if is_packed else {}
        await Response(content, media_type=kind, headers=fixed)(scope, receive, send)


def _content(file: Path, is_packed: bool) -> bytes:
    content = file.read_bytes()
    return gzip.compress(content, 6) if is_packed else content


def _is_local(scope: Scope) -> bool:
    """Return whether the browser is on this machine, where compression costs more time than it saves."""
    try:
        return ip_address((scope.get("client") or ("", 0))[0]).is_loopback
    except ValueError:
        return False
