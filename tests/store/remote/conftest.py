"""Object stores for tests: fsspec's in memory, and S3 by moto's server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.store.remote.s3 import SECRET, S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A local S3 server."""
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket; the environment has the credentials."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-access-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{secrets.token_hex(4)}"
    import boto3

    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/some/prefix"


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> str:
    """A place in an object store of each kind."""
    if request.param == "memory":
        return f"memory://{secrets.token_hex(4)}/prefix"
    return request.getfixturevalue("s3")
