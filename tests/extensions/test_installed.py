"""The look at the files of installed packages, before their entry points are read."""

import sys
import zipfile
from importlib.machinery import PathFinder
from importlib.metadata import entry_points

import pytest

from explorer.extensions.installed import is_named

GROUP = "explorer.ops"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is the only one in which packages are sought, without finders that other packages add."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing")])
    own = [finder for finder in sys.meta_path if finder is PathFinder or not hasattr(finder, "find_distributions")]
    monkeypatch.setattr(sys, "meta_path", own)
    return tmp_path


@pytest.mark.parametrize(("points", "expected"), [(f"[{GROUP}]\nown = own:Op\n", True), ("[explorer.others]\n", False)])
@pytest.mark.parametrize("kind", ["own-1.0.dist-info", "own.egg-info"])
def test_a_package_with_the_group_is_found(folder, kind, points, expected):
    """A group is found exactly if importlib.metadata has entry points of it."""
    (folder / kind).mkdir()
    (folder / kind / "entry_points.txt").write_text(points)
    (folder / kind / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    assert is_named(GROUP) is expected
    assert bool(entry_points(group=GROUP)) is expected


def test_what_is_no_folder_is_left_to_importlib(folder, monkeypatch):
    """With an archive on the path, or a finder of another tool, the entry points themselves are read."""
    (folder / "plain-1.0.dist-info").mkdir()
    assert not is_named(GROUP)
    with zipfile.ZipFile(folder / "own.zip", "w") as archive:
        archive.writestr("own.py", "")
    sys.path.append(str(folder / "own.zip"))
    assert is_named(GROUP)
    sys.path.pop()

    class Finder:
        @staticmethod
        def find_distributions(context):
            return []

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert is_named(GROUP)
