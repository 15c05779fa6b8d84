"""Downloads from a local server: verified, complete or absent, done once, with clear errors."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from explorer import cli
from explorer.data.catalogue import KNOWN
from explorer.data.dataset import load_data
from explorer.data.fetch import fetch_data, target_files
from explorer.data.formats.cifar import CIFAR10
from explorer.data.formats.mnist import MNIST
from explorer.data.sources import Download
from explorer.errors import DataError
from tests.data.layouts import archive, idx_files
from tests.polling import PATIENCE


class Server:
    """A server of ``files`` by name; one in ``cut`` ends early, and one in ``stuck`` stops half-way until ``go_on``."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.stuck: set[str] = set()
        self.asked: list[str] = []
        self.half_sent, self.go_on = threading.Event(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                server.asked.append(name)
                if name not in server.files:
                    self.send_error(404)
                    return
                content = server.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                if name in server.stuck:
                    self.wfile.flush()
                    server.half_sent.set()
                    server.go_on.wait(PATIENCE)
                if name not in server.cut:
                    self.wfile.write(content[len(content) // 2 :])

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.close()


@pytest.fixture
def mnist(server, tmp_path):
    """A small MNIST on the server."""
    idx_files(tmp_path / "published", "mnist")
    downloads = []
    for download in MNIST.downloads:
        content = (tmp_path / "published" / download.name).read_bytes()
        server.files[download.name] = content
        url = f"{server.url}/{download.name}"
        downloads.append(Download(url, hashlib.sha256(content).hexdigest(), len(content)))
    return MNIST._replace(downloads=tuple(downloads))


def test_fetched_once_and_loaded(mnist, server, tmp_path):
    """All files are downloaded, verified and loaded; a second call sends no request, and progress ends at the total."""
    told = []
    assert fetch_data(mnist, tmp_path, lambda *step: told.append(step)) == target_files(mnist, tmp_path)
    assert {download for download, done, total in told if done == total} == set(mnist.downloads)
    assert all(0 <= done <= total for _, done, total in told)
    assert len(load_data("mnist", tmp_path).test) == 20
    assert fetch_data(mnist, tmp_path) == []
    assert len(server.asked) == 4
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(server.files)


def test_a_failed_download_resumes(mnist, server, tmp_path):
    """Files downloaded before a failure are kept, and only the others are fetched again."""
    lost = mnist.downloads[2].name
    content = server.files.pop(lost)
    with pytest.raises(DataError, match=rf"{lost} cannot be downloaded: the server answers 404 Not Found"):
        fetch_data(mnist, tmp_path)
    server.files[lost] = content
    server.asked.clear()
    assert [path.name for path in fetch_data(mnist, tmp_path)] == [download.name for download in mnist.downloads[2:]]
    assert server.asked == [download.name for download in mnist.downloads[2:]]


def test_a_wrong_hash_removes_the_file(mnist, server, tmp_path):
    """A file with another hash than published is rejected with its address and removed."""
    name = mnist.downloads[0].name
    server.files[name] += b"!"
    with pytest.raises(
        DataError, match=rf"{name}: the downloaded file's SHA-256 differs from the published .*; the file is deleted"
    ):
        fetch_data(mnist, tmp_path)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_a_broken_connection_leaves_no_file(mnist, server, tmp_path):
    """A download that ends early leaves no file."""
    server.cut.add(mnist.downloads[0].name)
    with pytest.raises(DataError, match="cannot be downloaded: "):
        fetch_data(mnist, tmp_path)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_a_damaged_file_is_fetched_again(mnist, server, tmp_path):
    """An existing file with another hash is replaced by the published one."""
    fetch_data(mnist, tmp_path)
    damaged = target_files(mnist, tmp_path)[1]
    os.truncate(damaged, 20)
    assert fetch_data(mnist, tmp_path) == [damaged]
    assert damaged.read_bytes() == server.files[damaged.name]


def test_no_network(tmp_path, monkeypatch):
    """Without a server one line says so and what to check."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:  # bound, but without a listener
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/cifar-10-python.tar.gz"
        known = CIFAR10._replace(downloads=(Download(url, "0" * 64, 1),))
        with pytest.raises(DataError) as caught:
            fetch_data(known, tmp_path)
    assert str(caught.value) == (
        f"{url} cannot be downloaded: Connection refused; check the network connection, or set a proxy in HTTPS_PROXY"
    )


def test_a_folder_that_cannot_be_written(mnist, tmp_path):
    """A file in place of the folder is named."""
    (tmp_path / "mnist").write_text("in the way")
    with pytest.raises(
        DataError, match=r"mnist/train-images-idx3-ubyte\.gz: cannot be written: (File exists|Not a directory)"
    ):
        fetch_data(mnist, tmp_path)


def test_a_killed_download_resumes(mnist, server, tmp_path):
    """A process killed during a download leaves no incomplete data file, and the next fetch completes it."""
    server.stuck.add(mnist.downloads[0].name)
    code = (
        "import sys; from pathlib import Path; from explorer.data.fetch import fetch_data; "
        "from explorer.data.formats.mnist import MNIST; from explorer.data.sources import Download; "
        "fetch_data(MNIST._replace(downloads=(Download(sys.argv[1], sys.argv[2], 1),)), Path(sys.argv[3]))"
    )
    first = mnist.downloads[0]
    process = subprocess.Popen([sys.executable, "-c", code, first.url, first.sha256, tmp_path])
    assert server.half_sent.wait(PATIENCE)
    process.kill()
    process.wait()
    server.go_on.set()
    assert not target_files(mnist, tmp_path)[0].exists()
    (rest,) = (tmp_path / "mnist").iterdir()
    os.utime(rest, (1, 1))  # as a day later
    fetch_data(mnist, tmp_path)
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(server.files)


class TestCommand:
    @pytest.fixture
    def explorer(self, server, tmp_path, monkeypatch, capsys):
        """Run ``explorer data fetch ...`` with CIFAR-10 on the server, and return status, output and errors."""
        archive(tmp_path / "cifar-10-python.tar.gz", "cifar10")
        content = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
        server.files["cifar-10-python.tar.gz"] = content
        download = Download(f"{server.url}/cifar-10-python.tar.gz", hashlib.sha256(content).hexdigest(), len(content))
        monkeypatch.setitem(KNOWN, "cifar10", CIFAR10._replace(downloads=(download,)))
        monkeypatch.delenv("EXPLORER_DATA", raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))

        def run(*args: object) -> tuple[int, str, str]:
            with pytest.raises(SystemExit) as ended:
                cli.main(["data", *map(str, args)])
            return ended.value.code, *capsys.readouterr()

        return run

    def test_fetch_and_again(self, explorer, server, tmp_path):
        """Data fetched without a folder are found without one, and a second fetch does nothing."""
        home = tmp_path / "home" / "explorer" / "data"
        status, out, errors = explorer("fetch", "cifar10")
        assert (status, out) == (0, f"cifar10 is in {home / 'cifar10'}: 1 of 1 files downloaded, all hashes verified\n")
        assert errors == f"downloading {server.url}/cifar-10-python.tar.gz\n"
        assert explorer("fetch", "cifar10") == (0, f"cifar10 is already in {home / 'cifar10'}\n", "")
        assert len(server.asked) == 1
        assert len(load_data("cifar10").train) == 90
        (found,) = [entry for entry in json.loads(explorer("list", "--json")[1]) if entry["name"] == "cifar10"]
        assert found["state"] == "found"
        assert found["where"] == str(home / "cifar10" / "cifar-10-python.tar.gz")

    def test_json(self, explorer, server, tmp_path):
        """Standard output is one JSON document that names the fetched files."""
        status, out, _ = explorer("fetch", "cifar10", "--data-dir", tmp_path / "x", "--json")
        target = tmp_path / "x" / "cifar10" / "cifar-10-python.tar.gz"
        assert status == 0
        assert json.loads(out) == {"name": "cifar10", "where": str(target.parent), "fetched": [str(target)]}

    def test_data_in_another_layout_are_not_fetched(self, explorer, server, tmp_path):
        """Nothing is downloaded for a data set that exists in unpacked form."""
        (tmp_path / "x").mkdir()
        archive(tmp_path / "x" / "cifar10.zip", "cifar10")
        assert explorer("fetch", "cifar10", "--data-dir", tmp_path / "x")[:2] == (
            0,
            f"cifar10 is already in {tmp_path / 'x' / 'cifar10.zip'}\n",
        )
        assert server.asked == []

    def test_failures(self, explorer, server):
        """A failed download gives status 1 and one line, and an unknown name status 2 and one line."""
        server.files.clear()
        status, out, errors = explorer("fetch", "cifar10")
        assert (status, out) == (1, "")
        assert errors.splitlines()[-1].endswith("cannot be downloaded: the server answers 404 Not Found")
        status, out, errors = explorer("fetch", "cifra10")
        assert (status, out) == (2, "")
        assert errors.count("\n") == 1
        assert "did you mean 'cifar10'" in errors

    def test_embedded(self, explorer):
        """Nothing is fetched for embedded data sets."""
        assert explorer("fetch", "digits")[:2] == (0, "digits comes with the explorer; there is nothing to fetch\n")


def test_published_hashes_are_well_formed():
    """Every known data set has https downloads with SHA-256 and size, all different."""
    downloads = [download for known in KNOWN.values() for download in known.downloads]
    assert all(
        download.url.startswith("https://") and len(bytes.fromhex(download.sha256)) == 32 for download in downloads
    )
    assert all(download.bytes > 4_000 for download in downloads)
    assert len({download.sha256 for download in downloads}) == len(downloads)
