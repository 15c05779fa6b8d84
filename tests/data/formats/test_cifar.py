"""Pickled CIFAR batches are read without running any code in them."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from explorer.data.formats import pickled
from explorer.data.formats.cifar import read_python_batch
from explorer.errors import DataError


def read(path: Path):
    return read_python_batch("labels", str(path), path.read_bytes())


class Evil:
    """An object whose normal unpickling creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_a_malicious_pickle_is_rejected_and_not_run(tmp_path):
    """A batch that refers to os.system is rejected by that name, and its command is not run."""
    done, path = tmp_path / "done", tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Evil(done), b"labels": []}))
    with pytest.raises(DataError, match=r"data_batch_1: refused: it asks for (posix|nt)\.system"):
        read(path)
    assert not done.exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("spelt", [str, str.encode])
def test_every_protocol_is_read(protocol, spelt):
    """Batches of every pickle protocol, with text or bytes keys and list or array labels, are read alike."""
    pixels = np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072)
    for data in (pixels, np.asfortranarray(pixels)):
        for labels in ([3, 7], np.array([3, 7]), np.array([3, 7], ">i4")):
            batch = {spelt("data"): data, spelt("labels"): labels, spelt("filenames"): [b"a", "b"]}
            images, read_labels = read_python_batch("labels", "x", pickle.dumps(batch, protocol))
            assert np.array_equal(images.reshape(2, -1), pixels)
            assert read_labels.tolist() == [3, 7]


def test_a_pickle_cannot_change_the_reader():
    """Attributes that a pickle sets do not reach the classes with which the next batch is read."""
    for asked in (b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n"):
        evil = b"\x80\x02" + asked + b"N}X\x05\x00\x00\x00arrayK\x01s\x86b."  # BUILD with (None, {"array": 1})
        with pytest.raises(DataError, match="invalid partial state"):
            pickled.load_batch(evil)
    assert callable(pickled._Array.array)
    assert not hasattr(pickled._ElementType, "array")


@pytest.mark.parametrize("what", [eval, open, getattr, __import__, np.load, np.memmap, np.frombuffer])
def test_other_callables_are_rejected(what, tmp_path):
    """Neither builtins nor other functions of numpy can be called."""
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"data": what}))
    with pytest.raises(DataError, match="refused: it asks for"):
        read(path)


def test_arrays_of_objects_are_rejected(tmp_path):
    """An array of another dtype than uint8 is rejected before it is built."""
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"data": np.array([None, None]), b"labels": [0, 0]}, protocol=2))
    with pytest.raises(DataError, match="refused: an array of type"):
        read(path)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([], "expected a mapping, found list"),
        ({b"data": np.zeros((2, 3072), np.uint8)}, "expected a mapping with 'data' and 'labels'"),
        ({b"data": np.zeros((2, 100), np.uint8), b"labels": [0, 1]}, "expected 'data' to be uint8 of N x 3072"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "expected 'labels' to be a list of 2 whole"),
        (
            {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "1"]},
            "expected 'labels' to be a list of 2 whole",
        ),
    ],
)
def test_a_pickle_that_is_no_batch_is_rejected(batch, message, tmp_path):
    """A pickle that is no batch is rejected with the expected contents, and a valid batch is read."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_bytes(pickle.dumps(batch, protocol=2))
    good.write_bytes(pickle.dumps({b"data": np.ones((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2))
    with pytest.raises(DataError, match=message):
        read(bad)
    images, labels = read(good)
    assert images.shape == (2, 3, 32, 32)
    assert images.all()
    assert labels.tolist() == [0, 1]


def test_a_damaged_batch_takes_little_memory(tmp_path):
    """A batch of nine bytes with object number 2^24 is rejected without memory for that many objects."""
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02K\x01r\x00\x00\x00\x01.")
    tracemalloc.start()
    with pytest.raises(DataError, match="expected a mapping"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_bit_flips_raise_no_other_error(tmp_path):
    """Each of three hundred damaged batches is read or rejected by name."""
    path = tmp_path / "batch"
    batch = {
        b"batch_label": b"x",
        b"labels": [0, 1],
        b"data": np.zeros((2, 3072), np.uint8),
        b"filenames": [b"a", b"b"],
    }
    good = pickle.dumps(batch, protocol=2)
    random = np.random.RandomState(0)
    ends = list(range(300)) + list(range(len(good) - 100, len(good)))  # the opcodes around the pixels
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        for place in random.choice(ends, 2):
            bad[place] ^= 1 << random.randint(8)
        path.write_bytes(bad)
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 100
