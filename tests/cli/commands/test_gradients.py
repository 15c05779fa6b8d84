"""``explorer gradients`` and ``explorer search --record-gradients`` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from explorer.store.studies import open_study
from explorer.training.gradient_flow import gradient_flow
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT


def test_gradients_as_json(capsys):
    """Each network gives a document with every block, in order, also for an input other than the space's own."""
    line = ("gradients", "he2016_orders.yaml#0", "he2016_orders.yaml#order=full_preact", "--batch", "2", "--json")
    status, out, err = run(capsys, *line, "--input", "3x8x8", "--classes", "5")
    assert (status, err) == (0, "")
    first, second = json.loads(out)
    assert first["digest"] != second["digest"] and len(first["blocks"]) == 9
    fields = {"stage", "block", "grad_norm", "cosine", "shortcut_share", "dead_share", "signal_var"}
    assert all(set(block) == fields for block in first["blocks"])
    status, again, _ = run(capsys, *line, "--input", "3x8x8", "--classes", "5")
    assert again == out
    status, out, _ = run(capsys, "gradients", "he2016_orders.yaml#0", "--batch", "2", "--data", "digits")
    assert status == 0 and "2 images of digits" in out and "grad norm" in out


def test_a_search_records_gradients(tmp_path):
    """Each trained network's gradient flow is that of its own initial weights, and recording does not change the
    training."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    line = ("search", "--space", str(tmp_path / "tiny.yaml"), "--data", "digits", "--epochs", "1", "--workers", "1")
    line += ("--trials", "2", "--precision", "float32", "--sampler", "random", "--stopping", "none", "--json")
    url = f"sqlite:///{tmp_path}/explorer.db"
    for arguments in (("--study", "with", "--record-gradients"), ("--study", "without")):
        command = [sys.executable, "-m", "explorer", *line, "--storage", url, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    recorded, bare = open_study(url, "with"), open_study(url, "without")
    threads = {trial.environment.threads for study in (recorded, bare) for trial in study.trials()}
    assert threads == {1}  # as OMP_NUM_THREADS asks: other processes of this machine do not change them
    assert [trial.objectives for trial in recorded.trials()] == [trial.objectives for trial in bare.trials()]
    for trial in recorded.trials():
        flow = recorded.gradient_flow(trial.digest)
        assert (flow.digest, flow.seed, flow.source) == (trial.digest, trial.seed, "digits") and flow.blocks
        assert bare.gradient_flow(trial.digest) is None
    from explorer.networks.architecture import Architecture

    assert flow == gradient_flow(Architecture.from_json(trial.architecture), seed=trial.seed, data="digits", threads=1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["gradients"], "ARCH"),
        (["gradients", "he2016_orders.yaml#9"], "9"),
        (["gradients", "he2016_orders.yaml#0", "--batch", "1"], "--batch"),
        (["gradients", "he2016_orders.yaml#0", "--input", "3x8"], "channels x height x width"),
        (["gradients", "he2016_orders.yaml#0", "--data", "digit"], "did you mean 'digits'"),
        (["gradients", "he2016_orders.yaml#0", "--data", "digits", "--batch", "300"], "has only 200 training images"),
    ],
)
def test_invalid_gradient_requests_give_one_line(capsys, args, message):
    """Invalid input gives one line and status 2."""
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
