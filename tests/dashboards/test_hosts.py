"""The host names that the dashboard accepts."""

from __future__ import annotations

import pytest

from explorer.dashboard.hosts import allowed_names, refusal
from explorer.errors import StoreError


def status(host: str, *origins: str, target: str = "/", names: tuple[str, ...] = ()) -> int | None:
    found = refusal([host], origins, target, names, 8501)
    return found and found.status


@pytest.mark.parametrize(
    "host",
    ("localhost:8501", "LocalHost", "localhost.:8501", "127.0.0.1:8501", "127.9.9.9", "[::1]:8501", "localhost:9000"),
)
def test_loopback_names_are_accepted(host):
    """Every loopback name is accepted with any port, because a tunnel may use another port."""
    assert status(host) is None
    assert status(host, f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    (
        *("evil.test", "evil.test:8501", "localhost.evil.test", "127.0.0.1.evil.test", "notlocalhost", "", "."),
        *("localhost@evil.test", "evil.test#localhost", "evil.test/localhost", "localhost, evil.test", " localhost"),
        *("192.0.2.7", "0.0.0.0", "[::]", "[::1", "localhost:port", "localhost:1:2", "localhost\u0130", "2130706433"),
    ),
)
def test_other_names_are_refused(host):
    """Any other Host header is refused with a line that names the option to allow it."""
    found = refusal([host], [], "/", (), 8501)
    assert found.status == 421
    assert found.reason == (
        "The dashboard does not answer to this host name. Open http://localhost:8501,"
        " or start it with: explorer dashboard --allow-host NAME"
    )


@pytest.mark.parametrize(
    "origin",
    (
        *("http://evil.test", "http://localhost:9999", "null", "", "http://localhost:8501.evil.test"),
        *("file://", "http://localhost:8501/", "http://evil.test@localhost:8501", "ws://localhost:8501"),
    ),
)
def test_only_the_same_origin_is_accepted(origin):
    """A page may only send requests to its own host and port."""
    assert status("localhost:8501", origin) == 403
    assert status("localhost:8501", "http://localhost:8501") is status("localhost:8501") is None
    assert status("explorer.example", "https://explorer.example", names=("explorer.example",)) is None


def test_malformed_requests_are_refused():
    """No Host header, several Host or Origin headers, and a request line with an address are refused."""
    for hosts, origins, target in (
        ([], [], "/"),
        (["localhost", "evil.test"], [], "/"),
        (["localhost"], ["http://localhost"] * 2, "/"),
        (["localhost"], [], "http://localhost/"),
    ):
        assert refusal(hosts, origins, target, (), 8501).status == 400


def test_names_given_by_the_user_are_accepted():
    """``--host`` and ``--allow-host`` add names; a wildcard address adds none."""
    assert allowed_names(None) == allowed_names("0.0.0.0") == allowed_names("::") == ()
    assert allowed_names("192.0.2.7", ["Explorer.Example.", "192.0.2.7"]) == ("192.0.2.7", "explorer.example")
    assert status("[2001:db8::1]:8501", names=allowed_names("2001:DB8:0::1")) is None
    assert status("my_server:8501", names=allowed_names("0.0.0.0", ["my_server"])) is None


@pytest.mark.parametrize(
    "name", ("", "*", "http://x.org", "x.org:8501", "a b", "x.org/", "-x", "a" * 300, "münchen.de")
)
def test_invalid_names_are_rejected(name):
    """A value that is not a host name is rejected in one line."""
    with pytest.raises(StoreError, match="is not a host name; expected a name or an IP address without scheme, port"):
        allowed_names(None, [name])
