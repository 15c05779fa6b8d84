"""Whose turn it is on a device."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from explorer.system import device_lock
from explorer.system.device_lock import Pause, measuring

HOLDER = """
import sys, time
from explorer.system.device_lock import measuring
with measuring("cpu"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder():
    """A process that measures on the CPU until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_free_device_is_not_waited_for():
    """Where nobody measures, a training does not wait, nor afterwards."""
    with Pause("cpu") as pause:
        assert pause() == 0.0
        with measuring("cpu"):
            pass
        assert pause() == 0.0


def test_a_training_waits_until_the_measurement_is_over(holder):
    """It goes on when the lock's holder is gone, though that was killed and had no chance to give it back."""
    with Pause("cpu") as pause:
        began = time.monotonic()
        timer = subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(0.5); os.kill({holder.pid}, 9)"])
        waited = pause()
        assert 0 < waited <= time.monotonic() - began < device_lock.BASE_WAIT_SECONDS
        timer.wait()
        holder.wait()
        assert holder.returncode == -signal.SIGKILL and pause() == 0.0


def test_a_training_does_not_wait_for_ever(holder, monkeypatch):
    """Beside one who measures without end it has waited a grace time, and then as long as it has computed."""
    monkeypatch.setattr(device_lock, "BASE_WAIT_SECONDS", 0.2)
    with Pause("cpu") as pause:
        began = time.monotonic()
        first = pause()
        assert first >= 0.2
        total = first
        for _ in range(5):
            time.sleep(0.1)
            total += pause()
        computed = time.monotonic() - began - total
        assert 0.5 <= total <= 0.2 + computed + 6 * 2 * device_lock.POLL_SECONDS + 0.1 * computed


def test_a_callers_own_work_waits_too(holder):
    """By a public name: what a caller runs on the device waits where it says that it may, and not after it has closed;
    a device that is not there is refused."""
    import explorer

    with explorer.Pause("cpu") as pause:
        killer = subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(0.3); os.kill({holder.pid}, 9)"])
        assert pause() > 0.0
        killer.wait()
    with measuring("cpu"):
        assert pause() == 0.0
    with pytest.raises(explorer.ExplorerError, match="unknown device 'tpu'"):
        explorer.Pause("tpu")


def test_where_no_lock_can_be_kept(monkeypatch, tmp_path, caplog):
    """Measuring goes on and says that other work will not wait for it; trainings go on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with measuring("cpu"), Pause("cpu") as pause:
        assert pause() == 0.0
    (said,) = caplog.messages
    assert "file/explorer/measuring/" in said and said.endswith(
        "cannot be written: other work will not wait for this measurement"
    )


def test_who_measures_waits_for_another_and_hears_of_it(holder):
    """``on_wait`` is called before the wait, and not where the device is free."""
    told = []

    def free_it():
        told.append(holder.poll())
        holder.kill()

    with measuring("cpu", free_it):
        pass
    with measuring("cpu", free_it):
        assert told == [None]


def test_another_device_is_another_lock(monkeypatch):
    """Who measures on one device does not keep those on another waiting."""
    monkeypatch.setattr(device_lock, "device_identity", lambda device: device)
    with measuring("cuda:0"), Pause("cuda:1") as pause, measuring("cpu"):
        assert pause() == 0.0
