"""Files are read within limits and written atomically."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.system.files import read_regular, slug, sweep, whole_folder, write_atomically

# Runs the two writers in a process that dies without any clean-up at its k-th system call.
KILLED = """
import os, sys
from pathlib import Path
from explorer.system.files import whole_folder, write_atomically

left = int(sys.argv[2])
def counted(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*args, **kwargs)
    return wrapper
for name in ("fsync", "rename", "replace", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))

root = Path(sys.argv[1])
write_atomically(root / "file", b"new")
with whole_folder(root / "folder") as folder:
    write_atomically(folder / "a", b"new")
    write_atomically(folder / "b", b"new")
"""


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None


def test_a_process_killed_at_any_system_call_leaves_old_or_new_files(tmp_path):
    """Killed at any system call, each file and folder is the old or the new one, and a later call removes leftovers."""
    codes = []
    for k in range(30):
        root = tmp_path / str(k)
        (root / "folder").mkdir(parents=True)
        (root / "file").write_bytes(b"old")
        (root / "folder" / "a").write_bytes(b"old")
        codes.append(subprocess.run([sys.executable, "-c", KILLED, str(root), str(k)]).returncode)
        assert (root / "file").read_bytes() in (b"old", b"new")
        folders = (content(root / "folder"), content(root / ".earlier-folder"))
        assert {"a": b"old"} in folders or {"a": b"new", "b": b"new"} in folders
        assert content(root / "folder") in (None, {"a": b"old"}, {"a": b"new", "b": b"new"})
        if codes[-1] == 0:
            break
        with whole_folder(root / "folder") as folder:
            (folder / "a").write_bytes(b"newer")
        sweep(root, older_than=os.stat(root).st_mtime + 60)
        assert content(root / "folder") == {"a": b"newer"}
        assert {path.name for path in root.iterdir()} == {"file", "folder"}
    assert codes[-1] == 0 and set(codes[:-1]) == {9} and len(codes) > 10


def test_an_exception_leaves_the_earlier_folder(tmp_path):
    """An exception inside the with block changes nothing."""
    with whole_folder(tmp_path / "f") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "f") as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert content(tmp_path / "f") == {"a": b"old"} and os.listdir(tmp_path) == ["f"]


def test_the_digest_of_what_was_written_is_returned(tmp_path):
    """``write_atomically`` returns the SHA-256 of the bytes, and creates the folder."""
    assert write_atomically(tmp_path / "x" / "y", b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert (tmp_path / "x" / "y").read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a" * 600, "a\0b", "<b>", "\u202eevil", "a/b", ".", "CON"])
def test_a_slug_is_one_plain_file_name(name):
    """Any text gives a short name of letters, digits and minus signs."""
    made = slug(name)
    assert len(made) < 80 and all(c.isascii() and (c.isalnum() or c == "-") for c in made)


def test_slugs_of_different_names_differ():
    """Different names that simplify to the same text get different slugs."""
    assert len({slug(name) for name in ("a b", "a-b", "a_b", "a/b", "A b")}) == 5


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def sparse(path: Path) -> None:
    with open(path, "wb") as stream:
        stream.truncate(1 << 40)


ODD = {
    "a missing file": (lambda path: None, "No such file or directory"),
    "a folder": (Path.mkdir, "it is a folder, expected a regular file"),
    "a pipe without a writer": (fifo, "it is a pipe, expected a regular file"),
    "a socket": (listening_socket, "No such device or address"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, expected a regular file"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "a sparse file of 1 TiB": (sparse, "it has 1,099,511,627,776 bytes, at most 5 are read"),
    "a byte too many": (lambda path: path.write_bytes(b"123456"), "it has 6 bytes, at most 5 are read"),
    "a file of unknown size": (lambda path: path.symlink_to("/proc/self/status"), "it has more than 5 bytes"),
}


@pytest.mark.parametrize("kind", ODD)
def test_irregular_or_large_files_are_not_read(tmp_path, kind):
    """Pipes, devices, folders, circular links and files above the limit give one line at once."""
    make, message = ODD[kind]
    make(tmp_path / "file")
    with pytest.raises(OSError) as caught:
        read_regular(tmp_path / "file", 5)
    assert message in caught.value.strerror


def test_a_regular_file_is_read_whole(tmp_path):
    """A file within the limit is read, also through a link unless links are not followed."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", 5) == read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError):
        read_regular(tmp_path / "link", 5, follow_links=False)
    for name in ("a\0b", "a\udcffb\ud800"):
        with pytest.raises(OSError, match="a file name cannot contain NUL"):
            read_regular(name, 5)


def test_no_file_stays_open(tmp_path):
    """A rejected file is closed."""
    before = os.listdir("/proc/self/fd")
    for name in (tmp_path, "/dev/zero"):
        with pytest.raises(OSError):
            read_regular(name, 5)
    assert os.listdir("/proc/self/fd") == before
