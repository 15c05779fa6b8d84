"""The wheel has one top-level name, contains everything the commands need, and works after installation."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.polling import PATIENCE

pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
pytest.importorskip("hatch_vcs", reason="hatch-vcs, which gives the wheel its version, is not installed")

ROOT = Path(__file__).parents[1]


def build(kind: str, root: Path, folder: Path) -> Path:
    """Build a wheel or an sdist of ``root`` without a network; return its file."""
    program = f"import sys; from hatchling.build import build_{kind}; print(build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def distribution(wheel: Path) -> str:
    """Return the name and the version of a wheel, as its own folder of metadata spells them."""
    return "-".join(wheel.name.split("-")[:2])


def files(folder: str) -> set[str]:
    """Return the paths below a folder of the repository, without caches."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT / folder).as_posix() for path in found}


def test_the_wheel_has_one_top_level_name(wheel):
    """The wheel contains only ``explorer`` with all modules, pages and spaces, and its metadata."""
    info = f"{distribution(wheel)}.dist-info/"
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(info)}
    assert names == {
        *(f"explorer/{path}" for path in files("explorer")),
        *(f"explorer/dashboard/pages/{path}" for path in files("dashboards")),
        *(f"explorer/search_spaces/{path}" for path in files("search_spaces")),
    }
    assert {"explorer/dashboard/pages/app.py", "explorer/search_spaces/published/resnet.yaml"} <= names


def test_a_wheel_from_the_sdist_is_the_same(wheel, tmp_path):
    """The source distribution contains everything from which the wheel is built."""
    with tarfile.open(build("sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / distribution(wheel), tmp_path)
    assert again.name == wheel.name  # the same version, without git
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def command(wheel, tmp_path_factory) -> Path:
    """The command ``explorer`` in a virtual environment with the wheel and this environment's other packages."""
    pytest.importorskip("pip", reason="pip, which installs the wheel, is not installed")
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    own = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "packages.pth").write_text("\n".join(own))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q", "--ignore-installed"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return folder / "bin/explorer"


@pytest.mark.slow
def test_the_installed_wheel_runs_a_search(command, tmp_path):
    """Outside the repository the installed command finds a shipped space, searches it and shows the results."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "EXPLORER_STORAGE")}

    def run(*words: str) -> str:
        done = subprocess.run([command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr[-2_000:])
        return done.stdout

    python = command.with_name("python")
    place = subprocess.run(
        [python, "-c", "import explorer; print(explorer.__file__)"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert place.stdout.decode().startswith(str(command.parents[1]))
    assert "5 distinct networks" in run("space", "he2016_orders.yaml")
    assert "11,689,512" in run("cost", "published/resnet#0")
    job = ("--data", "digits", "--trials", "2", "--epochs", "1", "--study", "first")
    run("search", "--space", "preact_variants.yaml", *job)
    assert len(run("trials", "first").strip().splitlines()) >= 2
    run("export", "first", "--frontier", "-o", "networks", "--formats", "yaml")
    run("atlas", "preact_variants.yaml", "-n", "20", "-o", "atlas.parquet", "--plot", "atlas.html")
    run("report", "first", "-o", "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with subprocess.Popen(
        [command, "dashboard"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "")
            address = next(found[0] for line in lines if (found := re.search(r"http://\S+:\d+", line)))
            for page in ("", "/architecture", "/effects", "/space", "/runs"):
                assert b"<title>" in answer(f"{address}{page}")
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0


def answer(address: str) -> bytes:
    """Return a server's answer once it listens."""
    for _ in range(600):
        try:
            return urlopen(address, timeout=PATIENCE).read()
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {address}")
