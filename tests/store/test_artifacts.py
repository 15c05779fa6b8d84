"""The folder of a study's files."""

from __future__ import annotations

import pytest

from explorer.store.artifacts import artifacts_folder, weights_file
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.writer import StudyWriter
from explorer.system.files import write_whole
from tests.store.conftest import make_study, proposal


@pytest.mark.parametrize("name", ["one", "../../etc/passwd", "/abs", "..", ".", "a/../b", "x" * 200, "Größe", "   a"])
def test_a_studys_folder_lies_beside_its_database(name, tmp_path):
    """Any study name has its own folder directly in the artifacts folder."""
    folder = artifacts_folder(tmp_path / "x.db", name, 1.5)
    assert folder.parent == tmp_path / "explorer.artifacts" and folder == folder.resolve()
    assert artifacts_folder(tmp_path / "x.db", name + "!", 1.5) != folder


def test_equal_study_names_in_two_databases_share_no_file(tmp_path):
    """Studies with the same name and network in two databases of one folder have separate weights, also after
    reopening."""
    first, second = (StudyWriter(make_study(f"sqlite:///{tmp_path}/{name}.db"), "elsewhere:1:1:ab") for name in "ab")
    assert first.study.artifacts != second.study.artifacts
    assert make_study(f"sqlite:///{tmp_path}/a.db").artifacts == first.study.artifacts
    for writer, weights in ((first, b"first"), (second, b"second")):
        writer.begin(0, proposal("a"))
        path = weights_file(writer.study.artifacts, "v1-a")
        digest = write_whole(path, lambda p, weights=weights: p.write_bytes(weights))
        writer.finish(0, Ending("complete", {"accuracy": 1.0, "macs": 1.0}, weights=digest))
    for writer, weights in ((first, b"first"), (second, b"second")):
        assert writer.study.weights(writer.study.trial(0)).read_bytes() == weights
        writer.study.database.close()


def test_weights_are_returned_while_their_file_exists(url):
    """A trial's weights are a path, or None if the file is removed or was never kept."""
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
