"""The process that runs exported files: forked or new, it is free of this package and loads torch once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from explorer.export.verify.process import FreshProcess

NETWORK = """
{first}
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.flatten(1).sum(1) * self.weight
"""
# Runs the folder {1} in a process that is forked ({2} is empty) or new ({2} imports torch first).
RUN = """
import sys
folder, first = sys.argv[1:]
exec(first)
from explorer.errors import ExportError
from explorer.export.verify.forked import ForkedProcess
from explorer.export.verify.process import FreshProcess
with FreshProcess() as fresh:
    print(isinstance(fresh._process, ForkedProcess))
    try:
        for batch in (2, 3):
            fresh.run({"batches": [batch], "out": f"{folder}/out", "models": [[folder, [1, 2, 2], ["python"]]]})
            print("ran")
    except ExportError as error:
        print(error)
"""
COUNTER = """
import sys

class Counter:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            with open({path!r}, "a") as file:
                file.write("torch\\n")

sys.meta_path.insert(0, Counter())
"""
FORKS = sys.platform == "linux"


def run_folder(folder, first_line: str, import_first: str) -> list[str]:
    """Return the lines that RUN prints for a folder whose ``model.py`` begins with a line."""
    from safetensors.torch import save_file
    from torch import ones

    (folder / "model.py").write_text(NETWORK.format(first=first_line))
    save_file({"weight": ones(1)}, folder / "model.safetensors")
    command = [sys.executable, "-c", RUN, str(folder), import_first]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("import_first", ["", "import torch"], ids=["forked", "new"])
@pytest.mark.parametrize("line", ["import explorer", "from explorer.errors import ExplorerError"])
def test_a_file_that_needs_this_package_fails(tmp_path, import_first, line):
    """Neither the forked child of a process that has imported this package, nor a new process, can import it."""
    forked, message = run_folder(tmp_path, line, import_first)
    assert forked == str(FORKS and not import_first)
    assert "fails in a fresh process" in message and "explorer" in message


@pytest.mark.parametrize("import_first", ["", "import torch"], ids=["forked", "new"])
def test_several_requests(tmp_path, import_first):
    """A process handles one request after another, forked or new."""
    assert run_folder(tmp_path, "", import_first)[1:] == ["ran", "ran"]


@pytest.mark.skipif(not FORKS, reason="processes are forked on Linux only")
def test_export_imports_torch_once(tmp_path):
    """``explorer export`` and the process that verifies its files import torch once together."""
    counted, folder = tmp_path / "imports", tmp_path / "net"
    (tmp_path / "sitecustomize.py").write_text(COUNTER.format(path=str(counted)))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "explorer", "export", "he2016_orders.yaml#0", "-o", str(folder)]
    done = subprocess.run(
        [*command, "--formats", "yaml,python,safetensors"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "python: verified in a separate process" in done.stdout
    assert counted.read_text().split() == ["torch"]


def test_the_end_of_a_process_is_reported():
    """A process that has ended makes the next request fail with its status, and closing it raises nothing."""
    from explorer.errors import ExportError

    with FreshProcess() as fresh:
        fresh._process.kill()
        fresh._process.wait()
        with pytest.raises(ExportError, match="exit status -9"):
            fresh.run({"batches": [1], "out": "", "models": []})
