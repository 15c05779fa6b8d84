"""Copies of databases of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.migrations.earlier import copy


@pytest.fixture(params=["version_1", "version_1_full"])
def each(request, tmp_path) -> Path:
    """A copy of each database."""
    return copy(request.param, tmp_path)


@pytest.fixture
def full(tmp_path) -> Path:
    """A copy of the database that has facts of every kind."""
    return copy("version_1_full", tmp_path)
