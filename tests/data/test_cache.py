"""Decoded data are cached, and a damaged or incomplete cache entry is not used."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from explorer.data import cache
from explorer.data.cache import cached
from explorer.data.splits import Split
from explorer.errors import DataError

SPLIT = Split(np.arange(600, dtype=np.uint8).reshape(100, 1, 2, 3), np.arange(100), ("3 images were odd",))


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
        return SPLIT


def entry(source):
    (found,) = cache.cache_folder().iterdir()
    return found


def same(split) -> bool:
    return (
        np.array_equal(split.images, SPLIT.images)
        and np.array_equal(split.labels, SPLIT.labels)
        and split.notes == SPLIT.notes
    )


def test_data_are_decoded_once_and_memory_mapped(source):
    """The second call decodes nothing and maps the arrays read-only."""
    decode = Decoder()
    assert same(cached("x", [source], decode))
    again = cached("x", [source], decode)
    assert same(again)
    assert decode.calls == 1
    assert isinstance(again.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        again.images[0] = 1


def test_a_changed_source_is_decoded_again(source):
    """A source with another size or modification time has another entry."""
    decode = Decoder()
    cached("x", [source], decode)
    source.write_text("second")
    cached("x", [source], decode)
    os.utime(source, (1, 1))
    cached("x", [source], decode)
    assert decode.calls == 3


@pytest.mark.parametrize("harm", ["cut", "missing", "manifest", "empty"])
def test_a_damaged_entry_is_decoded_again(source, harm):
    """An array that is truncated or missing, or an invalid manifest, is decoded and written again."""
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
    """If no cache can be created, the arrays are returned all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert same(cached("x", [source], Decoder()))


def test_a_full_disk_loses_only_the_entry(source):
    """If writing fails, the images are returned all the same, and no part of the entry remains."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))  # bytes per file, less than the images have
    try:
        assert same(cached("x", [source], Decoder()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cache.cache_folder().iterdir()) == []


def test_a_removed_source_is_reported(source):
    """A file that can no longer be read is named."""
    source.unlink()
    with pytest.raises(DataError, match="source: cannot be read: No such file"):
        cached("x", [source], Decoder())


def test_the_name_is_not_used_as_a_path(source):
    """For any name of a data set the entry is inside the cache folder."""
    for name in ("../../x", "/x", "x" * 300, "x\0y", "ö.jpg/.."):
        assert same(cached(name, [source], Decoder()))
    assert len(list(cache.cache_folder().iterdir())) == 5


# Decodes 32 MB and prints when it starts; the pause represents slow decoding.
WRITER = """
import sys, time, numpy as np
from pathlib import Path
from explorer.data.cache import cached
from explorer.data.splits import Split

def decode():
    print("decoding", flush=True)
    time.sleep(0.2)
    return Split(np.full((32, 1, 1024, 1024), 7, np.uint8), np.arange(32))

split = cached("x", [Path(sys.argv[1])], decode)
assert split.images.shape == (32, 1, 1024, 1024) and (split.images == 7).all() and (split.labels == np.arange(32)).all()
print(type(split.images).__name__)
"""


def writer(source) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, source], stdout=subprocess.PIPE, text=True)


def test_concurrent_processes_share_one_entry(source):
    """Four processes that decode the same data at once all get it, and leave one entry."""
    writers = [writer(source) for _ in range(4)]
    assert [process.communicate()[0].split()[-1] for process in writers] == ["memmap"] * 4
    assert [process.returncode for process in writers] == [0] * 4
    assert len(list(cache.cache_folder().iterdir())) == 1


def test_a_process_killed_while_it_writes(source):
    """After a kill at any time after decoding, the next process gets complete images."""
    for wait in (0.2, 0.22, 0.24, 0.27):
        process = writer(source)
        process.stdout.readline()
        time.sleep(wait)
        process.kill()
        process.communicate()
        for entry in cache.cache_folder().glob("[!.]*"):
            assert (entry / cache.MANIFEST).exists()
    after = writer(source)
    assert after.communicate()[0].split()[-1] == "memmap"
    assert after.returncode == 0


def test_files_of_a_killed_writer_are_removed(source):
    """The next writer removes an incomplete entry older than an hour, and keeps newer ones."""
    old, young = (cache.cache_folder() / name for name in (".writing-old", ".writing-young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    cached("x", [source], Decoder())
    assert not old.exists()
    assert young.exists()
