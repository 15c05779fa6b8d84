"""Object stores for tests: fsspec's in memory, and S3."""

from __future__ import annotations

import secrets

import pytest


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> str:
    """A place in an object store of each kind."""
    if request.param == "memory":
        return f"memory://{secrets.token_hex(4)}/prefix"
    return request.getfixturevalue("s3")
