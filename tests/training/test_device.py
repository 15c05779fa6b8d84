"""Process settings of a training."""

from __future__ import annotations

import platform
import resource

import psutil
import pytest
import torch

from explorer.training.device import freed_memory_kept

ELEMENTS = 5_000_000  # 20 MB: above the size from which glibc asks the system for memory, below 32 MiB


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_kept_until_the_end():
    """Within the block freed memory is used again without page faults; after it the system has it back."""
    process = psutil.Process()
    with freed_memory_kept():
        for _ in range(2):
            torch.ones(3, ELEMENTS // 3)
        before = page_faults()
        torch.ones(3, ELEMENTS // 3)
        assert page_faults() - before < 100  # of 4,900 pages
        kept = process.memory_info().rss
    assert process.memory_info().rss < kept - 15e6
