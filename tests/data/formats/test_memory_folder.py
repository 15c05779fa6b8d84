"""A data set in memory: below ``/dev/shm``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from explorer.data.dataset import load_data
from tests.data.layouts import class_folders


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="this machine has no /dev/shm to write to")
def test_a_folder_in_shared_memory_is_read():
    """Images below ``/dev/shm`` are read as anywhere else, although other folders below ``/dev`` are rejected."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        class_folders(Path(made) / "mine", classes=2)
        assert len(load_data(f"{made}/mine").test) == 4
