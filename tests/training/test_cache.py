"""What is decoded is kept, and a damaged or half written cache is never believed."""

from __future__ import annotations

import os

import numpy as np
import pytest

from explorer.training import cache
from explorer.training.cache import cached

ARRAYS = {"images": np.arange(600, dtype=np.uint8).reshape(100, 6), "labels": np.arange(100)}


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "source"
    path.write_text("first")
    return path


class Decoder:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return ARRAYS


def entry(source):
    (found,) = cache.cache_folder().iterdir()
    return found


def same(arrays) -> bool:
    return set(arrays) == set(ARRAYS) and all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def test_decoded_once_and_mapped(source):
    """The second call decodes nothing and maps the arrays read only."""
    decode = Decoder()
    assert same(cached("x", [source], decode))
    again = cached("x", [source], decode)
    assert same(again)
    assert decode.calls == 1
    assert isinstance(again["images"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        again["images"][0, 0] = 1


def test_a_changed_source_is_decoded_anew(source):
    """Another size or time of change of the source is another entry."""
    decode = Decoder()
    cached("x", [source], decode)
    source.write_text("second")
    cached("x", [source], decode)
    os.utime(source, (1, 1))
    cached("x", [source], decode)
    assert decode.calls == 3


@pytest.mark.parametrize("harm", ["cut", "missing", "manifest", "empty"])
def test_a_damaged_entry_is_decoded_anew(source, harm):
    """An array cut short or missing, or a manifest that is no JSON, is decoded and written again."""
    decode = Decoder()
    cached("x", [source], decode)
    array = entry(source) / "images.npy"
    if harm == "cut":
        os.truncate(array, 300)
    elif harm == "missing":
        array.unlink()
    elif harm == "manifest":
        (entry(source) / cache.MANIFEST).write_text("[")
    else:
        os.truncate(array, 0)
    assert same(cached("x", [source], decode))
    assert same(cached("x", [source], decode))
    assert decode.calls == 2


def test_works_without_a_writable_cache(source, tmp_path, monkeypatch):
    """Where no cache can be made the arrays come all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert same(cached("x", [source], Decoder()))


def test_a_failed_write_leaves_nothing_behind(source, monkeypatch):
    """A disk that is full while the entry is written costs the entry, not the arrays, and leaves no rest."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    assert same(cached("x", [source], Decoder()))
    assert list(cache.cache_folder().iterdir()) == []


def test_what_a_killed_writer_left_is_swept(source):
    """A rest older than an hour is removed by the next writer; a younger one may still be written to."""
    old, young = (cache.cache_folder() / name for name in (".writing-old", ".writing-young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    cached("x", [source], Decoder())
    assert not old.exists()
    assert young.exists()
