"""A folder of class folders."""

from __future__ import annotations

import pytest

from tests.data.layouts import class_folders


@pytest.fixture
def mine(tmp_path):
    """Three classes of coloured images, 30 for training and 6 for test."""
    class_folders(tmp_path / "mine", classes=3)
    return tmp_path / "mine"
