"""The scripts of Streamlit's page: which are loaded at once, and how they are sent."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import NamedTuple

import pytest
import streamlit
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from explorer.dashboard import preload
from explorer.dashboard.static_files import StaticFiles

FOLDER = Path(streamlit.__file__).parent / "static"


def preloaded() -> list[str]:
    """Return the paths of the header."""
    return [part.split(">")[0].strip(" <") for part in preload.preload_header().split(",")]


def test_plotly_is_loaded_first():
    """The header names existing scripts, each once, plotly first, and none that the page itself names."""
    paths = preloaded()
    assert "PlotlyChart" in paths[0] and len(set(paths)) == len(paths) > 10
    page = (FOLDER / "index.html").read_text()
    for path in paths:
        assert (FOLDER / path.lstrip("/")).is_file() and f".{path}" not in page
    for name in preload.ELEMENTS:
        assert any(f"/{name}." in path for path in paths)


@pytest.mark.parametrize("text", [None, "not JSON", "[]", '{"index.html": {"imports": ["gone"]}}'])
def test_another_streamlit_has_no_header(text, tmp_path, monkeypatch):
    """Without a manifest that can be read, pages are served without the header."""
    (tmp_path / "static").mkdir()
    if text is not None:
        (tmp_path / "static" / "manifest.json").write_text(text)
    monkeypatch.setattr(preload.streamlit, "__file__", str(tmp_path / "__init__.py"))
    assert preload.preload_header() == ""


class Answer(NamedTuple):
    """What the browser gets."""

    content: bytes
    headers: Headers


def asked(path: str, client: str = "127.0.0.1", method: str = "GET", **headers: str) -> Answer:
    """Return the answer to a request of a browser at an address."""
    sent: list[dict] = []
    scope = {
        **{"type": "http", "method": method, "path": path, "client": (client, 1)},
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
    }

    async def receive() -> dict:
        return {"type": "http.request"}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(StaticFiles(PlainTextResponse("passed on"))(scope, receive, send))
    return Answer(b"".join(message.get("body", b"") for message in sent), Headers(raw=sent[0]["headers"]))


def test_files_are_answered_unchanged():
    """A script and a font are the files, may be cached for ever, and have their types."""
    script = preloaded()[0]
    font = next(FOLDER.rglob("*.woff2"))
    for path, kind in ((script, "javascript"), (f"/{font.relative_to(FOLDER).as_posix()}", "font/woff2")):
        answer = asked(path)
        assert answer.content == (FOLDER / path.lstrip("/")).read_bytes()
        assert kind in answer.headers["content-type"] and "immutable" in answer.headers["cache-control"]


def test_other_requests_are_passed_on():
    """Other paths, other methods and requests for a part of a file are Streamlit's."""
    script = preloaded()[0]
    for path in (
        "/",
        "/static",
        "/static/js/../index.html",
        "/static/js/none.js",
        "/_stcore/health",
        "/static/%2e%2e/a",
    ):
        assert asked(path).content == b"passed on"
    assert asked(script, method="POST").content == b"passed on"
    assert asked(script, range="bytes=0-9").content == b"passed on"


def test_scripts_are_compressed_for_other_machines():
    """A browser elsewhere gets scripts compressed; one on this machine, and one that cannot read it, does not."""
    script = preloaded()[0]
    original = (FOLDER / script.lstrip("/")).read_bytes()
    sent = asked(script, client="192.0.2.7", **{"accept-encoding": "gzip, br"})
    assert sent.headers["content-encoding"] == "gzip" and gzip.decompress(sent.content) == original
    assert int(sent.headers["content-length"]) < len(original) / 2
    for client, accepted in (("127.0.0.1", "gzip"), ("::1", "gzip"), ("192.0.2.7", "identity")):
        assert "content-encoding" not in asked(script, client=client, **{"accept-encoding": accepted}).headers
