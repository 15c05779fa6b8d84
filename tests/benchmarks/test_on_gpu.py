"""``benchmarks/on_gpu.py``, rehearsed on the CPU: it measures the real thing with small sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "on_gpu.py"


def rehearse(out: Path, *options: str) -> tuple[subprocess.CompletedProcess, dict, str]:
    """Run the script; return the process, the results and the record."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rehearse", "--out", str(out), *options], capture_output=True, text=True
    )
    (results,), (record,) = list(out.glob("*.json")), list(out.glob("*.md"))
    assert results.stem == record.stem
    return done, json.loads(results.read_text()), record.read_text()


def test_a_part_that_cannot_run_leaves_the_others(tmp_path):
    """Parts that need files say so, one that runs out of time is ended, one that fails gives the reason and the exit
    status 1, and the record says that it is a rehearsal on a CPU."""
    options = ("--only", "to_accuracy", "ranking", "reproduce", "--seconds", "to_accuracy=0.2")
    done, results, record = rehearse(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    parts = results["parts"]
    assert parts["environment"]["results"]["environment"]["device"] == "cpu"
    assert parts["to_accuracy"]["status"].startswith("out of time after 0 s")
    assert parts["ranking"]["status"] == "skipped: it needs a table of published throughputs: --table FILE"
    assert parts["reproduce"]["status"] == "skipped: it needs CIFAR-10: --data-dir DIR"
    assert results["rehearsal"] and record.startswith("# Rehearsal on a CPU")
    assert "on_gpu_rehearsal" in next(tmp_path.glob("*.md")).name


def test_a_part_that_fails_is_reported(tmp_path):
    """The message of a failure is in the results, and the exit status is 1."""
    done, results, record = rehearse(tmp_path, "--only", "ranking", "--table", str(tmp_path / "absent.csv"))
    assert done.returncode == 1
    assert "absent.csv: cannot be read" in results["parts"]["ranking"]["status"]
    assert "failed with status 1" in record


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch):
    """Without a GPU and without --rehearse nothing is measured."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = subprocess.run([sys.executable, str(SCRIPT), "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "no GPU was found; --rehearse" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_parts_can_be_rehearsed(tmp_path):
    """Each part that needs no further files measures on the CPU and keeps its results; memory and energy of a GPU are
    absent."""
    parts = ("throughput", "epoch", "to_accuracy", "latency", "energy", "sharing")
    times = [f"{name}=300" for name in parts]  # a busy machine takes long; nothing waits for the end of a time
    _, results, record = rehearse(tmp_path, "--only", *parts, "--minutes", "30", "--seconds", *times)
    statuses = {name: results["parts"][name]["status"] for name in parts}
    assert set(statuses.values()) == {"complete"}, statuses
    found = {name: results["parts"][name]["results"] for name in parts}
    assert set(found["throughput"]["images_per_second"]) == {"GPU naive", "GPU bfloat16, graph"}
    assert found["epoch"]["training"]["data"] == "digits" and len(found["epoch"]["curve"]) == 2
    assert found["to_accuracy"]["reached"] in (True, False)
    (methods,) = found["latency"]["methods"].values()
    assert {"explorer", "plain loop, as timm"} <= set(methods)
    (measured,) = found["energy"]["latencies"]
    assert measured["reported_ms"] > 0 and measured["joules_per_image"] is None
    assert found["sharing"]["chosen"] in (1, 2) and found["sharing"]["trainings that fit"] is None
    assert all(f"## {name}" in record for name in parts)
