"""The user's folders follow XDG, in a folder of the explorer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from explorer.system.user_folders import user_cache, user_data


def test_named_by_the_environment(monkeypatch, tmp_path):
    """XDG_CACHE_HOME and XDG_DATA_HOME set the parent folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert user_cache("precision") == tmp_path / "cache" / "explorer" / "precision"
    assert user_data("predictors") == tmp_path / "data" / "explorer" / "predictors"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_below_the_home_folder(monkeypatch, platform):
    """By default the folders are in ~/.cache and ~/.local/share, on Linux and macOS."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    script = (
        f"import sys; sys.platform = {platform!r}\n"
        "from explorer.system.user_folders import user_cache, user_data\n"
        "print(user_cache('measuring'), user_data('data'), sep='\\n')"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        str(Path.home() / ".cache" / "explorer" / "measuring"),
        str(Path.home() / ".local" / "share" / "explorer" / "data"),
    ]
