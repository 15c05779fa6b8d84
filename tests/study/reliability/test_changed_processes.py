"""Functions of the caller that change the working folder or other state of their process lose no trial."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.study.evaluations import moves


@pytest.mark.parametrize("workers", [1, 2])
def test_a_changed_working_folder_loses_nothing(space, tmp_path, monkeypatch, workers):
    """A relative storage path stays valid if ``evaluate``, a cost or the progress callback changes the working
    folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def joules(architecture, choices):
        os.chdir(tmp_path / "elsewhere")
        return 1.0

    settings = {"storage": "sqlite:///x.db", "study": "one", "sampler": "random", "costs": {"joules": joules}}
    settings |= {"progress": lambda event: os.chdir("/"), "workers": workers}
    study = run_search(space, evaluate=moves, trials=3, **settings).study
    os.chdir(tmp_path / "elsewhere")
    assert study.counts()["complete"] == 3 and len(study.frontier("macs", "accuracy")) > 0
    assert study.artifacts.parent == tmp_path / "explorer.artifacts"
    assert open_study(f"sqlite:///{tmp_path}/x.db", "one").counts()["complete"] == 3
    assert sorted(path.name for path in tmp_path.glob("**/x.db")) == ["x.db"]


def test_trainings_find_their_data_after_the_working_folder_changes(space, tmp_path, monkeypatch):
    """A relative ``data_dir`` is resolved against the folder in which the search was called."""
    rng = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "images" / "tiny" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    settings = {"data": "tiny", "data_dir": "images", "epochs": 1, "recipe": "quick", "sampler": "random"}
    study = run_search(
        space, storage="sqlite:///x.db", trials=2, workers=1, progress=lambda event: os.chdir("/"), **settings
    ).study
    assert study.counts()["complete"] == 2 and study.counts()["failed"] == 0


@pytest.mark.slow  # it imports torch in a process of its own
@pytest.mark.parametrize("workers", [1, 2])
def test_an_evaluation_that_abuses_its_process_loses_no_trial(tmp_path, environment, workers):
    """Changes that ``evaluate`` makes to its process (streams, umask, signals, torch's defaults, threads) lose no
    result."""
    script = tmp_path / "script.py"
    script.write_text(ABUSE)
    run = subprocess.run([sys.executable, script, str(workers)], env=environment, capture_output=True, text=True)
    study = open_study(f"sqlite:///{tmp_path}/x.db", "one")
    assert (run.returncode, study.counts()["complete"], study.counts()["failed"]) == (0, 6, 0), run.stderr
    assert study.frontier("macs", "accuracy")


ABUSE = '''
import os, signal, sys, threading, time
import explorer

SPACE = """
name: six
input: 1x4x4
classes: 2
stem: conv3x3(4)
stages: {blocks: 1, width: [a]}
block: conv3x3 +
shortcut: {changed: conv1x1}
head: gap fc
grammar: {a: 2 | 4 | 6 | 8 | 10 | 12}
"""

def evaluate(architecture, *, choices, epochs, seed):
    how = int(choices["a"])
    if how == 2:
        os.closerange(0, 3)
    elif how == 4:
        sys.stdin = sys.stdout = sys.stderr = None
    elif how == 6:
        os.umask(0o777)
    elif how == 8:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    elif how == 10:
        import torch
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.use_deterministic_algorithms(True)
    else:
        threading.Thread(target=time.sleep, args=(1,)).start()
    return {"accuracy": seed / 2**31}

if __name__ == "__main__":
    space = explorer.parse_space(SPACE, "six.yaml")
    os.chdir(os.path.dirname(__file__))
    explorer.search(space, evaluate=evaluate, storage="sqlite:///x.db", study="one", workers=int(sys.argv[1]))
'''
