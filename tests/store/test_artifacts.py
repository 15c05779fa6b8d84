"""Where a study's files lie."""

from __future__ import annotations

import pytest

from explorer.files import write_whole
from explorer.store.artifacts import artifacts_folder
from explorer.store.lease import new_worker
from explorer.store.writer import Ending, StudyWriter
from tests.store.conftest import make_study, proposal


@pytest.mark.parametrize("name", ["one", "../../etc/passwd", "/abs", "..", ".", "a/../b", "x" * 200, "Größe", "   a"])
def test_a_studys_folder_lies_beside_its_database(name, tmp_path):
    """Whatever the study's name, its folder lies directly in the artifacts' folder, and no other study has it."""
    folder = artifacts_folder(tmp_path / "x.db", name)
    assert folder.parent == tmp_path / "explorer.artifacts" and folder == folder.resolve()
    assert artifacts_folder(tmp_path / "x.db", name + "!") != folder


def test_weights_are_found_while_they_are_kept(url):
    """A trial's weights are its file; None once the file is gone, and for a trial that kept none."""
    writer = StudyWriter(make_study(url), new_worker())
    writer.begin(0, proposal("a"))
    path = writer.study.artifacts / "v1-a.safetensors"
    digest = write_whole(path, lambda p: p.write_bytes(b"weights"))
    writer.finish(0, Ending("complete", {"accuracy": 1.0, "macs": 1.0}, weights=digest))
    assert writer.study.weights(writer.study.trial(0)) == path
    writer.begin(1, proposal("b"))
    path.with_name("v1-b.safetensors").write_bytes(b"another's")
    writer.finish(1, Ending("complete", {"accuracy": 1.0, "macs": 1.0}))
    assert writer.study.weights(writer.study.trial(1)) is None
    path.unlink()
    assert writer.study.weights(writer.study.trial(0)) is None
    writer.study.database.close()
