"""The commands of the tutorial and of how-to guides run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from docs.generate import ROOT

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each block of code."""
    return [(language, textwrap.dedent(text)) for _, language, text in BLOCK.findall(page.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["tutorial/index.md", "how_to/compare_blocks.md"])
def test_the_commands_of_a_page_run(tmp_path, page):
    """Space files are written under their names; each command ends with status 0; Python blocks run at the end."""
    folder = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for language, text in blocks(ROOT / "docs" / page):
        if language == "yaml":
            name = re.match(r"name: (\w+)", text)
            assert name is not None, text
            (tmp_path / f"{name[1]}.yaml").write_text(text)
        elif language in ("sh", "python"):
            command = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 2
