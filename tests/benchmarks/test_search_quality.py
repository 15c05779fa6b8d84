"""``benchmarks/search_quality.py``: its tables and their spaces."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import explorer

FOLDER = Path(__file__).parents[2] / "benchmarks"
EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")
CELLS = "cell,accuracy,mmacs,edgegpu_ms\n023011,90.0,100.0,4.0\n111111,10.0,7.79,0.5\n222222,85.0,200.0,8.0\n"


@pytest.mark.parametrize(
    ("edge", "params", "macs"),
    [("conv3", 1_531_546, 220_119_680), ("identity", 73_306, 7_783_040), ("zero", 73_306, 7_783_040)],
)
def test_the_cells_have_the_published_costs(edge, params, macs):
    """Parameters and MACs of the largest and of the smallest cells are those of NAS-Bench-201."""
    space = explorer.load_space(str(FOLDER / "nas_bench_201.yaml"))
    assert space.count() == 5**6
    cost = explorer.cost(space.architecture(dict.fromkeys(EDGES, edge)))
    assert (cost.params, cost.macs) == (params, macs)


def test_a_table_maps_choices_to_its_digits(tmp_path, monkeypatch):
    """A cell is looked up by its edges in the order of the table, and its point has the table's cost."""
    monkeypatch.syspath_prepend(FOLDER)
    (tmp_path / "nas-bench-201").mkdir()
    (tmp_path / "nas-bench-201" / "nas_bench_201_extract.csv").write_text(CELLS)
    table = runpy.run_path(str(FOLDER / "search_quality.py"))["Table"]
    choices = {"e01": "identity", "e02": "conv3", "e12": "identity", "e03": "conv1", "e13": "zero", "e23": "zero"}
    for name, cost, reference in (("nas-bench-201", 100.0, 210.0), ("nas-bench-201-latency", 4.0, 8.4)):
        made = table(name, tmp_path)
        assert made.network(choices) == "023011"
        assert made.point("023011") == (cost, 10.0) and made.query("023011", random.Random(0)) == 0.9
        assert made.reference == pytest.approx((reference, 20.0))
        assert made.true == pytest.approx((reference - cost) * 10.0)


def test_a_table_by_parameters(tmp_path, monkeypatch):
    """The table by parameters has those of its rows, in millions, and 1.05 times the largest as reference."""
    monkeypatch.syspath_prepend(FOLDER)
    (tmp_path / "nas-bench-macro").mkdir()
    rows = "arch,mean_acc,acc_seed0,acc_seed1,acc_seed2,params,macs\n00000000,80.0,79.0,80.0,81.0,2000000,7000000\n"
    (tmp_path / "nas-bench-macro" / "nas_bench_macro_extract.csv").write_text(rows)
    made = runpy.run_path(str(FOLDER / "search_quality.py"))["Table"]("nas-bench-macro-params", tmp_path)
    assert made.point("00000000") == (2.0, 20.0) and made.reference == pytest.approx((2.1, 30.0))


def test_an_unknown_table_is_refused(tmp_path):
    """A table that is not known ends the script with status 2 and the names of those that are."""
    line = [sys.executable, str(FOLDER / "search_quality.py"), "--table", "nas-bench-macros"]
    found = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 2 and "unknown table 'nas-bench-macros'" in found.stderr
    assert "nas-bench-201-latency" in found.stderr


def test_the_summary_says_how_much_less_is_missing(monkeypatch):
    """Its last line compares frontier with the best of Optuna's samplers, on the seeds that both have."""
    monkeypatch.syspath_prepend(FOLDER)
    summary = runpy.run_path(str(FOLDER / "search_quality.py"))["summary"]
    shares = {"frontier": (0.9, 0.8, 0.1), "optuna:tpe": (0.8, 0.6), "optuna:random": (0.4, 0.4), "tpe": (1.0, 1.0)}
    rows = [
        {"table": "cells", "sampler": sampler, "seed": seed, "queries": 20, "fraction": share}
        for sampler, own in shares.items()
        for seed, share in enumerate(own)
    ]
    *_, of_tpe, missing = summary(rows).splitlines()
    assert missing.split() == ["missing", "-", "0.50", "tpe", "-", "-", "-"]
    assert of_tpe.startswith("tpe") and "1.0000 ± 0.0000 (2)" in of_tpe
    assert "missing" not in summary([row for row in rows if not row["sampler"].startswith("optuna")])
