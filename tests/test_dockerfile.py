"""The Dockerfile is valid, and what it copies is enough to install the explorer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import ROOT

DOCKERFILE = ROOT / "Dockerfile"


def test_hadolint_finds_nothing():
    """hadolint accepts the Dockerfile."""
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_copied_files_are_enough_to_install(tmp_path):
    """A wheel is built from the files that the Dockerfile copies, with pages, spaces and licence."""
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE.read_text(), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            place = tmp_path / target / source if target.endswith("/") else tmp_path / target
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "dist").glob("*.whl"))
