"""``explorer data list`` and ``doctor`` on the command line."""

from __future__ import annotations

import json

import pytest

from tests.command_line import run
from tests.data.layouts import class_folders, idx_files, python_batches


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The tests neither read nor write the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


@pytest.fixture
def folder(tmp_path):
    """CIFAR-10 unpacked, part of MNIST, a folder of images of the user, and a folder that is no data set."""
    python_batches(tmp_path / "cifar-10-batches-py", "cifar10")
    class_folders(tmp_path / "flowers", classes=3, shape=(3, 20, 24))
    class_folders(tmp_path / "cifar100", classes=10)
    idx_files(tmp_path / "mnist", "mnist")
    (tmp_path / "notes" / "old").mkdir(parents=True)
    return tmp_path


def test_data_list(capsys, folder):
    """Every data set has its state, folder, shape and classes, and a missing one has the command to fetch it."""
    status, out, errors = run(capsys, "data", "list", "--data-dir", str(folder), "--json")
    assert (status, errors) == (0, "")
    entries = {entry["name"]: entry for entry in json.loads(out)}
    assert list(entries) == ["digits", "cluttered-digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "flowers"]
    assert [entry["state"] for entry in entries.values()] == [
        "embedded", "embedded", "found", "damaged", "found", "missing", "found",
    ]  # fmt: skip
    assert entries["cifar10"]["where"] == str(folder / "cifar-10-batches-py")
    assert entries["cifar10"]["layout"] == "python batches"
    assert (entries["cifar10"]["shape"], entries["cifar10"]["classes"]) == ([3, 32, 32], 10)
    assert entries["cifar10"]["images"] == {"train": 50_000, "test": 10_000}
    assert entries["digits"]["images"] == {"train": 200, "validation": 400, "test": 1197}
    assert entries["cifar100"]["problem"].endswith("10 class folders, expected the 100 of cifar100")
    assert entries["fashion_mnist"]["fetch"] == "explorer data fetch fashion_mnist"
    assert (entries["flowers"]["shape"], entries["flowers"]["classes"]) == ([3, 20, 24], 3)


def test_data_list_as_text(capsys, folder, monkeypatch):
    """The table shows the same facts, also from EXPLORER_DATA, and the folder that was searched."""
    monkeypatch.setenv("EXPLORER_DATA", str(folder))
    status, out, _ = run(capsys, "data", "list")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert "found" in lines["cifar10"] and "3x32x32" in lines["cifar10"] and "50,000 + 10,000" in lines["cifar10"]
    assert "explorer data fetch fashion_mnist" in lines["fashion_mnist"]
    assert lines["looked"].startswith(f"looked in {folder}")


@pytest.mark.parametrize(
    ("folder", "said"),
    [("{}/none", "there is no such folder"), ("{}/file", "file, not a folder"), ("~nobody-here", "no such folder")],
)
def test_an_invalid_data_folder(capsys, folder, said, tmp_path, monkeypatch):
    """An EXPLORER_DATA that is a file or missing is shown by ``data list`` and is a one-line error where data is
    needed."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXPLORER_DATA", folder.format(tmp_path))
    status, out, _ = run(capsys, "data", "list")
    assert status == 0 and said in " ".join(out.split())  # a long path breaks the line
    status, _, errors = run(capsys, "train", "he2016_orders.yaml#0", "--data", "cifar10")
    assert status == 2 and said in errors and len(errors.splitlines()) == 1


def test_an_empty_variable_counts_as_unset(capsys, tmp_path, monkeypatch):
    """An empty EXPLORER_STORAGE or EXPLORER_DATA counts as unset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPLORER_STORAGE", "")
    monkeypatch.setenv("EXPLORER_DATA", "")
    assert run(capsys, "studies")[2].startswith("sqlite:///explorer.db: there is no file")
    assert run(capsys, "data", "list")[0] == 0


def test_wrong_use(capsys):
    """An unknown subcommand or a missing name gives one line with the command."""
    assert run(capsys, "data", "fetch")[::2] == (2, "explorer data fetch: Missing argument 'NAME'.\n")
    status, _, errors = run(capsys, "data", "lst")
    assert status == 2
    assert errors == "explorer data: No such command 'lst'. Did you mean 'list'?\n"


def test_training_reports_converted_images(capsys, folder):
    """``train`` reports resized images on standard error and in its JSON document."""
    arch = "he2016_orders.yaml#0"
    status, out, errors = run(
        capsys, "train", arch, "--data", "flowers@16", "--data-dir", str(folder), "--epochs", "1", "--json"
    )
    assert status == 0
    notes = json.loads(out)["data"]["notes"]
    assert notes[0].startswith("30 images resized to 16 pixels on their shorter side and cut to the middle square")
    assert errors.splitlines()[0].startswith("flowers@16: 3 classes: class00 9 (train) 1 (validation) 2 (test), ")
    assert errors.splitlines()[1 : len(notes) + 1] == [f"flowers@16: {note}" for note in notes]


def test_an_unreadable_test_image(capsys, folder, tmp_path):
    """``train`` rejects an unreadable test image before training; ``search`` does not read it and runs."""
    bad = folder / "flowers" / "test" / "class01" / "0001.png"
    bad.write_bytes(b"no image")
    data = ("--data", "flowers", "--data-dir", str(folder), "--epochs", "1")
    status, out, errors = run(capsys, "train", "he2016_orders.yaml#0", *data)
    assert (status, out) == (2, "")
    assert errors.startswith(f"{bad}: the image cannot be decoded")
    storage = f"sqlite:///{tmp_path}/explorer.db"
    status, out, _ = run(
        capsys,
        "search",
        "--space",
        "he2016_orders.yaml",
        *data,
        "--trials",
        "2",
        "--workers",
        "2",
        "--storage",
        storage,
        "--json",
    )
    assert status == 0
    assert json.loads(out)["trials"]["complete"] == 2


def test_doctor_as_text(capsys, tmp_path):
    """Each check is a line with the fix below it; the status is 0 if a search can run."""
    status, out, errors = run(
        capsys, "doctor", "--storage", f"sqlite:///{tmp_path}/explorer.db", "--data-dir", str(tmp_path)
    )
    assert (status, errors) == (0, "")
    assert any(line.startswith("ok       torch: 2.") for line in out.splitlines())
    assert "-> explorer data fetch cifar10" in out
    assert out.splitlines()[-1] == "a search has all that it needs"
