"""Files in an object store: written in one step, listed, read and removed by name."""

from __future__ import annotations

import logging
import threading

import pytest

from explorer.errors import StoreError
from explorer.store.remote.files import FolderFiles, ObjectStore
from tests.store.remote.s3 import SECRET


def test_files_are_written_listed_read_and_removed(place, tmp_path):
    """A folder and an object store have the same operations with the same results."""
    for files in (FolderFiles(tmp_path / "files"), ObjectStore(f"{place}/one")):
        assert files.names() == {} and files.read("a") is None
        files.remove("a")
        files.remove_all()
        files.write("a", b"first")
        files.write("a", b"second!")
        files.write("b", b"")
        assert files.names() == {"a": 7, "b": 0} and files.read("a") == b"second!" and files.read("b") == b""
        files.remove("b")
        assert files.names() == {"a": 7}
        files.remove_all()
        assert files.names() == {} and files.read("a") is None


def test_a_store_without_whole_writes_gets_a_renamed_file(monkeypatch):
    """Where a partial file would be visible, a file gets its name only when it is complete."""
    from fsspec.implementations.memory import MemoryFileSystem

    store, seen = ObjectStore("memory://renamed"), []
    monkeypatch.setattr("explorer.store.remote.files._ATOMIC", ())
    original = MemoryFileSystem.pipe_file
    monkeypatch.setattr(
        MemoryFileSystem, "pipe_file", lambda self, path, *more: (seen.append(path), original(self, path, *more))[1]
    )
    store.write("a", b"content")
    assert store.names() == {"a": 7} and store.read("a") == b"content"
    assert all(".writing-" in path for path in seen)


def test_a_store_that_is_away_is_tried_again(s3, s3_server, caplog):
    """A read waits until the store answers; its warnings have no credentials."""
    store = ObjectStore(s3)
    store.write("a", b"content")
    s3_server.stop()
    threading.Timer(2.0, s3_server.start).start()
    with caplog.at_level(logging.WARNING):
        assert store.read("a") == b"content"
    assert SECRET not in caplog.text


def test_an_outage_is_logged_once(monkeypatch, caplog):
    """However often a read is tried again, one line names the cause and for how long it is tried."""
    from fsspec.implementations.memory import MemoryFileSystem

    answers = [OSError("away"), OSError("away"), b"content"]

    def answer(*_: object) -> bytes:
        found = answers.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(MemoryFileSystem, "cat_file", answer)
    assert ObjectStore("memory://x").read("a") == b"content"
    assert [each.getMessage() for each in caplog.records] == [
        "memory://x: cannot read a: away; trying again for up to 90 s"
    ]


def test_a_store_that_stays_away_is_one_line(s3, s3_server):
    """After the time for retries the error names URL, operation and cause, and no credentials."""
    s3_server.stop()
    try:
        with pytest.raises(StoreError, match=r"s3://.*/some/prefix: cannot read a: .*connect") as caught:
            ObjectStore(s3, retry_seconds=0.0).read("a")
    finally:
        s3_server.start()
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [PermissionError("denied"), NotImplementedError("no such operation")])
def test_an_error_that_lasts_is_not_tried_again(monkeypatch, caplog, error):
    """A permission that is missing, or an operation that the store does not have, is one line at once."""
    from fsspec.implementations.memory import MemoryFileSystem

    calls = []

    def fail(*_: object) -> bytes:
        calls.append(1)
        raise error

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(StoreError, match="cannot read a: "):
        ObjectStore("memory://x").read("a")
    assert len(calls) == 1 and not caplog.records


def test_a_message_with_a_key_of_the_environment_hides_it(s3, monkeypatch):
    """Even a library that repeats the key in its error does not bring it into a message."""
    from fsspec.implementations.memory import MemoryFileSystem

    def fail(*_: object) -> bytes:
        raise OSError(f"bad signature for {SECRET}")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(StoreError, match=r"bad signature for \*\*\*"):
        ObjectStore("memory://x", retry_seconds=0.0).read("a")


def test_a_bucket_that_does_not_exist_is_refused_at_once(s3, caplog):
    """The check of a place fails without retries, in one line."""
    with pytest.raises(StoreError, match="s3://no-such-bucket-here/x: cannot write"):
        ObjectStore("s3://no-such-bucket-here/x").require_writable()
    ObjectStore(s3).require_writable()
    assert ObjectStore(s3).names() == {}
    assert "trying again" not in caplog.text
