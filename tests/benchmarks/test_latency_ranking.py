"""``benchmarks/latency_ranking.py`` on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "latency_ranking.py"
HEAD = "name,device,mode,precision,layout,torch,img_size,samples_per_sec\n"
RATES = {"regnety_004": 900, "mobilenetv2_050": 3000, "regnetx_002": 2000}
ROWS = [f"{name},gpu,infer,amp,nchw,pt2,224,{rate}\n" for name, rate in RATES.items()]


def ranking(tmp_path, text: str) -> subprocess.CompletedProcess:
    table = tmp_path / "table.csv"
    table.write_text(text)
    line = [sys.executable, str(SCRIPT), "--table", str(table), "--device", "cpu", "--patience", "0.02"]
    return subprocess.run(line, capture_output=True, text=True)


@pytest.mark.slow
def test_networks_of_the_table_are_measured_and_ranked(tmp_path):
    """Each way of measuring gets a correlation, and networks outside all families, and trainings, are skipped."""
    others = ["unheard_of,gpu,infer,amp,nchw,pt2,224,1\n", "regnety_004,gpu,train,amp,nchw,pt2,224,1\n"]
    found = ranking(tmp_path, HEAD + "".join([*ROWS, *others]))
    assert found.returncode == 0, found.stderr
    assert "3 networks" in found.stdout and "no check of the ranking on a GPU" in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if "Spearman" in line]
    assert line.startswith("gpu, amp, nchw, pt2: Spearman ") and line.endswith(" over 3 networks")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + ROWS[0], "1 of its networks can be measured; at least 3 are needed"),
        (HEAD, "0 of its networks"),
        ("name,img_size\nresnet18,224\n", "the columns samples_per_sec, device, mode"),
        (HEAD + ROWS[0].replace("900", "fast"), "not a table of throughputs: could not convert"),
    ],
)
def test_an_invalid_table_gives_one_line(tmp_path, text, message):
    """An invalid table is reported before any measurement."""
    found = ranking(tmp_path, text)
    assert found.returncode == 1 and message in found.stderr and len(found.stderr.splitlines()) == 1
