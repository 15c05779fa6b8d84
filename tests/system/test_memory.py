"""The memory that the process may use."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from explorer.system.memory import available_memory, machine_memory, total_memory
from tests.system.control_groups import group_tree

GIB = 1 << 30
V1 = ("memory/a/memory.limit_in_bytes", "memory/a/memory.usage_in_bytes", "memory/a/memory.stat")


@pytest.fixture
def large(monkeypatch):
    """A machine with 512 GiB, of which 300 GiB are free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=512 * GIB, available=300 * GIB))


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 512),
        ("0::/\n", {"memory.max": "max\n"}, 512),
        ("0::/\n", {"memory.max": f"{8 * GIB}\n"}, 8),
        ("0::/a/b\n", {"a/memory.max": f"{4 * GIB}\n", "a/b/memory.max": "max\n"}, 4),
        ("0::/a/b\n", {"a/memory.max": f"{4 * GIB}\n", "a/b/memory.max": f"{3 * GIB}\n"}, 3),
        ("0::/a/b\n", {"memory.max": f"{2 * GIB}\n", "a/memory.max": f"{4 * GIB}\n"}, 2),
        ("0::/host/only\n", {"memory.max": f"{2 * GIB}\n"}, 2),
        ("5:memory:/a\n0::/\n", {V1[0]: str(6 * GIB)}, 6),
        ("5:memory:/a/b\n", {V1[0]: str(6 * GIB), "memory/a/b/memory.limit_in_bytes": str(7 * GIB)}, 6),
        ("5:memory:/docker/1\n", {"memory/memory.limit_in_bytes": str(6 * GIB)}, 6),
        ("5:memory:/a\n", {V1[0]: str((1 << 63) - 4096)}, 512),
        ("5:cpu:/a\n", {V1[0]: str(6 * GIB)}, 512),
        ("nonsense\n", {"memory.max": "nonsense"}, 512),
    ],
)
def test_control_groups_bound_the_memory(large, tmp_path, own, files, expected):
    """Of 512 GiB the total is the smallest limit of the groups around the process, in both versions."""
    assert total_memory(*group_tree(tmp_path, own, files)) == expected * GIB


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 300),
        ("0::/\n", {"memory.max": "max", "memory.current": str(200 * GIB)}, 300),
        ("0::/\n", {"memory.max": str(8 * GIB), "memory.current": str(3 * GIB)}, 5),
        (
            "0::/\n",
            {
                "memory.max": str(8 * GIB),
                "memory.current": str(8 * GIB),
                "memory.stat": f"anon 5\ninactive_file {GIB}\n",
            },
            1,
        ),
        (
            "0::/a\n",
            {
                "memory.max": str(8 * GIB),
                "memory.current": str(7 * GIB),
                "a/memory.max": str(4 * GIB),
                "a/memory.current": str(2 * GIB),
            },
            1,
        ),
        ("0::/\n", {"memory.max": str(8 * GIB), "memory.current": str(9 * GIB)}, 0),
        ("5:memory:/a\n", {V1[0]: str(6 * GIB), V1[1]: str(2 * GIB)}, 4),
        ("5:memory:/a\n", {V1[0]: str(6 * GIB), V1[1]: str(2 * GIB), V1[2]: f"total_inactive_file {GIB}\n"}, 5),
        ("0::/\n", {"memory.max": str(8 * GIB), "memory.current": str(3 * GIB), "memory.stat": "damaged"}, 5),
    ],
)
def test_available_memory_is_what_the_groups_leave(large, tmp_path, own, files, expected):
    """Available memory is the remainder of the most restrictive group, including reclaimable file cache."""
    assert available_memory(*group_tree(tmp_path, own, files)) == expected * GIB


def test_this_machine(tmp_path):
    """Without control groups the total is the machine's own memory, and some of it is available."""
    nowhere = tmp_path / "none", tmp_path / "none"
    assert total_memory(*nowhere) == machine_memory()
    assert 0 < available_memory(*nowhere) <= machine_memory()
    assert 0 < total_memory() <= machine_memory()
