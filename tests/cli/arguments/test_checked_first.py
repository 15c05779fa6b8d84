"""Invalid input is reported before any long work starts."""

from __future__ import annotations

import pkgutil

import pytest

from explorer.space.search_space import parse_space
from explorer.study.search import run_search
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT, good


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a space, a study of a function and a file, in which any training, measurement or cost count fails
    the test."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPLORER_PREDICTORS", str(tmp_path / "file"))
    space = parse_space(SPACE_TEXT, "tiny.yaml")
    run_search(space, evaluate=good, trials=2, storage="sqlite:///explorer.db", study="one", sampler="random")

    def long_work(*args, **settings):
        raise AssertionError("long work was begun")

    names = (
        "explorer.study.loop.SearchLoop.run",
        "explorer.study.confirm.loop.ConfirmationLoop.run",
        "explorer.training.run.train_architecture",
        "explorer.costs.whole_space.table.write_atlas",
        "explorer.measure.child.measure_in_child",
        "explorer.measure.predictor.calibration.measure_in_child",
        "explorer.measure.latency.measure_in_child",
        "explorer.scoring.parallel.score_architecture",
        "explorer.export.package.export_architecture",
        "explorer.dashboard.report.report_page",
        "explorer.data.dataset.load_data",
        "explorer.study.recorded_training.load_data",
    )
    for name in names:  # first: a module imported after another was patched would keep the patch
        pkgutil.resolve_name(name)
    for name in names:
        monkeypatch.setattr(name, long_work)
    return tmp_path


DIGITS = ("--data", "digits", "--epochs", "1")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["compare", "tiny.yaml", "nowhere.yaml", *DIGITS], "nowhere.yaml"),
        (["compare", "tiny.yaml", "tiny.yaml", "--cost", "mac", *DIGITS], "unknown cost 'mac'"),
        (["compare", "tiny.yaml", "one", *DIGITS], "trained with different settings: their data differs"),
        (["compare", "one", "tiny.yaml", "--cost", "mac", *DIGITS], "trained with different settings"),
        (["compare", "tiny.yaml", "tiny.yaml", "--recipe", "soon", *DIGITS], "'soon'"),
        (["compare", "tiny.yaml", "tiny.yaml", "--storage", "sqlite:///absent/x.db", *DIGITS], "there is no folder"),
        (["train", "tiny.yaml#order=x", *DIGITS], "order"),
        (["train", "one:99", *DIGITS], "no trial 99"),
        (["train", "tiny.yaml#0", "--recipe", "soon", *DIGITS], "'soon'"),
        (["search", "--space", "tiny.yaml", "--storage", "sqlite:///absent/x.db"], "there is no folder"),
        (["search", "--space", "tiny.yaml", "--study", ""], "study name ''"),
        (["search", "--space", "tiny.yaml", "--recipe", "soon"], "'soon'"),
        (["search", "--space", "tiny.yaml", "--scores", "naswott"], "naswot"),
        (["search", "--space", "tiny.yaml", "--limit", "mac<=1k"], "did you mean 'macs'"),
        (["search", "--space", "tiny.yaml", "--objectives", "acuracy"], "did you mean 'accuracy'"),
        (["worker", "--study", "two"], "no study 'two'"),
        (["worker", "--study", "one"], "a function of the caller's"),
        (["confirm", "one"], "a function of the caller's"),
        (["confirm", "one", "--x", "mac"], "a function of the caller's"),
        (["scores", "tiny.yaml#0", "tiny.yaml#999999", "--data", "digits"], "tiny.yaml"),
        (["scores", "--study", "two", "--data", "digits"], "no study 'two'"),
        (["scores", "nowhere.yaml", "-n", "5", "--data", "digits"], "nowhere.yaml"),
        (["gradients", "tiny.yaml#0", "nowhere.yaml#0", "--data", "digits"], "nowhere.yaml"),
        (["latency", "tiny.yaml#0", "tiny.yaml#999999"], "tiny.yaml"),
        (["latency", "--calibrate", "tiny.yaml", "--batch", "1,2"], "one setting"),
        (["latency", "--calibrate", "tiny.yaml", "--device", "cpu"], "is not a folder"),
        (["atlas", "tiny.yaml", "-o", "file/a.parquet"], "is not a folder"),
        (["atlas", "tiny.yaml", "-o", "a.parquet", "--plot", "file/a.html"], "is not a folder"),
        (["report", "one", "-o", "file/r.html"], "is not a folder"),
        (["export", "one:0", "-o", "file/net"], "file"),
        (["export", "tiny.yaml#0", "-o", "net", "--features", "9"], "9"),
    ],
    ids=" ".join,
)
def test_invalid_input_is_reported_before_long_work(capsys, place, command, message):
    """Invalid input gives one line and status 2 before anything is trained, measured, read or written."""
    before = sorted(path.name for path in place.iterdir())
    status, out, err = run(capsys, *command)
    assert (status, out) == (2, ""), err
    assert message in err and len(err.strip().splitlines()) == 1
    assert sorted(path.name for path in place.iterdir()) == before


@pytest.mark.parametrize(
    "command",
    [("search", "--space", "he2016_orders.yaml", "--data", "cifar10"), ("reproduce", "wrn", "--plot", "wrn.html")],
    ids=lambda words: words[0],
)
def test_a_server_is_reached_before_data_are_read(capsys, tmp_path, monkeypatch, command):
    """A storage on a server that does not answer gives one line before the data set is read."""
    pytest.importorskip("psycopg", reason="the extra [postgres] is not installed")

    def read(*args, **settings):
        raise AssertionError("the data set was read")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("explorer.study.plan.load_data", read)
    status, out, err = run(capsys, *command, "--storage", "postgresql://127.0.0.1:1/db")
    assert (status, out) == (2, "") and "127.0.0.1:1" in err and err.count("\n") == 1
