"""Processes of one machine divide its cores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from explorer.system import core_shares
from explorer.system.core_shares import CoreShare
from tests.polling import wait_until

HOLDER = """
import pathlib, sys, time
from explorer.system.core_shares import CoreShare
share = CoreShare("cpu", pathlib.Path(sys.argv[1]))
print(share.cores(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def machine(monkeypatch) -> list[int]:
    """The cores of this machine, which a test may change."""
    cores = list(range(8))
    monkeypatch.setattr(core_shares, "_usable", lambda: ("", list(cores)))
    return cores


@pytest.fixture
def shares(tmp_path) -> Iterator[list[CoreShare]]:
    """Six shares, which leave at the end."""
    made = [CoreShare("cpu", tmp_path) for _ in range(6)]
    yield made
    for share in made:
        share.leave()


def test_the_cores_are_divided_and_returned(machine, shares):
    """Each process that joins or leaves changes the shares of the others, and no core is given twice or to nobody."""
    for count in range(1, 6):
        shares[count - 1].cores()
        found = [share.cores() for share in shares[:count]]
        assert sum(found) == 8 and max(found) - min(found) <= 1
    shares[0].leave()
    assert sum(share.cores() for share in shares[1:5]) == 8
    assert shares[1].processes() == 4


def test_each_process_has_at_least_one_core(machine, shares):
    """With more processes than cores each one may use a core."""
    del machine[2:]
    assert [share.cores() for share in shares][-1] == 1
    assert [share.cores() for share in shares] == [1] * 6


def test_only_common_cores_are_divided(monkeypatch, shares):
    """Processes that are bound to different cores, or limited by different quotas, keep them."""
    bound = {"": [0, 1, 2, 3]}
    monkeypatch.setattr(core_shares, "_usable", lambda: next(iter(bound.items())))
    assert shares[0].cores() == 4
    bound = {"": [2, 3, 4, 5]}
    assert shares[1].cores() == 3
    bound = {"a group": [0, 1]}
    assert shares[2].cores() == 2
    bound = {"": [0, 1, 2, 3]}
    assert shares[0].cores() == 3


def test_a_killed_process_gives_its_cores_back(machine, shares, tmp_path):
    """After SIGKILL of a process its cores belong to the others, and its file is removed."""
    del machine[4:]
    shares[0].cores()
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert shares[0].processes() == 2 and shares[0].cores() < 4
        process.send_signal(signal.SIGKILL)
    assert shares[0].cores() == 4 and len(list(tmp_path.iterdir())) == 1


def test_a_forked_child_keeps_no_share(machine, shares):
    """A child that outlives its parent's training does not hold the parent's share."""
    shares[0].cores()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    shares[1].cores()
    shares[0].leave()
    assert shares[1].cores() == 8
    os.close(writing)
    os.waitpid(child, 0)
    os.close(reading)


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"quota": "", "cores": "x", "device": 1}), "[" * 9999])
def test_foreign_files_are_ignored(machine, shares, tmp_path, content):
    """A file without a lock is removed, one with a lock but without an entry is ignored; so are links and pipes."""
    import fcntl

    (tmp_path / "0-ended").write_text(content)
    (tmp_path / "1-link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "2-pipe")
    with open(tmp_path / "3-locked", "w") as file:
        file.write(content)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert shares[0].cores() == 8
    assert not (tmp_path / "0-ended").exists()


def test_without_a_folder_a_process_uses_all_cores(machine, tmp_path):
    """If the folder cannot be used, each process uses all cores, as one that is alone."""
    for _ in range(2):
        assert CoreShare("cpu", tmp_path / "absent").cores() == 8


@pytest.mark.slow
def test_processes_agree(tmp_path):
    """Processes that join at the same time agree on the shares as soon as all have joined."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    own = CoreShare("cpu", tmp_path)
    try:
        wait_until(lambda: own.processes() == 4)
    finally:
        own.leave()
        for process in processes:
            process.kill()
            process.communicate()
