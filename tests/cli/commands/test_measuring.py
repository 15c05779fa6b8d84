"""``explorer latency`` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from explorer.cli import main
from explorer.measure.child import measure_in_child
from explorer.measure.predictor import calibration
from explorer.measure.result import Latency, LatencyEnvironment
from explorer.records import Environment
from explorer.space.search_space import load_space
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.writer import StudyWriter
from explorer.system.device_lock import measuring
from tests.command_line import run
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import make_study, proposal


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Separate lock files, so that no test waits for another test's measurement."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def hurried(monkeypatch):
    """Measures for a fraction of the usual time."""
    monkeypatch.setattr("explorer.measure.child.measure_in_child", partial(measure_in_child, time_scale=0.3))


@pytest.mark.slow
def test_latency_as_json(capsys, hurried):
    """The JSON has a row per network and setting, in order, with latency, settings and environment."""
    archs, small = ["he2016_orders.yaml#0", "he2016_orders.yaml#4"], ["--input", "1x8x8", "--classes", "10"]
    status, out, err = run(capsys, "latency", *archs, *small, "--batch", "1,2", "--device", "cpu", "--json")
    rows = json.loads(out)
    assert (status, err) == (0, "")
    space = load_space("he2016_orders.yaml").with_input((1, 8, 8), 10)
    digests = [space.architecture(index).digest for index in (0, 4)]
    assert [(row["digest"], row["batch"]) for row in rows] == [
        (digest, batch) for digest in digests for batch in (1, 2)
    ]
    for row in rows:
        assert (row["dtype"], row["layout"], row["mode"]) == ("float32", "nchw", "eager")
        assert row["p05_ms"] <= row["ci95_ms"][0] <= row["median_ms"] <= row["ci95_ms"][1] <= row["p95_ms"]
        assert row["throughput"] == pytest.approx(1000 * row["batch"] / row["reported_ms"])
        assert row["environment"]["device"] == "cpu" and row["environment"]["digest"] and row["runs"] >= 6
        assert "batch norms folded" in row["method"]


def test_latency_as_text(capsys, hurried):
    """A line describes the network, device and settings, and another input than the space's own is used."""
    status, out, _ = run(capsys, "latency", "he2016_orders.yaml#0", "--device", "cpu", "--data", "digits")
    assert status == 0
    assert "he2016_orders.yaml#0" in out and "95% interval" in out
    assert "cpu:" in out and "batch 1, dtype float32, layout nchw, mode eager" in out and "pinned to core" in out


