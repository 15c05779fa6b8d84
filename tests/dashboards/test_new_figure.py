"""A new figure of a table that a page has is two edits: the figure and its place on the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from explorer.dashboard.launch import STORAGE_VARIABLE

ROOT = Path(__file__).parents[2]
FIGURE = '''

def seconds_figure(rows: pandas.DataFrame) -> go.Figure:
    """Draw the seconds of each trial."""
    return go.Figure(go.Bar(x=rows.trial, y=rows.seconds, name="a new figure"))
'''
PLACE = """    draw_hypervolume(study)
    from explorer.dashboard.figures.runs import seconds_figure

    draw_figure(seconds_figure(run_rows(records, read_environments(study))), "seconds")
"""
PROGRAM = """
import json
import sys

from streamlit.testing.v1 import AppTest

from explorer.dashboard.launch import pages_folder

at = AppTest.from_file(pages_folder() / "app.py", default_timeout=300).run().switch_page("views/runs.py").run()
assert not at.exception, at.exception
traces = [trace for chart in at.get("plotly_chart") for trace in json.loads(chart.proto.spec)["data"]]
print(pages_folder())
print(sum(trace.get("name") == "a new figure" for trace in traces))
"""


def test_a_new_figure_is_two_edits(study, tmp_path):
    """A function in ``figures/`` and a call on a page are enough to see a new figure of a table there."""
    for name in ("explorer", "dashboards"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    figures = tmp_path / "explorer/dashboard/figures/runs.py"
    figures.write_text(figures.read_text() + FIGURE)
    page = tmp_path / "dashboards/views/runs.py"
    before = page.read_text()
    page.write_text(before.replace("    draw_hypervolume(study)\n", PLACE))
    assert page.read_text() != before
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), STORAGE_VARIABLE: study.storage}
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-2_000:]
    assert child.stdout.split("\n")[-3:] == [str(tmp_path / "dashboards"), "1", ""]
