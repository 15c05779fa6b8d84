"""Turns of measurements and trainings on a device."""

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


class Clock:
    """A clock that advances only while something sleeps, in place of the module ``time``."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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
    """A training does not wait on a device without a measurement."""
    with Pause("cpu") as pause:
        assert pause() == 0.0
        with measuring("cpu"):
            pass
        assert pause() == 0.0


def test_a_training_waits_until_the_measurement_is_over(holder):
    """A training continues when the holder of the lock has ended, also if it was killed."""
    with Pause("cpu") as pause:
        began = time.monotonic()
        timer = subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(0.5); os.kill({holder.pid}, 9)"])
        waited = pause()
        assert 0 < waited <= time.monotonic() - began < device_lock.BASE_WAIT_SECONDS
        timer.wait()
        holder.wait()
        assert holder.returncode == -signal.SIGKILL and pause() == 0.0


def test_a_training_does_not_wait_without_limit(holder, monkeypatch):
    """During an endless measurement a training waits for a grace period, and then as long as it has computed."""
    clock = Clock()
    monkeypatch.setattr(device_lock, "time", clock)
    with Pause("cpu") as pause:
        total = pause()
        assert 30 <= total < 30.1
        for _ in range(5):
            clock.sleep(10)  # it computes
            total += pause()
        assert 80 <= total < 80.1


def test_a_callers_own_work_waits_too(holder):
    """A caller's code waits where it asks to, not after it has closed, and an unknown device is rejected."""
    import explorer

    with explorer.Pause("cpu") as pause:
        killer = subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(0.3); os.kill({holder.pid}, 9)"])
        assert pause() > 0.0
        killer.wait()
    with measuring("cpu"):
        assert pause() == 0.0
    with pytest.raises(explorer.ExplorerError, match="unknown device 'tpu'"):
        explorer.Pause("tpu")


def test_without_lock_files_nothing_waits(monkeypatch, tmp_path, caplog):
    """Without a lock, measuring continues with a warning that other work will not wait, and trainings continue."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with measuring("cpu"), Pause("cpu") as pause:
        assert pause() == 0.0
    (said,) = caplog.messages
    assert "file/explorer/measuring/" in said and said.endswith(
        "cannot be written: other work will not wait for this measurement"
    )


def test_on_wait_is_called_before_waiting(holder):
    """``on_wait`` is called before a wait, and not if the device is free."""
    told = []

    def free_it():
        told.append(holder.poll())
        holder.kill()

    with measuring("cpu", free_it):
        pass
    with measuring("cpu", free_it):
        assert told == [None]


def test_another_device_is_another_lock(monkeypatch):
    """A measurement on one device does not block other devices."""
    monkeypatch.setattr(device_lock, "device_identity", lambda device: device)
    with measuring("cuda:0"), Pause("cuda:1") as pause, measuring("cpu"):
        assert pause() == 0.0
