"""What sends the files of this machine to an object store."""

from __future__ import annotations

import json

import pytest

from explorer.store.remote import outbox as module
from explorer.store.remote.files import ObjectStore
from explorer.store.remote.outbox import Outbox
from explorer.store.remote.progress import epochs_of_checkpoint
from tests.polling import wait_until


def checkpoint(epochs: int) -> bytes:
    """Return the content of a checkpoint after a number of epochs."""
    header = json.dumps({"__metadata__": {"state": json.dumps({"curve": [{}] * epochs})}}).encode()
    return len(header).to_bytes(8, "little") + header


@pytest.fixture
def sending(place, tmp_path, monkeypatch):
    """A store, and an outbox of a folder, which looks often."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(module, "COPY_SECONDS", 0.1)
    store = ObjectStore(f"{place}/one")
    outbox = Outbox(store, tmp_path)
    yield store, outbox, tmp_path
    outbox.close()


def test_a_sent_file_is_there_and_no_longer_here(sending):
    """Weights are sent once and then removed here."""
    store, outbox, folder = sending
    (folder / "w.safetensors").write_bytes(b"weights")
    outbox.send("w.safetensors")
    outbox.close()
    assert store.read("w.safetensors") == b"weights" and not (folder / "w.safetensors").exists()


def test_a_watched_checkpoint_is_copied_when_it_changes(sending):
    """A checkpoint is copied while its training runs, also at the end, and removed with it."""
    store, outbox, folder = sending
    outbox.watch("a.checkpoint")
    for epochs in (1, 2):
        (folder / "a.checkpoint").write_bytes(checkpoint(epochs))
        wait_until(lambda epochs=epochs: store.read("a.checkpoint") == checkpoint(epochs))
    outbox.remove("a.checkpoint")
    wait_until(lambda: store.read("a.checkpoint") is None)
    assert not (folder / "a.checkpoint").exists()
    outbox.watch("b.checkpoint")
    (folder / "b.checkpoint").write_bytes(checkpoint(3))
    outbox.close()
    assert store.read("b.checkpoint") == checkpoint(3)


def test_the_checkpoint_with_more_epochs_is_used(sending):
    """A checkpoint of another machine replaces the one here if it is further, and only then."""
    store, outbox, folder = sending
    outbox.bring("a.checkpoint")
    assert not (folder / "a.checkpoint").exists()
    store.write("a.checkpoint", checkpoint(2))
    for here, used in ((None, 2), (1, 2), (3, 3)):
        if here is not None:
            (folder / "a.checkpoint").write_bytes(checkpoint(here))
        outbox.bring("a.checkpoint")
        assert epochs_of_checkpoint(folder / "a.checkpoint") == used
    assert epochs_of_checkpoint(b"") == epochs_of_checkpoint(b"x" * 30) == 0


def test_a_file_outlives_an_outage(s3, s3_server, tmp_path):
    """While the store is away a file waits here; it arrives when the store is back."""
    store = ObjectStore(s3)
    outbox = Outbox(store, tmp_path)
    s3_server.stop()
    try:
        (tmp_path / "w.safetensors").write_bytes(b"weights")
        outbox.send("w.safetensors")
        wait_until(lambda: outbox._failed)
        assert (tmp_path / "w.safetensors").exists()
    finally:
        s3_server.start()
    outbox.close()
    assert store.read("w.safetensors") == b"weights"


def test_a_file_that_cannot_be_sent_stays(s3, s3_server, tmp_path, monkeypatch, caplog):
    """The end of a search does not wait for ever: it names the folder that has the file."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.5)
    outbox = Outbox(ObjectStore(s3), tmp_path)
    s3_server.stop()
    try:
        (tmp_path / "w.safetensors").write_bytes(b"weights")
        outbox.send("w.safetensors")
        outbox.close()
    finally:
        s3_server.start()
    assert "1 files could not be sent yet" in caplog.text and str(tmp_path) in caplog.text
    assert (tmp_path / "w.safetensors").read_bytes() == b"weights"


def test_the_checkpoint_of_a_paused_training_is_sent_and_brought_back(sending):
    """It is sent when the training is paused, and not removed here if the training continues in between."""
    store, outbox, folder = sending
    file = folder / "a.checkpoint"
    outbox.watch(file.name)
    file.write_bytes(checkpoint(1))
    outbox.send(file.name)
    wait_until(lambda: store.read(file.name) == checkpoint(1) and not file.exists())
    outbox.bring(file.name)
    assert file.read_bytes() == checkpoint(1)
    with outbox._changed:  # before it is sent
        outbox.send(file.name)
        outbox.watch(file.name)
    outbox.close()
    assert file.exists() and store.read(file.name) == checkpoint(1)