def test_the_clock_of_a_gpu_is_displayed(capsys, monkeypatch):
    """The GPU's clock rate is displayed beside its name."""
    machine = Environment("cuda:0", "a card", 1, "here", "3", {"torch": "2"})
    environment = LatencyEnvironment(machine, 1, "float32", "nchw", "graph", 1)
    numbers = (1.0, 1.0, 1.0, 1.0, (1.0, 1.0), 50, 1e3)
    measured = Latency("v1-x", *numbers, "events", environment, 1.0, 0.0, False, (), {"sm_mhz": [1395, 1410]})
    monkeypatch.setattr("explorer.measure.child.measure_in_child", lambda *asked: [measured])
    status, out, _ = run(capsys, "latency", "he2016_orders.yaml#0", "--device", "cpu")
    assert status == 0 and "cuda:0: a card at 1410 MHz, torch 2; batch 1, dtype float32" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Missing argument 'ARCH...'"),
        (["he2016_orders.yaml#9"], "9"),
        (["he2016_orders.yaml#0", "--batch", "1,x"], "'1,x' is not a list of whole numbers"),
        (["he2016_orders.yaml#0", "--batch", "0"], "a batch must be in 1..65536, found 0"),
        (["he2016_orders.yaml#0", "--batch", ","], "nothing to measure"),
        (["he2016_orders.yaml#0", "--mode", "graph"], "CUDA graphs need a GPU; use eager"),
        (["he2016_orders.yaml#0", "--dtype", "float32,tf32"], "tf32 is a number format of NVIDIA GPUs"),
        (["he2016_orders.yaml#0", "--layout", "nhwc"], "unknown layout 'nhwc'"),
        (["he2016_orders.yaml#0", "--device", "tpu"], "unknown device 'tpu'"),
        (
            ["he2016_orders.yaml#0", "--device", "gpu"],
            "known: auto, cpu, cuda, cuda:0, ...; a GPU is 'cuda'",
        ),
        (["he2016_orders.yaml#0", "--cores", "4711"], "core 4711 is not available"),
        (["he2016_orders.yaml#0", "--threads", "0"], "0 is not in the range"),
    ],
)
def test_invalid_input_ends_before_any_measurement(capsys, args, message):
    """Invalid input gives one line on standard error and exit status 2."""
    device = [] if "--device" in args else ["--device", "cpu"]
    status, out, err = run(capsys, "latency", *args, *device)
    assert (status, out) == (2, "")
    assert message in err and len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_concurrent_measurements_take_turns(capsys, hurried):
    """A measurement waits for another one on the same device, with a message."""
    said = ""
    with ThreadPoolExecutor() as pool:
        with measuring("cpu"):
            waiting = pool.submit(
                main, ["latency", "he2016_orders.yaml#0", "--data", "digits", "--device", "cpu", "--json"]
            )
            while not said and not waiting.done():
                time.sleep(0.05)
                said = capsys.readouterr().err
            assert not waiting.done()
        with pytest.raises(SystemExit, match="0"):
            waiting.result()
    assert said == "another measurement is running on cpu; waiting for it\n"
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_ctrl_c_during_a_measurement(tmp_path):
    """Ctrl-C ends the command and its measuring process at once, with one word on standard error."""
    line = [sys.executable, "-c", "from explorer.cli import main; main()"]
    line += ["latency", "he2016_orders.yaml#0", "--batch", "1,2,3,4", "--device", "cpu"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    pids: list[str] = []

    def measures() -> bool:
        for child in children.read_text().split():
            with suppress(OSError):  # another child, which has ended
                if b"torch" in Path(f"/proc/{child}/maps").read_bytes():
                    pids.append(child)
        return bool(pids)

    wait_until(measures)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "") and "Traceback" not in err, err
    assert not Path(f"/proc/{pids[0]}").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--calibrate", "he2016_orders.yaml"], "he2016_orders has 5 distinct networks; a predictor needs at least 20"),
        (["--calibrate", "preact_variants.yaml", "-n", "5"], "5 networks are too few to fit"),
        (["--calibrate", "preact_variants.yaml", "--batch", "1,8"], "a predictor has one setting, found 2"),
        (["he2016_orders.yaml#0", "--calibrate", "he2016_orders.yaml"], "leave out ARCH and --predicted"),
        (["he2016_orders.yaml#0", "-n", "5"], "-n is the number of networks of --calibrate"),
        (["he2016_orders.yaml#0", "--predicted"], "'explorer latency --calibrate SPACE' fits one"),
    ],
)
def test_invalid_predictors(capsys, monkeypatch, tmp_path, args, message):
    """Invalid calibrations and predictions give one line and exit status 2 before any measurement."""
    monkeypatch.setenv("EXPLORER_PREDICTORS", str(tmp_path))
    status, out, err = run(capsys, "latency", *args, "--device", "cpu")
    assert (status, out) == (2, "")
    assert message in err and len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_calibrate_and_predict(capsys, monkeypatch, tmp_path):
    """A calibration reports its error on held-out networks and its file, and then predicts latencies of networks."""
    monkeypatch.setenv("EXPLORER_PREDICTORS", str(tmp_path))
    monkeypatch.setattr(calibration, "TIME_SCALE", 0.02)
    small = ["--device", "cpu", "--input", "1x8x8", "--classes", "10", "--json"]
    status, out, _ = run(capsys, "latency", "--calibrate", "preact_variants.yaml", "-n", "20", *small)
    made = json.loads(out)
    assert status == 0 and made["networks"] == 20 and made["device"] == "cpu"
    assert 0 <= made["within_10_percent"] <= 1 and made["error"]["median"] >= 0
    assert made["file"] == str(next(tmp_path.iterdir()))
    status, out, _ = run(capsys, "latency", "preact_variants.yaml#7", "--predicted", *small)
    (row,) = json.loads(out)
    assert status == 0 and row["predicted_ms"] > 0
    assert row["environment"]["digest"] == made["environment"]["digest"]


