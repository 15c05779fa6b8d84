"""The dashboard's server, tested with raw requests that a hostile page or program could send."""

from __future__ import annotations

import socket

import pytest

from tests.dashboards.conftest import serving, write_study
from tests.polling import PATIENCE

PATHS = (
    "/",
    "/effects",
    "/_stcore/health",
    "/_stcore/host-config",
    "/static/media/x",
    "/media/x",
    "/_stcore/upload_file/1/2",
)
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a dashboard that also accepts explorer.example."""
    url = f"sqlite:///{tmp_path_factory.mktemp('storage')}/explorer.db"
    write_study(url, "first")
    with serving(url, "--allow-host", "explorer.example") as address:
        yield int(address.rpartition(":")[2])


def ask(port: int, lines: str) -> str:
    """Send a request line and headers, and return the head of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"{lines}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
            answer += part
    return answer.decode("latin-1").partition("\r\n\r\n")[0]


def status(port: int, lines: str) -> int:
    return int(ask(port, lines).split()[1])


def test_other_names_are_refused_on_every_route(port):
    """A foreign Host header gets status 421 on every route, with every method and any proxy headers."""
    for path in PATHS:
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            forged = f"{method} {path} HTTP/1.1\r\nHost: evil.test:{port}\r\n"
            assert status(port, forged) == 421
        claims = f"X-Forwarded-Host: localhost:{port}\r\nForwarded: host=localhost\r\nX-Forwarded-For: 127.0.0.1\r\n"
        assert status(port, f"GET {path} HTTP/1.1\r\nHost: evil.test\r\n{claims}") == 421
    assert status(port, f"GET /_stcore/health HTTP/1.1\r\nHost: localhost:{port}\r\n") == 200
    assert status(port, "GET /_stcore/health HTTP/1.1\r\nHost: explorer.example\r\n") == 200


def test_the_websocket_checks_its_origin(port):
    """A websocket opens only for the dashboard's own page."""
    opening = f"GET /_stcore/stream HTTP/1.1\r\n{UPGRADE}"
    own = f"localhost:{port}"
    assert status(port, f"{opening}Host: {own}\r\nOrigin: http://{own}\r\n") == 101
    assert status(port, f"{opening}Host: explorer.example\r\nOrigin: https://explorer.example\r\n") == 101
    assert status(port, f"{opening}Host: evil.test\r\nOrigin: http://evil.test\r\n") == 421
    assert status(port, f"{opening}Host: evil.test\r\n") == 421
    for origin in ("http://evil.test", "null", "http://localhost:1", f"http://127.0.0.1:{port}"):
        assert status(port, f"{opening}Host: {own}\r\nOrigin: {origin}\r\n") == 403


def test_malformed_requests_get_an_error(port):
    """No Host header, two of them, and a request line with a foreign address are refused."""
    assert status(port, "GET / HTTP/1.0\r\n") == 400
    assert status(port, "GET / HTTP/1.1\r\n") == 400
    assert status(port, "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n") == 400
    assert status(port, f"GET http://evil.test/ HTTP/1.1\r\nHost: localhost:{port}\r\n") == 400
    assert status(port, f"GET / HTTP/1.0\r\nHost: localhost:{port}\r\n") == 200


def test_security_headers(port):
    """Every answer, also a refusal, forbids frames, foreign sources and MIME sniffing."""
    for lines in (f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n", "GET / HTTP/1.1\r\nHost: evil.test\r\n"):
        head = ask(port, lines).lower()
        assert "x-frame-options: deny" in head and "x-content-type-options: nosniff" in head
        assert "referrer-policy: no-referrer" in head
        policy = next(line for line in head.splitlines() if line.startswith("content-security-policy: "))
        assert "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy
        assert "http" not in policy and "*" not in policy and "'unsafe-eval'" not in policy
