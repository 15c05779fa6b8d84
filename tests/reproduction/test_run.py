"""``explorer reproduce`` as a shell calls it, on an experiment of two small networks."""

from __future__ import annotations

import json

import pytest

from explorer.reproduction import catalogue
from explorer.reproduction.experiment import GRADIENT_RATIO, Case, Experiment, Scale
from explorer.store.studies import open_study
from tests.command_line import run

SIZE = Scale(1, 1, {"base": "quick_small", "lr": 0.02}, 100, {"depth": {"18": "1"}, "base": {"16": "4"}})
CHOICES = {"unit": "basic_original", "depth": "18", "base": "16"}
SMALL = Experiment(
    name="small-table",
    about="two orders",
    source="nobody 2000",
    space="published/he2016_units.yaml",
    cases=(
        Case("ResNet-110, original", CHOICES, 6.61),
        Case("ResNet-110, pre", {**CHOICES, "unit": "basic_full_preact"}, 6.37, against="ResNet-110, original"),
    ),
    scales=dict.fromkeys(("tiny", "small", "full"), SIZE),
    differs="everything",
    data="digits",
    has_curves=True,
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(catalogue.EXPERIMENTS, SMALL.name, SMALL)


@pytest.mark.slow  # it trains four networks in child processes; nothing less shows that the command resumes
def test_a_table_is_measured_and_resumed(small, capsys, tmp_path, monkeypatch):
    """The table has both numbers, curves are drawn, and the same command with more seeds trains only what is missing
    and adds intervals. The first training of each case is a trial of the study."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/explorer.db"
    line = ("reproduce", "small-table", "--workers", "1", "--precision", "float32", "--device", "cpu", "--storage", url)
    status, out, err = run(capsys, *line)
    assert status == 0, err
    assert "ResNet-110, original" in out and "6.61" in out and "nobody 2000" in out
    assert "-0.24" in out and "No interval" in out
    page = (tmp_path / "small-table-tiny.html").read_text()
    assert "training loss" in page and "ResNet-110, pre" in page
    study = open_study(url, "reproduce-small-table-tiny")
    before = {(each.digest, each.seed): each.finished for each in study.confirmations()}
    status, out, err = run(capsys, *line, "--seeds", "2", "--json")
    assert status == 0, err
    assert err.count("ResNet-110") == 2
    document = json.loads(out)
    after = {(each.digest, each.seed): each.finished for each in study.confirmations()}
    assert len(before) == 2 and len(after) == 4 and before.items() <= after.items()
    first, second = document["rows"]
    assert (first["case"], first["published"], first["seeds"]) == ("ResNet-110, original", pytest.approx(0.0661), 2)
    assert first["measured"] == pytest.approx(sum(first["values"]) / 2) and 0 <= first["measured"] <= 1
    assert second["std"] > 0 and second["network"]["weight_layers"] == 8
    (difference,) = document["differences"]
    assert difference["published"] == pytest.approx(-0.0024)
    assert difference["ci95"][0] < difference["measured"] < difference["ci95"][1]
    trials = study.trials()
    assert [trial.state for trial in trials] == ["complete", "complete"]
    assert [trial.objectives["accuracy"] for trial in trials] == [
        each.result.val_accuracy for each in study.confirmations() if each.seed == trials[0].seed
    ]
    assert document["plot"] == "small-table-tiny.html"


def test_gradient_ratios(capsys, monkeypatch):
    """An experiment on gradients trains nothing: its numbers are ratios of norms that ``explorer gradients`` prints."""
    ratios = Experiment(
        **{
            **{name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__},
            "quantity": GRADIENT_RATIO,
            "has_curves": False,
            "scales": dict.fromkeys(
                ("tiny", "small", "full"), Scale(2, smaller={"depth": {"18": "2"}, "base": {"16": "4"}})
            ),
        }
    )
    monkeypatch.setitem(catalogue.EXPERIMENTS, SMALL.name, ratios)
    status, out, err = run(capsys, "reproduce", "small-table", "--device", "cpu", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)["rows"][0]
    line = ("gradients", "published/he2016_units.yaml#unit=basic_original,depth=2,base=4", "--device", "cpu", "--json")
    blocks = json.loads(run(capsys, *line, "--seed", "1")[1])[0]["blocks"]
    assert found["values"][1] == pytest.approx(blocks[0]["grad_norm"] / blocks[1]["grad_norm"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("he2016-tabel2",), "unknown experiment 'he2016-tabel2'; known: he2016-table1,"),
        (("wrn", "--scale", "tinny"), "unknown scale 'tinny'; known: tiny, small, full; did you mean 'tiny'?"),
        (("wrn", "--plot", "curves.png"), "--plot curves.png: the file is written as html;"),
    ],
)
def test_bad_names(capsys, line, message):
    """An unknown name is one line with the nearest known one, and exit status 2."""
    status, out, err = run(capsys, "reproduce", *line)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
