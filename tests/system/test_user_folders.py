"""The user's folders are where XDG says, in a folder of the explorer's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from explorer.system.user_folders import user_cache, user_data


def test_named_by_the_environment(monkeypatch, tmp_path):
    """XDG_CACHE_HOME and XDG_DATA_HOME name the folders that they hold."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert user_cache("precision") == tmp_path / "cache" / "explorer" / "precision"
    assert user_data("predictors") == tmp_path / "data" / "explorer" / "predictors"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_below_the_home_folder(monkeypatch):
    """Unless the environment names them they are ~/.cache and ~/.local/share on Linux, where earlier versions put
    them."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert user_cache("measuring") == Path.home() / ".cache" / "explorer" / "measuring"
    assert user_data("data") == Path.home() / ".local" / "share" / "explorer" / "data"
