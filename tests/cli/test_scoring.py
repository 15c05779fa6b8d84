"""``explorer scores`` and ``explorer search --scores`` as a shell calls them."""

from __future__ import annotations

import json

import pytest

from explorer.store.study import open_study
from tests.cli.test_spaces import run

SEARCH = ["search", "--space", "preact_variants.yaml", "--data", "digits", "--epochs", "1", "--limit", "macs<=300k"]


def test_scores_as_json(capsys):
    """One row a network in order, with its digest and each score asked for."""
    archs = ["preact_variants.yaml#3", "preact_variants.yaml#4"]
    status, out, err = run(capsys, "scores", *archs, "--data", "digits", "--score", "naswot,synflow", "--json")
    assert (status, err) == (0, "")
    rows = json.loads(out)
    assert [set(row) for row in rows] == [{"digest", "naswot", "synflow"}] * 2
    assert all(isinstance(row["naswot"], float) for row in rows)
    status, out, _ = run(capsys, "scores", archs[0], "--data", "digits", "--score", "naswot")
    assert status == 0 and archs[0] in out and f"{rows[0]['naswot']:.4g}" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name ARCH..., or --study STUDY alone"),
        (["preact_variants.yaml#1", "--study", "s"], "name ARCH..., or --study STUDY alone"),
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


def test_a_search_stores_scores_and_trains_as_without(capsys, tmp_path):
    """With --scores a trial has them among what was measured, and the very accuracy that it has without; --study then
    ranks them beside the plain costs."""
    url, plain = (f"sqlite:///{tmp_path}/{name}.db" for name in ("scored", "plain"))
    common = [*SEARCH, "--trials", "4", "--sampler", "random", "--stopping", "none", "--workers", "1"]
    assert run(capsys, *common, "--storage", url, "--scores", "synflow,naswot")[0] == 0
    assert run(capsys, *common, "--storage", plain)[0] == 0
    scored, without = (open_study(each, "preact_variants-digits") for each in (url, plain))
    complete = [record for record in scored.trials() if record.state == "complete"]
    assert len(complete) == 4 and all(record.objectives["synflow"] for record in complete)
    twins = [record for record in without.trials() if record.state == "complete"]
    assert [r.objectives["accuracy"] for r in complete] == [r.objectives["accuracy"] for r in twins]
    assert {"synflow", "naswot"} <= set(scored.to_frame().columns)
    status, out, _ = run(capsys, "scores", "--study", scored.name, "--storage", url, "--score", "synflow", "--json")
    rows = json.loads(out)
    assert status == 0 and {row["name"] for row in rows} == {"synflow", "params", "macs", "activations"}
    assert all(row["networks"] == 4 and (row["rho"] is None or -1 <= row["rho"] <= 1) for row in rows)


def test_a_search_refuses_unknown_scores(capsys, tmp_path):
    status, _, err = run(capsys, *SEARCH, "--storage", f"sqlite:///{tmp_path}/x.db", "--scores", "naswott")
    assert status == 2 and "unknown score 'naswott'" in err and "did you mean" in err
