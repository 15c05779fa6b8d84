"""The commands of the tutorial and of a how-to guide run in a shell, and give the figures of the pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
from docs.generate import ROOT
from explorer.analysis.amounts import amount
from tests.documentation.blocks import blocks_of

# Fewer and shorter trainings than the pages have, but for the search whose figures are compared.
SHORTER = {
    "--trials 16": "--trials 6 --epochs 1",
    "--pairs 8": "--pairs 1",
    "--pairs 4": "--pairs 1",
    "--seeds 3": "--seeds 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", ["tutorial/index.md", "how_to/compare_blocks.md"])
def test_the_commands_of_a_page_run(tmp_path, page):
    """Space files are written under their names; each command, with fewer trainings, ends with status 0; Python blocks
    run at the end."""
    folder = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for block in blocks_of(f"docs/{page}"):
        language, text = block.language, block.text
        if language == "yaml":
            name = re.match(r"name: (\w+)", text)
            assert name is not None, text
            (tmp_path / f"{name[1]}.yaml").write_text(text)
        elif language in ("sh", "python"):
            for long, short in SHORTER.items():
                text = text.replace(long, short)
            command = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 2
    if page.startswith("tutorial"):
        compare_figures(ROOT / "docs" / page, tmp_path)


def compare_figures(page: Path, folder: Path) -> None:
    """Compare the tutorial's figures with this run: costs exactly, the best accuracy within its stated spread."""
    text = page.read_text()
    space = explorer.load_space(folder / "question.yaml")
    found = re.search(r"counts the networks and .*: (\d+) networks, of ([\d.]+) to ([\d.]+) MMACs", text)
    assert found is not None
    rows = explorer.atlas(space).macs / 1e6
    assert (str(len(rows)), f"{rows.min():.2f}", f"{rows.max():.0f}") == found.groups()
    shown = re.findall(r"^ *\d+ +([\d.]+)% +(\S+) +(\S+)  (width=.*)$", text, re.MULTILINE)
    assert len(shown) == 5 and "all networks: depth=1" in text
    for _, macs, params, choices in shown:
        cost = explorer.cost(space.architecture(f"{choices.replace(' ', ',')},depth=1"))
        assert (macs, params) == (amount("macs", cost.macs), amount("params", cost.params))
    spread = re.search(r"the best accuracy of a run is\s+within (\d+) points", text)
    study = explorer.open_study(f"sqlite:///{folder}/explorer.db", "question-cluttered-digits")
    best = max(trial.objectives["accuracy"] for trial in study.frontier(searched=True))
    assert spread is not None and abs(100 * best - max(float(row[0]) for row in shown)) <= int(spread[1])
