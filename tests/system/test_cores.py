"""The number of cores that the process may use."""

from __future__ import annotations

import os

import pytest

from explorer.system.cores import allowed_cores, usable_cores
from tests.system.control_groups import group_tree

CFS = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@pytest.fixture
def many(monkeypatch):
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 3),
        ("0::/host/only\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("3:cpu,cpuacct:/a\n0::/\n", {f"cpu/a/{CFS[0]}": "300000", f"cpu/a/{CFS[1]}": "100000"}, 3),
        ("3:cpu:/docker/1\n", {f"cpu/{CFS[0]}": "300000", f"cpu/{CFS[1]}": "100000"}, 3),
        ("3:cpu:/\n", {f"cpu/{CFS[0]}": "-1", f"cpu/{CFS[1]}": "100000"}, 64),
        ("2:memory:/a\n", {f"cpu/a/{CFS[0]}": "100000", f"cpu/a/{CFS[1]}": "100000"}, 64),
        ("nonsense\n", {"cpu.max": "nonsense"}, 64),
    ],
)
def test_control_groups_bound_the_cores(many, tmp_path, own, files, expected):
    """Of 64 cores the count is the smallest quota of the groups around the process, in both versions."""
    assert usable_cores(*group_tree(tmp_path, own, files)) == expected


def test_affinity_bounds_the_cores(monkeypatch, tmp_path):
    """A process bound to 3 cores has 3, also without control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 0, 5}, raising=False)
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 3
    assert allowed_cores() == [0, 5, 7]


def test_a_system_without_affinity_has_all_its_cores(monkeypatch, tmp_path):
    """Without CPU affinity (macOS) every core counts, and none has a number."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 12
    assert allowed_cores() == []
