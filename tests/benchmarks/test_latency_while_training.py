"""``benchmarks/latency_while_training.py`` on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.polling import PATIENCE

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "latency_while_training.py"


@pytest.mark.slow
def test_a_network_is_timed_in_three_ways():
    """One repetition beside one training reports for each way the latency and its difference to an idle machine."""
    line = [sys.executable, str(SCRIPT), "--device", "cpu", "--repeats", "1", "--workers", "1", "--batches", "1"]
    line += ["--time-scale", "0.02"]
    done = subprocess.run(
        [*line, "--networks", "he2016_orders.yaml#0"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[-3:]
    assert rows[0].startswith("he2016_orders.yaml#0, batch 1 ")
    for way, row in zip(("alone", "waiting", "training on"), rows):
        mean, _spread, _range, bias = row.split(way)[1].split()[:4]
        assert float(mean) > 0 and (bias == "0.0%" or way != "alone")
