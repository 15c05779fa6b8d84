"""What holds for all tests."""

from __future__ import annotations

import os

# Tests that run side by side have a core each: two threads of torch on one core wait for one another most of the time.
# Set before torch is imported, and for the processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
