"""The files that ``-o`` and ``--plot`` may write."""

from __future__ import annotations

import os

import pytest

from tests.command_line import run
from tests.store.conftest import make_study

SPACE = "he2016_orders.yaml"


@pytest.fixture
def lines(tmp_path):
    """Return each command that writes a file, without the file name, and its suffix."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    make_study(url)
    return [
        (("report", "one", "--storage", url, "-o"), ".html"),
        (("atlas", SPACE, "-o"), ".parquet"),
        (("atlas", SPACE, "-o", str(tmp_path / "beside.parquet"), "--plot"), ".html"),
    ]


def refused(capsys, line, path, message: str) -> None:
    status, out, err = run(capsys, *line, str(path))
    assert (status, out, err.count("\n")) == (2, "", 1) and message in err and f"{path}: {path}" not in err, err


def test_another_suffix_is_rejected(capsys, tmp_path, lines):
    """A file name with another suffix is rejected before any work, with the correct suffix."""
    for line, suffix in lines:
        for name in ("r.pdf", "r", "r.txt", "-"):
            refused(capsys, line, tmp_path / name, f"ends in {suffix}")
        assert not (tmp_path / "r.pdf").exists()


def test_an_unwritable_path_is_rejected(capsys, tmp_path, lines):
    """A folder, a path below a file, and a pipe are each rejected in one line."""
    (tmp_path / "a file").touch()
    for line, suffix in lines:
        folder, pipe = tmp_path / f"folder{suffix}", tmp_path / f"pipe{suffix}"
        if not folder.exists():
            folder.mkdir()
            os.mkfifo(pipe)
        refused(capsys, line, folder, "there is a folder of that name")
        refused(capsys, line, pipe, "it is not a regular file")
        refused(capsys, line, tmp_path / "a file" / f"x{suffix}", "a file")
        refused(capsys, line, tmp_path / f"{'x' * 300}{suffix}", "cannot be written: File name too long")


def test_a_foreign_file_is_not_overwritten(capsys, tmp_path, lines):
    """A file that the command did not write is kept, its own earlier file is replaced, and a missing folder is
    created."""
    for number, (line, suffix) in enumerate(lines):
        foreign, own = tmp_path / f"foreign{suffix}", tmp_path / f"made-{number}" / f"own{suffix}"
        foreign.write_text("<!doctype html><title>mine</title>")
        refused(capsys, line, foreign, "was not written by this command")
        assert foreign.read_text().endswith("mine</title>")
        for _ in range(2):
            assert run(capsys, *line, str(own))[0] == 0
