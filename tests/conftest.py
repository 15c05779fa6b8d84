"""What holds for all tests."""

from __future__ import annotations

import os
from multiprocessing import forkserver

from explorer.study.children import PRELOADED

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests that run side by side have a core each: two threads of torch on one core wait for one another most of the
    # time. Set before torch is imported, and for the processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A process has one fork server, which knows what whoever starts it asks for. Started here for all that tests ask
    # of it, no trial imports torch for itself, and no writer the store, whichever test comes first.
    forkserver.set_forkserver_preload([*PRELOADED, "explorer.study.search", "tests.store.conftest"])
    forkserver.ensure_running()
