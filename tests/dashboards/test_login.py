"""The login of the dashboard, tested with raw requests."""

from __future__ import annotations

import os
import subprocess
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from explorer.dashboard.launch import TOKEN_VARIABLE
from tests.dashboards.conftest import serving, write_study
from tests.dashboards.test_server import PATHS, UPGRADE, ask, status
from tests.polling import PATIENCE

TOKEN = "a canary & a token"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a dashboard with a token."""
    url = f"sqlite:///{tmp_path_factory.mktemp('storage')}/explorer.db"
    write_study(url, "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOKEN_VARIABLE, TOKEN)
        with serving(url) as address:
            yield int(address.rpartition(":")[2])


def log_in(port: int, token: str, origin: str = "", place: str = "") -> str:
    """Send the form; return the answer."""
    body = f"token={quote(token)}" + (f"&place={quote(place, safe='')}" if place else "")
    head = f"POST /login HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {len(body)}\r\n"
    head += f"Origin: {origin}\r\n" if origin else ""
    head += "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n"
    return ask(port, f"{head}{body}")


def cookie_of(head: str) -> str:
    return next(line.split(": ", 1)[1] for line in head.splitlines() if line.lower().startswith("set-cookie"))


def test_nothing_is_answered_without_the_token(port):
    """Every route but the health check gets the login or an error, also the websocket, and a forged cookie."""
    for cookie in ("", "Cookie: explorer_login=\r\n", f"Cookie: explorer_login={quote(TOKEN)}\r\n", "Cookie: ;=\r\n"):
        for path in PATHS:
            expected = 200 if path == "/_stcore/health" else 401
            assert status(port, f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{cookie}") == expected
        own = f"localhost:{port}"
        opening = f"GET /_stcore/stream HTTP/1.1\r\n{UPGRADE}Host: {own}\r\nOrigin: http://{own}\r\n{cookie}"
        assert status(port, opening) == 403


def test_the_token_opens_the_dashboard(port):
    """The right token gives a cookie, which opens pages and the websocket; the cookie does not hold the token."""
    head = log_in(port, TOKEN)
    assert head.split()[1] == "303" and "location: /\r\n" in f"{head.lower()}\r\n"
    given = cookie_of(head)
    assert "HttpOnly" in given and "samesite=strict" in given.lower() and "canary" not in head
    sent = f"Cookie: {given.partition(';')[0]}\r\n"
    own = f"localhost:{port}"
    assert status(port, f"GET / HTTP/1.1\r\nHost: {own}\r\n{sent}") == 200
    opening = f"GET /_stcore/stream HTTP/1.1\r\n{UPGRADE}Host: {own}\r\nOrigin: http://{own}\r\n{sent}"
    assert status(port, opening) == 101
    assert status(port, f"GET / HTTP/1.1\r\nHost: evil.test\r\n{sent}") == 421


def test_a_wrong_token_gives_no_cookie(port):
    """A wrong token, a prefix of it, none at all and a form of another site get no cookie."""
    for token in (TOKEN[:-1], f"{TOKEN}x", ""):
        head = log_in(port, token)
        assert head.split()[1] == "401" and "set-cookie" not in head.lower()
    assert log_in(port, TOKEN, origin="http://evil.test").split()[1] == "403"


def test_other_users_do_not_see_the_token(port):
    """No command line of a process holds the token."""
    listed = subprocess.run(["ps", "-u", str(os.getuid()), "-o", "args"], capture_output=True, text=True, check=True)
    assert "explorer.dashboard.server" in listed.stdout and "canary" not in listed.stdout


def test_a_link_survives_the_login(port):
    """The form carries the path and the query that the browser asked for, also after a wrong token; they open next."""
    link = "/architecture?study=a%22%3Eb&trial=7"
    shown = 'name="place" value="/architecture?study=a%22%3Eb&amp;trial=7"'
    for form in (None, b"token=wrong&place=" + quote(link, safe="").encode()):
        path = link if form is None else "/login"
        with pytest.raises(HTTPError) as refused:
            urlopen(f"http://localhost:{port}{path}", form, timeout=PATIENCE)
        assert refused.value.code == 401 and shown in refused.value.read().decode()
    assert location(log_in(port, TOKEN, place=link)) == link


@pytest.mark.parametrize(
    "place",
    [
        "//evil.test/",
        "/\\evil.test",
        "https://evil.test/",
        "evil.test",
        "/\r\nX: y",
        "/\t/evil.test",
        "/a\\..\\b",
        "/é",
    ],
)
def test_the_login_opens_only_its_own_pages(place, port):
    """A form that names another server, or no address, opens the first page."""
    assert location(log_in(port, TOKEN, place=place)) == "/"


def location(answer: str) -> str:
    """Return the address that an answer redirects to."""
    return next(line.split(": ", 1)[1] for line in answer.splitlines() if line.lower().startswith("location"))
