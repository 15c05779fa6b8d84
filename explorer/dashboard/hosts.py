"""Which host names the dashboard answers to: a check against DNS rebinding.

A web page that a user visits can point its own host name at 127.0.0.1. The browser then treats the dashboard as
part of that page's site and lets the page read it. Such a request names the foreign site in its ``Host`` header.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from explorer.errors import StoreError

WILDCARDS = ("0.0.0.0", "::")
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?")  # in lower case


class Refusal(NamedTuple):
    """An HTTP status and one line of text."""

    status: int
    reason: str


def allowed_names(host: str | None, extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the host names that the server answers to besides the loopback names.

    Args:
        host: The address or name that the server listens on. A wildcard address allows no name.
        extra: Further names, as a user gives them with ``--allow-host``.

    Raises:
        StoreError: One of them is not a host name or an IP address.
    """
    given = [*extra] if host is None or address(host) in WILDCARDS else [host, *extra]
    return tuple(dict.fromkeys(address(name) for name in given))


def refusal(
    hosts: Collection[str], origins: Collection[str], target: str, names: Collection[str], port: int
) -> Refusal | None:
    """Return why a request is refused, None when it is allowed.

    Args:
        hosts: The values of its ``Host`` headers.
        origins: The values of its ``Origin`` headers.
        target: The target in its request line.
        names: The names of ``allowed_names``.
        port: The server's port, for the message.
    """
    if not target.startswith("/"):
        return Refusal(400, "The request must name a path of this server, not an address.")
    if len(hosts) != 1 or len(origins) > 1:
        return Refusal(400, "The request must have exactly one Host header and at most one Origin header.")
    (host,) = hosts
    match = _HOST.fullmatch(host.lower())
    name = _bare(match["name"]) if match else ""
    if not (is_loopback(name) or name in names):
        return Refusal(
            421,
            "The dashboard does not answer to this host name."
            f" Open http://localhost:{port}, or start it with: explorer dashboard --allow-host NAME",
        )
    for origin in origins:
        # A tunnel or a proxy may listen on another port than the server; the browser still sends one port in both.
        if origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return Refusal(403, "The dashboard does not answer to pages of other sites.")
    return None


def is_loopback(name: str) -> bool:
    """Return whether a name or an address is that of this machine alone."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _bare(name: str) -> str:
    """The name without the brackets of an IPv6 address and the dot of the root domain."""
    return name[1:-1] if name.startswith("[") else name.removesuffix(".")


def address(name: str) -> str:
    """Return a host name or an IP address as the server takes it: in lower case, without brackets and final dot.

    Raises:
        StoreError: ``name`` is neither.
    """
    found = _bare(name.lower())
    try:
        return str(ipaddress.ip_address(found))
    except ValueError:
        pass
    if len(found) > 253 or not _NAME.fullmatch(found):
        raise StoreError(
            f"{name[:100]!r} is not a host name; expected a name or an IP address without scheme, port and path,"
            " as in explorer.example.org"
        )
    return found
