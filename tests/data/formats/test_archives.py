"""Archives that unpack to far more than a data set holds are rejected within little memory."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from functools import cache

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from explorer.data.dataset import load_data
from explorer.data.formats.archives import read_members
from explorer.errors import DataError

MEGABYTE = 2**20
ZEROS = bytes(64 * MEGABYTE)
LOADS = """
import resource, sys
from explorer.errors import DataError
from explorer.data.dataset import load_data
import PIL.Image, pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_data(sys.argv[1], sys.argv[2])
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@cache
def gzipped_zeros() -> bytes:
    """ZEROS as a member of a gzip file, which may have many."""
    return gzip.compress(ZEROS, compresslevel=1)


def gigabyte_gz(path) -> None:
    """A gigabyte of zeros in a megabyte of gzip."""
    path.write_bytes(gzipped_zeros() * 16)


def tar_with(path, member: str, size: int, kind: bytes = tarfile.REGTYPE) -> None:
    """Return a gzipped tar whose only member is zeros."""
    info = tarfile.TarInfo(member)
    info.size, info.type = size, kind
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + gzipped_zeros() * (size // len(ZEROS)))


def a_large_batch(folder) -> None:
    tar_with(folder / "cifar-10-python.tar.gz", "data_batch_1", 2**30)


def a_large_stranger(folder) -> None:
    tar_with(folder / "cifar-10-python.tar.gz", "zeros", 2**30)


def a_large_header(folder) -> None:
    tar_with(folder / "cifar-10-python.tar.gz", "pax", 2**30, tarfile.XHDTYPE)


def a_large_zip(folder) -> None:
    with (
        zipfile.ZipFile(folder / "cifar10.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped,
        zipped.open("data_batch_1", "w", force_zip64=True) as file,
    ):
        for _ in range(16):
            file.write(ZEROS)


def a_large_idx(folder) -> None:
    gigabyte_gz(folder / "train-images-idx3-ubyte.gz")
    gigabyte_gz(folder / "train-labels-idx1-ubyte.gz")


def a_repeated_image(folder) -> None:
    """A parquet file with one value of a megabyte, repeated a thousand times by its dictionary."""
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1_000, pyarrow.int32()), [bytes(MEGABYTE)])
    table = pyarrow.table({"img": column, "label": pyarrow.array([0] * 1_000)})
    for split in ("train", "test"):
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet", store_schema=False)


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (a_large_batch, "cifar10", "unpacks to 1,073,741,824 bytes or more, up to data_batch_1, expected at most"),
        (a_repeated_image, "cifar10", "bytes of images, expected at most"),
        (a_large_stranger, "cifar10", "up to zeros, expected at most"),
        (a_large_header, "cifar10", "damaged or cut short"),
        pytest.param(a_large_zip, "cifar10", "up to data_batch_1, expected at most", marks=pytest.mark.slow),
        (a_large_idx, "mnist", "unpacks to more than 47,040,016 bytes"),
    ],
)
def test_a_bomb_is_rejected_within_little_memory(make, name, message, tmp_path):
    """A gigabyte compressed to a megabyte gives one line, and memory grows by less than 200 MB."""
    make(tmp_path)
    done = subprocess.run([sys.executable, "-c", LOADS, name, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, grown = done.stdout.splitlines()
    assert message in told
    assert int(grown) < 200


def test_links_and_paths_out_of_the_archive_are_not_followed(tmp_path):
    """Members are found by their base name and read only from the archive: nothing is written and no link is
    followed."""
    with tarfile.open(tmp_path / "x.tar", "w") as tarred:
        for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "/etc/hostname")):
            link = tarfile.TarInfo("data_batch_1")
            link.type, link.linkname = kind, target
            tarred.addfile(link)
        outside = tarfile.TarInfo("../../data_batch_1")
        outside.size = 3
        tarred.addfile(outside, io.BytesIO(b"abc"))
    assert read_members(tmp_path / "x.tar", {"data_batch_1"}, 10) == {"data_batch_1": b"abc"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_a_parquet_file_of_too_many_rows(tmp_path):
    """A parquet file with more rows than the data set has images is rejected with the number."""
    table = pyarrow.table({"img": pyarrow.array([b""] * 50_001), "label": np.zeros(50_001, np.int64)})
    for split in ("train", "test"):
        parquet.write_table(table, tmp_path / f"{split}-00000-of-00001.parquet")
    with pytest.raises(DataError, match="50,001 rows, expected at most the 50,000 images of cifar10"):
        load_data("cifar10", tmp_path)


def test_a_large_file_called_an_image(tmp_path):
    """A sparse file of a terabyte is rejected because of its size."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with open(tmp_path / name / "x.png", "wb") as file:
            file.truncate(2**40)
    with pytest.raises(DataError, match=r"x\.png: 1,099,511,627,776 bytes, expected at most 268,435,456"):
        load_data(str(tmp_path))