@pytest.fixture
def mixed(tmp_path):
    """A storage with a study whose two latencies were measured with two versions of torch."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    writer = StudyWriter(make_study(url), new_worker())
    for number, torch in enumerate(("2", "3")):
        environment = {"digest": f"d{torch}", "device": "cpu", "versions": {"torch": torch}, "limits": {}}
        note = {"environment": environment, "contended": False, "notes": []}
        made = proposal(torch, 10.0)
        writer.begin(number, replace(made, costs={**made.costs, "latency_ms": 1.25 + number}, latency=note))
        writer.finish(number, Ending("complete", {"accuracy": 0.5 + number / 10}))
    writer.study.database.close()
    return url


@pytest.mark.parametrize("asked", [["--x", "latency_ms"], ["--under", "latency_ms<=9"], ["--y", "latency_ms"]])
def test_a_front_mixes_environments_only_on_request(capsys, mixed, asked):
    """Latencies of several environments give one line and status 2; with --mix-environments they give a result and a
    warning."""
    line = ["frontier", "one", *asked, "--storage", mixed]
    status, out, err = run(capsys, *line)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert "latency_ms was measured in 2 environments (torch 2 or 3)" in err and "--mix-environments" in err
    status, out, err = run(capsys, *line, "--mix-environments")
    assert (status, err) == (0, "") and "mixed: latency_ms was measured in 2 environments (torch 2 or 3)" in out
    status, out, err = run(capsys, *line, "--mix-environments", "--json")
    assert status == 0 and "mixed:" in err
    assert json.loads(out) and {point["latency_environment"] for point in json.loads(out)} <= {"d2", "d3"}


def test_an_export_mixes_environments_only_on_request(capsys, mixed, tmp_path):
    """The best network under a latency limit is chosen only from comparable latencies, unless --mix-environments is
    given."""
    line = ["export", "one", "--under", "latency_ms<=9", "-o", str(tmp_path / "net"), "--storage", mixed]
    status, out, err = run(capsys, *line)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert "latency_ms was measured in 2 environments (torch 2 or 3)" in err and "--mix-environments" in err
    status, out, err = run(capsys, *line, "--mix-environments", "--json")
    assert err.startswith("mixed: latency_ms was measured in 2 environments (torch 2 or 3)")
    status, out, err = run(capsys, *line[:3], "macs<=9G", *line[4:])
    assert "environments" not in out + err


@pytest.mark.parametrize("asked", [["--x", "latency_ms"], ["--y", "latency_ms"]])
def test_effects_mix_environments_only_on_request(capsys, mixed, asked):
    """Latencies of several environments do not match costs; with --mix-environments they do, with a warning."""
    line = ["effects", "one", *asked, "--storage", mixed]
    status, out, err = run(capsys, *line)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert "latency_ms was measured in 2 environments (torch 2 or 3)" in err and "--mix-environments" in err
    status, out, err = run(capsys, *line, "--mix-environments")
    assert (status, err) == (0, "") and "mixed: latency_ms was measured in 2 environments (torch 2 or 3)" in out
    status, out, err = run(capsys, "effects", "one", "--storage", mixed)
    assert (status, err) == (0, "") and "mixed" not in out


def test_a_front_without_latencies_accepts_any_environment(capsys, mixed):
    """Accuracy and MACs are compared across environments."""
    status, out, err = run(capsys, "frontier", "one", "--storage", mixed)
    assert (status, err) == (0, "") and "mixed" not in out
