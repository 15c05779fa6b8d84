"""Search, train, frontier and export on the command line."""

import io
import json
from contextlib import redirect_stdout
from itertools import pairwise

import pytest

from explorer.cli import main
from explorer.study.workers.jobs import Job, Retraining, Training
from explorer.study.workers.train_job import perform
from tests.command_line import run

SEARCH = ("search", "--space", "he2016_orders.yaml", "--data", "digits", "--subset", "200", "--epochs", "1")
SEARCH += ("--workers", "2", "--json")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A storage with a small study on digits that the command line searched twice, and both outputs."""
    url, said = f"sqlite:///{tmp_path_factory.mktemp('studies')}/explorer.db", []
    for trials in ("2", "9"):
        with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit, match="0"):
            main([*SEARCH, "--trials", trials, "--storage", url])
        said.append(json.loads(out.getvalue()))
    return url, said


@pytest.fixture(scope="module")
def storage(searched):
    return searched[0]


def test_search_resumes_and_ends_when_the_space_is_exhausted(capsys, searched):
    """The same command resumes the study and trains each of the five networks once."""
    storage, (first, second) = searched
    assert first["trials"]["complete"] == 2
    assert second["trials"]["complete"] == 5 and second["trials"]["running"] == 0
    assert "no network of the space" in second["ended"]
    status, out, _ = run(capsys, "trials", second["study"], "--storage", storage, "--json")
    rows = json.loads(out)
    trained = [row for row in rows if row["state"] == "complete"]
    assert status == 0 and len({row["digest"] for row in trained}) == len(trained) == 5
    assert [row["number"] for row in rows] == list(range(len(rows)))
    assert all(0 <= row["accuracy"] <= 1 and row["costs"]["macs"] > 0 for row in trained)


def test_front_and_budget(capsys, storage):
    """``frontier`` lists non-dominated trials by ascending cost; ``--under`` gives the best one within the budget."""
    status, out, _ = run(capsys, "studies", "--storage", storage, "--json")
    (study,) = json.loads(out)
    assert status == 0 and study["data"] == "digits" and study["trials"]["complete"] == 5
    _, out, _ = run(capsys, "frontier", study["name"], "--storage", storage, "--json")
    points = json.loads(out)
    assert points == sorted(points, key=lambda point: point["macs"])
    assert all(a["accuracy"] < b["accuracy"] for a, b in pairwise(points))
    _, out, _ = run(
        capsys, "frontier", study["name"], "--under", f"macs<={points[0]['macs']}", "--storage", storage, "--json"
    )
    assert [point["trial"] for point in json.loads(out)] == [points[0]["trial"]]
    _, out, _ = run(capsys, "frontier", study["name"], "--under", "macs<=1", "--storage", storage, "--json")
    assert json.loads(out) == []


def test_export_of_a_trial_and_of_a_space(capsys, storage, tmp_path):
    """A trial is exported with its weights, stored or retrained; a derivation is exported with initial weights."""
    _, out, _ = run(capsys, "trials", "he2016_orders-digits", "--storage", storage, "--json")
    number = next(row["number"] for row in json.loads(out) if row["state"] == "complete")
    folder = tmp_path / "net"
    line = ("export", f"he2016_orders-digits:{number}", "-o", str(folder), "--formats", "yaml,python,safetensors")
    status, out, err = run(capsys, *line, "--storage", storage, "--json")
    assert status == 0, err
    document = json.loads(out)
    assert document["max_abs_diff"]["python"] <= 1e-5
    assert {"architecture.json", "architecture.yaml", "model.py", "model.safetensors"} <= set(document["files"])
    assert set(document["files"]) == {path.name for path in folder.iterdir()}
    status, out, _ = run(capsys, "cost", str(folder / "architecture.json"), "--json")
    assert status == 0 and json.loads(out)["digest"] == document["digest"]
    status, _, err = run(capsys, "export", "he2016_orders.yaml#1", "-o", str(tmp_path), "--storage", storage)
    assert status == 2 and str(tmp_path) in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["search"], "Missing option '--space'"),
        (["search", "--space", "nowhere.yaml"], "nowhere.yaml:1:1: no such file"),
        (["search", "--space", "he2016_orders.yaml", "--data", "cifar1"], "did you mean 'cifar10'"),
        (["search", "--space", "he2016_orders.yaml", "--data", "digits", "--storage", "nonsense"], "nonsense"),
        (
            [
                "search",
                "--space",
                "he2016_orders.yaml",
                "--data",
                "digits",
                "--storage",
                "sqlite:////no/such/folder/x.db",
            ],
            "/no/such/folder",
        ),
        (["search", "--space", "he2016_orders.yaml", "--objectives", "accuracy,speed"], "unknown objective 'speed'"),
        (["search", "--space", "he2016_orders.yaml", "--limit", "macs"], "is not a limit"),
        (["search", "--space", "he2016_orders.yaml", "--sampler", "tpee"], "did you mean 'tpe'"),
        (["search", "--space", "he2016_orders.yaml", "--recipe", "quik"], "did you mean 'quick"),
        (["search", "--space", "he2016_orders.yaml", "--time", "soon"], "write 90s, 30m or 2h"),
        (["search", "--space", "he2016_orders.yaml", "--device", "tpu"], "tpu"),
        (["train", "he2016_orders.yaml#0"], "--data is missing"),
        (["train", "he2016_orders.yaml#0", "--data", "digits", "--recipe", "quik"], "did you mean 'quick"),
        (
            ["train", "he2016_orders.yaml#0", "--data", "digits", "--recipe", "mine.json"],
            "mine.json: the recipe cannot be read",
        ),
        (
            ["train", "he2016_orders.yaml#0", "--data", "digits", "--precision", "bf16"],
            "unknown precision 'bf16'",
        ),
        (
            ["search", "--space", "he2016_orders.yaml", "--workers-per-device", "0"],
            "must be at least 1, found 0",
        ),
        (["frontier", "none", "--storage", "sqlite:////no/such/folder/x.db"], "/no/such/folder"),
        (["trials", "none", "--storage", "postgresql://me@127.0.0.1:1/x"], "127.0.0.1"),
        (["export", "he2016_orders.yaml#0", "-o", "net", "--formats", "onx"], "unknown export format 'onx'"),
    ],
)
def test_invalid_input_ends_in_one_line_and_status_2(capsys, args, message, tmp_path, monkeypatch):
    """Invalid input gives one clear line, exit status 2 and no file."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "")
    assert message in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_missing_data_set_says_how_to_get_it(capsys, tmp_path, monkeypatch):
    """A missing data set gives a line that names the folder searched and the files expected."""
    monkeypatch.delenv("EXPLORER_DATA", raising=False)
    status, out, err = run(
        capsys, "search", "--space", "he2016_orders.yaml", "--data", "cifar10", "--data-dir", str(tmp_path)
    )
    assert (status, out) == (2, "")
    assert str(tmp_path) in err and "cifar10" in err and len(err.strip().splitlines()) == 1


