"""``benchmarks/latency_ranking.py``: measured as a shell calls it; tables are refused in this process."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "latency_ranking.py"
HEAD = "name,device,mode,precision,layout,torch,img_size,samples_per_sec\n"
RATES = {"regnety_004": 900, "mobilenetv2_050": 3000, "regnetx_002": 2000}
ROWS = [f"{name},gpu,infer,amp,nchw,pt2,224,{rate}\n" for name, rate in RATES.items()]


def arguments(tmp_path, text: str) -> list[str]:
    """The script and its options, with ``text`` as the table."""
    table = tmp_path / "table.csv"
    table.write_text(text)
    return [str(SCRIPT), "--table", str(table), "--device", "cpu", "--patience", "0.02"]


@pytest.mark.slow
def test_networks_of_the_table_are_measured_and_ranked(tmp_path):
    """Each way of measuring gets a correlation, and networks outside all families, and trainings, are skipped."""
    others = ["unheard_of,gpu,infer,amp,nchw,pt2,224,1\n", "regnety_004,gpu,train,amp,nchw,pt2,224,1\n"]
    line = [sys.executable, *arguments(tmp_path, HEAD + "".join([*ROWS, *others]))]
    found = subprocess.run(line, capture_output=True, text=True)
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
def test_an_invalid_table_gives_one_line(tmp_path, text, message, monkeypatch):
    """An invalid table is reported before any measurement."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script puts its repository on it
    monkeypatch.setattr(sys, "argv", arguments(tmp_path, text))
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    # A text as the code is printed, and the status is 1.
    assert isinstance(left.value.code, str) and message in left.value.code and "\n" not in left.value.code
