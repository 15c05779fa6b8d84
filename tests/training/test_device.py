"""Process settings of a training."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ELEMENTS = 5_000_000  # 20 MB: above the size from which glibc asks the system for memory, below 32 MiB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_kept_until_the_end():
    """Within the block the process keeps freed memory; after it the system has it back."""
    script = f"""
import psutil, torch
from explorer.training.device import freed_memory_kept
process = psutil.Process()
before = process.memory_info().rss
with freed_memory_kept():
    torch.ones(3, {ELEMENTS // 3})
    kept = process.memory_info().rss
print(kept - before, kept - process.memory_info().rss)
"""
    # In a process of its own: what earlier tests left in memory decides where a tensor fits.
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kept, returned = map(int, found.stdout.split())
    assert kept > 15e6 and returned > 15e6  # of 20 MB
