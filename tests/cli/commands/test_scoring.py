"""``explorer scores`` and ``explorer search --scores`` on the command line."""

from __future__ import annotations

import json

import pytest

from explorer.store.studies import open_study
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT

SEARCH = ["search", "--data", "digits", "--subset", "60", "--epochs", "1", "--workers", "1", "--space"]


def test_scores_as_json(capsys):
    """There is one row per network, in order, with its digest and each requested score."""
    archs = ["preact_variants.yaml#3", "preact_variants.yaml#4"]
    status, out, _ = run(capsys, "scores", *archs, "--data", "digits", "--score", "naswot,synflow", "--json")
    assert status == 0
    rows = json.loads(out)
    assert [set(row) for row in rows] == [{"digest", "naswot", "synflow"}] * 2
    assert all(isinstance(row["naswot"], float) for row in rows)
    status, out, _ = run(capsys, "scores", archs[0], "--data", "digits", "--score", "naswot")
    assert status == 0 and archs[0] in out and f"{rows[0]['naswot']:.4g}" in out


def test_scores_of_a_space(capsys):
    """-n draws distinct networks of a space by seed, and each score is compared with params, MACs and activations,
    without data on noise."""
    command = ["scores", "preact_variants.yaml", "-n", "6", "--score", "naswot,snip", "--seed", "3"]
    shape = ["--input", "1x8x8", "--classes", "7"]
    status, out, _ = run(capsys, *command, *shape, "--json")
    found = json.loads(out)
    assert status == 0 and len({row["digest"] for row in found["rows"]}) == 6
    for row in found["rows"][:2]:
        alone = json.loads(
            run(capsys, "scores", f"preact_variants.yaml#{row['index']}", *command[4:], *shape, "--json")[1]
        )
        assert alone == [{"digest": row["digest"], "naswot": row["naswot"], "snip": row["snip"]}]
    listed = {(each["score"], each["cost"]): each for each in found["correlations"]}
    assert set(listed) == {(score, cost) for score in ("naswot", "snip") for cost in ("params", "macs", "activations")}
    rows = sorted(found["rows"], key=lambda row: row["macs"])
    ranks = [sorted(row["snip"] for row in rows).index(row["snip"]) for row in rows]
    assert len({row["macs"] for row in rows}) == 6
    rho = 1 - 6 * sum((place - rank) ** 2 for place, rank in enumerate(ranks)) / (6 * 35)
    assert listed["snip", "macs"]["rho"] == pytest.approx(rho) and listed["snip", "macs"]["networks"] == 6
    status, out, _ = run(capsys, *command, *shape)
    assert status == 0 and "rank correlation with" in out and f"{rho:.4g}" in out


def test_a_correlation_of_few_networks_is_blank_with_a_reason(capsys):
    """For three networks the correlation is blank, and one line explains why."""
    shape = ["--input", "1x8x8", "--classes", "7", "--score", "snip"]
    status, out, err = run(capsys, "scores", "preact_variants.yaml", "-n", "3", *shape)
    assert status == 0 and out.splitlines()[-1].split() == ["snip", "3"]
    assert err.splitlines()[-1] == "blank: fewer than 4 networks have both values, or one of the two is constant"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_progress_without_a_terminal(form, capsys, monkeypatch):
    """Where standard error is no terminal, lines say how many networks have been scored, also beside JSON."""
    monkeypatch.setattr("explorer.cli.progress.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("explorer.cli.progress.LINE_SECONDS", 0.0)
    shape = ["--input", "1x8x8", "--classes", "7", "--score", "synflow"]
    status, _, err = run(capsys, "scores", "preact_variants.yaml", "-n", "3", *shape, *form)
    assert status == 0
    shares = [(1, 33), (2, 66), (3, 100)]
    assert err.splitlines()[:3] == [f"scoring: {number} of 3 networks ({share}%)" for number, share in shares]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name ARCH..., or one SPACE with -n N, or --study STUDY alone"),
        (["preact_variants.yaml#1", "--study", "s"], "name ARCH..., or one SPACE with -n N, or --study STUDY alone"),
        (["preact_variants.yaml", "he2016_orders.yaml", "-n", "3"], "or one SPACE with -n N"),
        (["-n", "3", "--study", "s"], "or one SPACE with -n N"),
        (["preact_variants.yaml"], "is a space; name a network of it"),
        (["preact_variants.yaml#1", "--input", "1x8"], "channels x height x width"),
        (["--study", "s", "--input", "1x8x8", "--classes", "10"], "input and classes of the study's data"),
        (["preact_variants.yaml#1", "--score", "zan"], "unknown score 'zan'"),
        (["preact_variants.yaml#1", "--batch", "1"], "1 is not in the range"),
        (["preact_variants.yaml#1", "--data", "cifar11"], "cifar11"),
        (["--study", "nowhere", "--storage", "sqlite:///absent.db"], "absent.db"),
    ],
)
def test_bad_input_ends_in_one_line(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "scores", *args)
    assert (status, out) == (2, "")
    assert message in err and len(err.strip().splitlines()) == 1


def test_a_search_stores_scores_and_trains_the_same(capsys, tmp_path):
    """With --scores a trial stores its scores and has the same accuracy, and --study ranks them beside the costs."""
    url, plain = (f"sqlite:///{tmp_path}/{name}.db" for name in ("scored", "plain"))
    space = tmp_path / "tiny.yaml"
    space.write_text(SPACE_TEXT)
    common = [*SEARCH, str(space), "--sampler", "random", "--stopping", "none"]
    assert run(capsys, *common, "--trials", "4", "--storage", url, "--scores", "synflow,naswot")[0] == 0
    assert run(capsys, *common, "--trials", "2", "--storage", plain)[0] == 0
    scored, without = (open_study(each, "tiny-digits") for each in (url, plain))
    complete = [record for record in scored.trials() if record.state == "complete"]
    assert len(complete) == 4 and all(record.objectives["synflow"] for record in complete)
    twins = [record for record in without.trials() if record.state == "complete"]
    assert [r.objectives["accuracy"] for r in complete[:2]] == [r.objectives["accuracy"] for r in twins]
    assert {"synflow", "naswot"} <= set(scored.to_frame().columns)
    status, out, _ = run(capsys, "scores", "--study", scored.name, "--storage", url, "--score", "synflow", "--json")
    rows = json.loads(out)
    assert status == 0 and {row["name"] for row in rows} == {"synflow", "params", "macs", "activations"}
    assert all(row["networks"] == 4 and (row["rho"] is None or -1 <= row["rho"] <= 1) for row in rows)


def test_a_search_refuses_unknown_scores(capsys, tmp_path):
    status, _, err = run(
        capsys, *SEARCH, "preact_variants.yaml", "--storage", f"sqlite:///{tmp_path}/x.db", "--scores", "naswott"
    )
    assert status == 2 and "unknown score 'naswott'" in err and "did you mean" in err
