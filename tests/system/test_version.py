"""The version is that of the last tag, in a checkout as in a built distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
from explorer.system.version import base_version, checkout_version
from tests.command_line import run

ROOT = Path(__file__).parents[2]
PERSON = ("-c", "user.name=A", "-c", "user.email=a@example.org")


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *PERSON, *words], check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "commit", "--allow-empty", "-m", "A change")


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout of the files that decide the version, with one commit."""
    root = tmp_path / "checkout"
    for name in ("pyproject.toml", "README.md", "LICENSE", ".git_archival.txt", ".gitattributes"):
        root.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    git(root, "init")
    git(root, "add", ".")
    commit(root)
    return root


def built(root: Path, **environment: str) -> str:
    """Return the version that a build of the folder would have."""
    pytest.importorskip("hatch_vcs", reason="hatch-vcs, which gives a build its version, is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "version"],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_release_has_the_version_of_its_tag(checkout):
    """At a tag the version is that of the tag, in an archive too; tags that are no version do not count."""
    git(checkout, "tag", "v1.2.0")
    git(checkout, "tag", "latest")
    assert checkout_version(checkout) == built(checkout) == "1.2.0"
    folder = checkout.parent / "archive"
    folder.mkdir()
    git(checkout, "archive", "-o", str(folder / "a.tar"), "HEAD")
    subprocess.run(["tar", "xf", "a.tar"], cwd=folder, check=True)
    assert checkout_version(folder) is None and built(folder) == "1.2.0"


@pytest.mark.parametrize(("tag", "start"), [("v1.2.0", "1.2.1.dev2+g"), ("v2.0.0rc1", "2.0.0rc2.dev2+g")])
def test_a_commit_after_a_release_leads_to_the_next_one(checkout, tag, start):
    """The number of commits since the tag and the commit are in the version."""
    git(checkout, "tag", tag)
    commit(checkout)
    commit(checkout)
    found = checkout_version(checkout)
    assert found is not None and found.startswith(start) and built(checkout) == found


def test_the_commits_on_the_way_to_a_release_have_its_base_version():
    """Versions that lead to one release are alike for the nodes of a cluster; two releases differ."""
    assert base_version("1.2.1.dev14+g1234abcde.dirty") == base_version("1.2.1.dev15+g1234abcdf") == "1.2.1"
    assert base_version("1.2.1") != base_version("1.2.0")


def test_changed_files_are_in_the_version(checkout):
    """A checkout with changes is no release: it says dirty, and a build has the date."""
    git(checkout, "tag", "v1.2.0")
    with (checkout / "README.md").open("a") as file:
        file.write("A change.\n")
    found = checkout_version(checkout)
    assert found is not None and found.startswith("1.2.1.dev0+g") and found.endswith(".dirty")
    assert built(checkout).rpartition(".")[0] == found.removesuffix(".dirty")


def test_a_clone_without_tags_and_a_folder_without_git_have_a_version(checkout):
    """Without a tag the version counts all commits; without git it is 0.0, or that of the environment."""
    commit(checkout)
    assert checkout_version(checkout) == built(checkout)
    assert built(checkout).startswith("0.1.dev2+g")
    shutil.rmtree(checkout / ".git")
    assert checkout_version(checkout) is None and built(checkout) == "0.0"
    assert built(checkout, SETUPTOOLS_SCM_PRETEND_VERSION_FOR_RESIDUAL_EXPLORER="3.1") == "3.1"


def test_another_projects_checkout_and_a_broken_one_are_not_asked(checkout):
    """A damaged repository gives no version, and that of another project is not taken."""
    (checkout / ".git" / "HEAD").unlink()
    assert checkout_version(checkout) is None
    (checkout / "pyproject.toml").write_text('[project]\nname = "another"\n')
    git(checkout, "init")
    assert checkout_version(checkout) is None


def test_the_command_and_the_package_say_the_same(capsys):
    """``explorer --version`` and ``explorer.__version__`` agree, and a checkout says what git says."""
    status, out, _ = run(capsys, "--version")
    assert status == 0 and out == f"explorer, version {explorer.__version__}\n"
    assert checkout_version(ROOT) in (None, explorer.__version__)
