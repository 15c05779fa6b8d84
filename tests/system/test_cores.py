"""Cores are those that the process may really use."""

from __future__ import annotations

import os

import pytest

from explorer.system.cores import usable_cores


@pytest.fixture
def many(monkeypatch):
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def cores(tmp_path, own: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return usable_cores(tmp_path / "groups", tmp_path / "own")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("3:cpu,cpuacct:/a\n0::/\n", {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("2:memory:/a\n", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 64),
        ("nonsense\n", {"cpu.max": "nonsense"}, 64),
    ],
)
def test_control_groups_bound_the_cores(many, tmp_path, own, files, expected):
    """Of 64 cores as many as the narrowest group around the process has the time of, in both versions."""
    assert cores(tmp_path, own, files) == expected


def test_affinity_bounds_the_cores(monkeypatch, tmp_path):
    """A process bound to 3 cores has 3; without control groups too."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 3
