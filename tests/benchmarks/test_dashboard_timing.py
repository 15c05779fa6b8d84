"""``benchmarks/dashboard_timing.py`` runs as its docstring says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.dashboards.chromium import CHROMIUM

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "dashboard_timing.py"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH")
def test_the_first_paint_is_measured(tmp_path):
    """``paint`` prints the first paint, the server's CPU time and the time of a click, of a study drawn as points and
    of one drawn as a density."""
    sizes = ("--trials", "40", "2100", "--visits", "1", "--clicks", "4")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "paint", *sizes, "--folder", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    for count in ("40", "2,100"):
        assert f"{count} trials, explorer: first visit" in done.stdout
        assert f"{count} trials: explorer / Streamlit alone" in done.stdout
    assert "clicks to headline" in done.stdout and "clicks to page at rest" in done.stdout
