"""The text of a place for the files of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store.remote.place import is_remote, parse_place, place_folder


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("runs", "runs"),
        (" ./runs/a ", "./runs/a"),
        ("/abs/olute", "/abs/olute"),
        ("file:///abs", "/abs"),
        ("local:///abs", "/abs"),
        ("~/runs", str(Path.home() / "runs")),
        ("s3://bucket", "s3://bucket"),
        ("S3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("memory://", "memory://"),
        ("sftp://me@host/folder", "sftp://me@host/folder"),
    ],
)
def test_a_place_is_a_folder_or_a_url(text, place):
    """Folders and URLs get one form; only URLs of other protocols than file are remote."""
    assert parse_place(text) == place and is_remote(place) == ("://" in place)
    assert parse_place(place) == place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, found ''"),
        ("a\0b", "expected a folder"),
        ("s3://", "s3:// names no bucket; write s3://BUCKET/PREFIX"),
        ("s4://bucket", "unknown protocol 's4://'; give a folder, s3://"),
        ("s3:bucket", "is neither a folder nor a URL"),
        ("s3::file://x", "is neither a folder nor a URL"),
        ("simplecache::s3://bucket", "is neither a folder nor a URL"),
        ("sftp://me:hunter2secret@host/x", "has a password, a key or a parameter"),
        ("s3://AKIA:hunter2secret@bucket/x", "has a password"),
        ("s3://bucket/x?secret=hunter2secret", "has a password"),
    ],
)
def test_what_is_no_place_is_one_line(text, message):
    """A text that is no place, or has a password, is refused; no part of the password is shown."""
    with pytest.raises(StoreError, match=message) as caught:
        parse_place(text)
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_relative_folder_refers_to_that_of_the_database(tmp_path):
    """A relative folder is beside the database, where the usual folder is too."""
    assert place_folder("runs", tmp_path) == tmp_path / "runs"
    assert place_folder("/abs", tmp_path) == Path("/abs")
    assert place_folder("", tmp_path) == tmp_path / "explorer.artifacts"
