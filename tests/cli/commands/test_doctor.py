"""The doctor reports what is installed and what is missing, with the command to fix it, and leaves no files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

import explorer.cli.doctor
from explorer.cli.doctor import examine, healthy
from tests.data.layouts import python_batches

ROOT = Path(__file__).parents[3]


def doctor(*args: object, before: str = "") -> tuple[int, dict, str]:
    """Return the result of ``explorer doctor --json`` in its own process, which first runs ``before``."""
    code = f"{before}\nimport sys; from explorer.cli import main; main(['doctor', '--json', *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


def by_name(checks) -> dict:
    return {check.name: check for check in checks}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The tests do not use the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('doctor')}/explorer.db"


def test_a_machine_that_runs_these_tests_can_search(storage, tmp_path):
    """Every requirement of a search is found, each dependency with its version; the status is 0 and no database is
    created."""
    python_batches(tmp_path / "cifar-10-batches-py", "cifar10")
    status, document, errors = doctor("--storage", storage, "--data-dir", tmp_path)
    assert (status, document["ok"], errors) == (0, True, "")
    checks = {check["name"]: check for check in document["checks"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = requirement.partition(">")[0].replace(".", "-")
        assert checks[name]["ok"] and checks[name]["needed"] and checks[name]["found"][0].isdigit()
    parts = ("python", "cpu", "compiler", "memory", "gpu", "a training step", "storage", "disk", "cache", "data")
    for name in (*parts, "browser"):
        assert checks[name]["found"]
    assert {f"[{extra}]" for extra in project["optional-dependencies"] if extra != "all"} <= set(checks)
    assert "cores for this process" in checks["cpu"]["found"] and "bfloat16 units" in checks["cpu"]["found"]
    assert f"cifar10 ({tmp_path}/cifar-10-batches-py)" in checks["data"]["found"]
    assert not any(Path(storage.removeprefix("sqlite:///")).parent.iterdir())


def test_a_machine_without_a_compiler_can_search(monkeypatch, storage):
    """It is named with the fix, as trainings take longer, and the status is 0."""
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    status, document, _ = doctor("--storage", storage)
    (found,) = (check for check in document["checks"] if check["name"] == "compiler")
    assert status == 0 and not found["ok"] and not found["needed"]
    assert found["found"] == "no no-such-compiler" and "CXX" in found["fix"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("sqlite:////nowhere/x.db", "/nowhere"),
        ("nonsense", "'nonsense' is not a storage URL; write sqlite:///nonsense for a file of this name"),
        ("sqlite://", "in memory keeps nothing"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "port 1"),
    ],
)
def test_a_storage_that_cannot_be_written(url, found):
    """A storage that cannot be written fails its check, and no password is displayed."""
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="the extra [postgres] is not installed")
    checks = examine(url)
    check = by_name(checks)["storage"]
    assert not check.ok and check.needed and check.fix
    assert found in check.found and "secret" not in check.found
    assert not healthy(checks)


def test_a_file_that_is_not_a_database(tmp_path):
    """A file that is not a database fails its check and stays unchanged."""
    file = tmp_path / "explorer.db"
    file.write_text("not a database")
    check = by_name(examine(f"sqlite:///{file}"))["storage"]
    assert not check.ok and str(file) in check.found
    assert file.read_text() == "not a database"


def test_a_broken_torch_is_found(storage):
    """A torch that cannot be imported fails the training check with status 1, and the other checks continue."""
    status, document, errors = doctor("--storage", storage, before="import sys; sys.modules['torch'] = None")
    checks = {check["name"]: check for check in document["checks"]}
    assert status == 1
    assert not document["ok"]
    assert not checks["a training step"]["ok"] and "torch" in checks["a training step"]["found"]
    assert checks["storage"]["ok"]
    assert errors == "a search cannot run here: a training step\n"


def test_missing_packages_come_with_the_install_command(storage, tmp_path):
    """A missing or outdated package gives the pip command to install it; only dependencies are required, extras are
    not."""
    info = tmp_path / "residual_explorer-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: residual-explorer\nVersion: 9\nProvides-Extra: all\nProvides-Extra: rare\n"
        "Requires-Dist: numpy>=1\nRequires-Dist: numpy-of-tomorrow>=3\nRequires-Dist: click>=99\n"
        "Requires-Dist: rarely[fast]>=2,<3; extra == 'rare'\nRequires-Dist: rich>=1; extra == 'rare'\n"
    )
    status, document, errors = doctor("--storage", storage, before=f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    checks = {check["name"]: check for check in document["checks"]}
    assert (status, errors) == (1, "a search cannot run here: numpy-of-tomorrow, click\n")
    assert checks["numpy"]["ok"]
    assert checks["numpy-of-tomorrow"]["found"] == "missing"
    assert checks["numpy-of-tomorrow"]["fix"] == f"{sys.executable} -m pip install 'numpy-of-tomorrow>=3'"
    assert "expected click>=99" in checks["click"]["found"]
    assert not checks["[rare]"]["needed"]
    assert checks["[rare]"]["fix"] == f"{sys.executable} -m pip install 'rarely[fast]>=2,<3'"
    assert "[all]" not in checks


def test_a_cache_that_cannot_be_written(storage, tmp_path, monkeypatch):
    """Without a writable cache a search can run, and the check names the cost."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    checks = examine(storage)
    check = by_name(checks)["cache"]
    assert healthy(checks)
    assert not check.ok and "XDG_CACHE_HOME" in check.fix


def test_a_folder_without_locks_is_reported(tmp_path, monkeypatch):
    """If SQLite cannot lock a file, as on some network file systems, the storage is rejected with the reason."""

    class Unlockable(sqlite3.Connection):
        def execute(self, *_):
            raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Unlockable))
    check = by_name(examine(f"sqlite:///{tmp_path}/x.db"))["storage"]
    assert not check.ok and "database is locked" in check.found and "lack locks" in check.found and check.fix
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_a_container_is_detected(monkeypatch):
    """Fewer cores or less memory than the machine has gives a warning with advice."""
    monkeypatch.setattr("explorer.system.cores.usable_cores", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("explorer.system.memory.total_memory", lambda: 3 << 29)
    assert "2 of 64" in explorer.cli.doctor._cpu().found
    check = explorer.cli.doctor._memory()
    assert not check.ok and "the limit of its container" in check.found and check.fix == "search with --workers 1"
