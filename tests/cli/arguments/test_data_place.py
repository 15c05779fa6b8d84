"""Commands on a study of images in a folder, called from any working folder."""

from __future__ import annotations

import json
import shutil

import pytest

from explorer.store.database import open_for_writing
from explorer.store.studies import open_study
from tests.command_line import run
from tests.data.layouts import class_folders, idx_files
from tests.study.evaluations import SPACE_TEXT

SETTINGS = ("--sampler", "random", "--workers", "1", "--json")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project with data beside it, and a study created there with a relative path."""
    class_folders(tmp_path / "data" / "grow", classes=3, shape=(1, 8, 8))
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project" / "tiny.yaml").write_text(SPACE_TEXT)
    monkeypatch.delenv("EXPLORER_DATA", raising=False)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def begin(capsys, place, data):
    url = f"sqlite:///{place}/explorer.db"
    line = ("--data", data, "--epochs", "1", "--trials", "1", "--study", "one", "--storage", url)
    status, _, err = run(capsys, "search", "--space", "tiny.yaml", *line, *SETTINGS)
    assert status == 0, err
    return url


@pytest.mark.parametrize("data", ["../data/grow", pytest.param("../data/grow@12", marks=pytest.mark.slow)])
def test_a_study_finds_its_data(capsys, place, monkeypatch, data):
    """Worker and confirm find the data of a relative path from another folder, resized or not."""
    url = begin(capsys, place, data)
    monkeypatch.chdir(place / "elsewhere")
    status, out, err = run(capsys, "worker", "--storage", url, "--trials", "2", *SETTINGS)
    assert status == 0, err
    assert json.loads(out)["trials"]["complete"] == 2
    status, out, err = run(capsys, "confirm", "one", "--seeds", "1", "--workers", "1", "--storage", url, "--json")
    assert status == 0, err
    assert json.loads(out)


@pytest.mark.slow
def test_the_folder_of_a_known_data_set_is_remembered(capsys, place, monkeypatch):
    """A known data set is found again in the folder of an earlier --data-dir or EXPLORER_DATA."""
    idx_files(place / "data" / "mnist", "mnist")
    url = f"sqlite:///{place}/explorer.db"
    line = ("--data", "mnist", "--data-dir", "../data", "--subset", "100", "--epochs", "1", "--trials", "1")
    status, _, err = run(capsys, "search", "--space", "tiny.yaml", *line, "--storage", url, *SETTINGS)
    assert status == 0, err
    monkeypatch.chdir(place / "elsewhere")
    monkeypatch.setenv("EXPLORER_DATA", str(place / "project"))  # a folder without data
    assert run(capsys, "worker", "--storage", url, "--trials", "2", *SETTINGS)[0] == 0
    assert open_study(url).data_places == ({"name": "mnist", "data_dir": f"{place}/data"},)


@pytest.mark.slow
def test_moved_data_are_reported_with_both_folders(capsys, place, monkeypatch):
    """One line names the former folder and how to give the new one, which the study then stores."""
    url = begin(capsys, place, "../data/grow")
    shutil.move(place / "data", place / "moved")
    monkeypatch.chdir(place / "elsewhere")
    for command in (["worker", "--study", "one", "--trials", "2"], ["confirm", "one"], ["scores", "--study", "one"]):
        status, out, err = run(capsys, *command, "--storage", url)
        assert (status, out) == (2, "") and len(err.strip().splitlines()) == 1
        assert f"{place}/data/grow" in err and "'grow'" in err and "--data-dir" in err
    for folder in (place / "moved", place / "moved" / "grow"):  # the parent folder, or the folder itself
        trials = str(2 + len(open_study(url, "one").data_places))
        line = ("worker", "--storage", url, "--data-dir", str(folder), "--trials", trials, *SETTINGS)
        assert run(capsys, *line)[0] == 0
    assert [each["name"] for each in open_study(url, "one").data_places] == [
        f"{place}/moved/grow",
        f"{place}/data/grow",
    ]
    assert run(capsys, "worker", "--storage", url, "--trials", "5", *SETTINGS)[0] == 0


def test_other_images_in_the_same_folder_are_rejected(capsys, place):
    """Other images in a folder of that name are another data set, because the content is compared."""
    url = begin(capsys, place, "../data/grow")
    next((place / "data" / "grow" / "train").rglob("*.png")).unlink()
    status, _, err = run(capsys, "worker", "--storage", url, "--study", "one", "--trials", "2", *SETTINGS)
    assert status == 2 and "was created with other settings" in err
    status, _, err = run(capsys, "confirm", "one", "--storage", url)
    assert status == 2 and "their contents differ" in err


@pytest.mark.slow
def test_an_old_study_without_a_data_folder_needs_one(capsys, place, monkeypatch):
    """A study without a stored data folder looks in the working folder or --data-dir, and says so."""
    url = begin(capsys, place, "../data/grow")
    database = open_for_writing(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE explorer_studies SET data_places = '[]'")
    database.close()
    status, _, err = run(capsys, "worker", "--storage", url, "--study", "one", "--trials", "2", *SETTINGS)
    assert status == 2 and "does not say where that was" in err and "--data-dir" in err
    monkeypatch.chdir(place / "data")
    assert run(capsys, "worker", "--storage", url, "--study", "one", "--trials", "2", *SETTINGS)[0] == 0
    assert open_study(url, "one").data_places == ({"name": f"{place}/data/grow"},)
