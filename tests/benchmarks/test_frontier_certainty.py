"""``benchmarks/frontier_certainty.py`` as a shell calls it."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "frontier_certainty.py"


def test_a_trained_table_is_replayed(tmp_path):
    """Each bin of the printed probability has a line with the share of runs in which its networks stayed; a network
    with one training is left out."""
    draw, table = random.Random(0), tmp_path / "table.csv"
    rows = [
        f"v1-{network},{1000 + 10 * network},{seed},{0.5 + 0.01 * network + draw.gauss(0, 0.02)},1.0"
        for seed in range(3)
        for network in range(30)
    ]
    table.write_text("\n".join(["network,macs,seed,accuracy,seconds", *rows, "v1-99,5,0,0.99,1.0"]) + "\n")
    line = [sys.executable, str(SCRIPT), "replay", str(table), "--studies", "2", "--repeats", "4"]
    found = subprocess.run(line, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "table: 2 studies" in found.stdout and "| printed | networks |" in found.stdout
    assert "estimated noise 0.0" in found.stdout


def test_cells_that_compute_the_same_are_one_network():
    """Edges that end nowhere and equal branches in another order make no other network; another operation does."""
    computed = runpy.run_path(str(SCRIPT))["computed"]
    assert computed("112111") == computed("112112") == computed("112211")
    assert computed("111111") == "0" and computed("112111") != computed("113111")
    assert computed("231112") != computed("231113")
