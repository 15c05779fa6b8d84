"""The place of a study's files, the setting ``artifacts``: a folder, or the URL of an object store.

The text of a place is stored in the study, so it never has a password or a key. The libraries of the object stores
take those from the environment or from their own files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from explorer.errors import StoreError
from explorer.store.passwords import HIDDEN, hide_passwords

PLACE = "artifacts"  # the setting, and the entry of a study's fingerprint
VARIABLE = "EXPLORER_ARTIFACTS"  # the environment variable of the setting
EXAMPLES = "a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{2,}(.*)", re.IGNORECASE | re.DOTALL)
_LOCAL = ("file", "local")


def parse_place(text: str) -> str:
    """Return the text of a place in its usual form.

    Args:
        text: A folder, absolute or relative to that of the database, or a URL that fsspec knows. ``~`` at the start is
            the home folder.

    Returns:
        The folder as a path, or the URL without a slash at its end.

    Raises:
        StoreError: The text is no place. The message has no password.
    """
    stripped = text.strip()
    if not stripped or "\0" in stripped or not stripped.isprintable():
        raise StoreError(f"{PLACE}: expected {EXAMPLES}, found {stripped[:80]!r}")
    match = _URL.fullmatch(stripped)
    if match is None:
        if "::" in stripped or re.match(r"[a-z0-9+.-]{2,}:", stripped, re.IGNORECASE):
            raise StoreError(
                f"{PLACE}: {hide_passwords(stripped)[:80]!r} is neither a folder nor a URL; give {EXAMPLES}"
            )
        return os.path.expanduser(stripped)
    protocol, path = match[1].lower(), match[2]
    if protocol in _LOCAL:
        return f"/{path.lstrip('/')}"
    _require_known(protocol)
    host = path.partition("/")[0]
    if ":" in host.rpartition("@")[0] or re.search(r"[?#]|::", path) or hide_passwords(stripped) != stripped:
        raise StoreError(
            f"{PLACE}: {protocol}://{HIDDEN} has a password, a key or a parameter, which would be stored in the study;"
            " leave it out, and give it in the environment, as in AWS_SECRET_ACCESS_KEY"
        )
    if not path.strip("/") and protocol != "memory":
        raise StoreError(f"{PLACE}: {protocol}:// names no bucket; write {protocol}://BUCKET/PREFIX")
    return f"{protocol}://{path.strip('/')}"


def place_of_environment() -> str:
    """Return the place that the environment names; empty if it names none. Raises StoreError as ``parse_place``."""
    text = os.environ.get(VARIABLE, "")
    return parse_place(text) if text else ""


def is_remote(place: str) -> bool:
    """Return whether a place is no folder of this machine."""
    return "://" in place


def place_folder(place: str, beside: Path) -> Path:
    """Return the folder of a place.

    Args:
        place: A folder, or an empty text for the usual one.
        beside: The folder to which a relative path refers.
    """
    return beside / (place or "explorer.artifacts")


def _require_known(protocol: str) -> None:
    """Raise StoreError if fsspec does not know a protocol."""
    from fsspec.registry import available_protocols

    known = [name for name in available_protocols() if name not in _LOCAL]
    if protocol not in known:
        raise StoreError(f"{PLACE}: unknown protocol {protocol + '://'!r}; give {EXAMPLES}")