def test_an_unknown_study_gives_similar_names(capsys, storage):
    """An unknown study gives a line with the closest names."""
    status, _, err = run(capsys, "frontier", "he2016_orders-digit", "--storage", storage)
    assert status == 2 and "did you mean 'he2016_orders-digits'" in err


def test_another_recipe_is_rejected_with_the_difference(capsys, storage):
    """A run with other settings than its study is refused, and the difference is named."""
    status, _, err = run(capsys, *SEARCH, "--recipe", "he2016", "--storage", storage)
    assert status == 2 and "recipe" in err and "--study NAME" in err


def test_train_evaluates_on_the_test_split(capsys):
    """``train`` gives validation and test accuracy and a curve over all epochs, and the same for the same seed."""
    args = ("train", "he2016_orders.yaml#0", "--data", "digits", "--subset", "200")
    args += ("--epochs", "2", "--device", "cpu", "--json")
    status, out, err = run(capsys, *args)
    assert status == 0, err
    first = json.loads(out)
    assert (
        first["epochs"] == len(first["curve"]) == 2
        and 0 <= first["test_accuracy"] <= 1
        and first["images_per_second"] > 0
    )
    again = json.loads(run(capsys, *args)[1])
    assert [e["train_loss"] for e in again["curve"]] == [e["train_loss"] for e in first["curve"]]


@pytest.mark.slow
def test_an_interrupted_training_resumes(capsys, tmp_path, monkeypatch):
    """The same command resumes from the checkpoint beside the storage, with the results of an uninterrupted
    training."""
    import explorer.study.workers.one_training as one_training
    import explorer.training.loop as loop

    def in_this_process(settings, architecture, seed, checkpoint, on_epoch):
        work = Retraining(Training(settings, threads=None), checkpoint=checkpoint)
        return perform(work, Job(0, architecture.digest, architecture.to_json(), {}, seed), on_epoch)

    for name in ("MIN_SECONDS", "TIME_FACTOR"):
        monkeypatch.setattr(f"explorer.training.checkpoint.{name}", 0)
    storage = f"sqlite:///{tmp_path}/explorer.db"
    args = (
        "train",
        "preact_variants.yaml#0",
        "--data",
        "digits",
        "--subset",
        "300",
        "--epochs",
        "3",
        "--device",
        "cpu",
        "--storage",
        storage,
        "--json",
    )
    evaluate, calls = loop.evaluate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*args)

    in_child = one_training.train_in_child
    monkeypatch.setattr(one_training, "train_in_child", in_this_process)
    monkeypatch.setattr(loop, "evaluate", interrupted)
    status, out, err = run(capsys, *args)
    (checkpoint,) = (tmp_path / "explorer.artifacts").iterdir()
    assert (status, out) == (130, "") and f"the same command resumes from {checkpoint}" in err
    monkeypatch.setattr(loop, "evaluate", evaluate)
    monkeypatch.setattr(one_training, "train_in_child", in_child)
    status, out, err = run(capsys, *args)
    assert status == 0 and f"resuming from {checkpoint}" in err and not checkpoint.exists()
    resumed, fresh = json.loads(out), json.loads(run(capsys, *args)[1])
    for document in (resumed, fresh):
        for name in ("seconds", "images_per_second"):
            assert document.pop(name) > 0
        for epoch in document["curve"]:
            epoch.pop("seconds")
    assert resumed == fresh
