"""A killed training resumes bit-identically, and an incomplete checkpoint is not used."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from dataclasses import replace

import torch

from explorer.records import Epoch
from explorer.training import checkpoint
from explorer.training.checkpoint import Checkpoint
from tests.training import killed

CURVE = (Epoch(1, 2.0, 2.1, 0.25, 0.5, 0.1, 3.0),)


def tensors() -> dict[str, torch.Tensor]:
    values = {"weight": torch.arange(12.0).view(3, 4), "steps": torch.tensor(7), "half": torch.ones(2).bfloat16()}
    return {**values, "last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)}


def without_times(result):
    return [replace(epoch, seconds=0.0) for epoch in result.curve]


def test_a_killed_training_resumes_bit_identically(tmp_path, monkeypatch):
    """After two SIGKILLs, curve and weights equal those of an uninterrupted training."""
    for name in ("MIN_SECONDS", "TIME_FACTOR"):
        monkeypatch.setattr(checkpoint, name, getattr(checkpoint, name))  # ``killed`` sets them
    path = tmp_path / "training.checkpoint"
    context = multiprocessing.get_context("forkserver")
    for epoch in (2, 4):
        process = context.Process(target=killed.train, args=(path, epoch))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert [left.name for left in tmp_path.iterdir()] == [path.name]
    trained = []
    step = killed.train_network.__globals__["TrainingStep"].__call__
    monkeypatch.setattr("explorer.training.step.TrainingStep.__call__", lambda self: (trained.append(1), step(self))[1])
    resumed_net, resumed = killed.train(path)
    assert len(trained) == 2 * 6  # epochs 4 and 5, of 6 steps each: the earlier ones were not trained again
    net, undisturbed = killed.train(None)
    assert without_times(resumed) == without_times(undisturbed)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, resumed_net.state_dict()[name]), name


def test_a_checkpoint_restores_everything(tmp_path):
    """Tensors of any dtype and memory format, the curve and the seconds are restored."""
    kept = Checkpoint(tmp_path / "deep" / "x.checkpoint", "this")
    written = tensors()
    kept.write(written, CURVE, 12.5)
    found = {name: torch.zeros_like(tensor) for name, tensor in written.items()}
    assert Checkpoint(kept.path, "this").read(found) == (CURVE, 12.5)
    for name, tensor in written.items():
        assert torch.equal(found[name], tensor)
    assert found["last"].is_contiguous(memory_format=torch.channels_last)
    kept.remove()
    assert kept.read(found) is None
    kept.remove()


def test_a_checkpoint_of_another_training_is_not_used(tmp_path, caplog):
    """With another key or other names, shapes or dtypes nothing is read, the tensors stay unchanged, and a warning is
    logged."""
    kept = Checkpoint(tmp_path / "x.checkpoint", "this")
    kept.write(tensors(), CURVE, 1.0)
    other_shape = {**tensors(), "weight": torch.zeros(4, 3)}
    other_type = {**tensors(), "weight": torch.zeros(3, 4, dtype=torch.float64)}
    fewer = {"weight": torch.zeros(3, 4)}
    for training, into in (("that", tensors()), ("this", other_shape), ("this", other_type), ("this", fewer)):
        into["weight"].zero_()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert Checkpoint(kept.path, training).read(into) is None
        assert "belongs to another training" in caplog.text
        assert not into["weight"].any()


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    """A checkpoint that is truncated anywhere or has a flipped bit is not read, and the tensors stay unchanged."""
    kept = Checkpoint(tmp_path / "x.checkpoint", "this")
    kept.write(tensors(), CURVE, 1.0)
    whole = kept.path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 29)]
    for place in range(8, len(whole), 13):
        damaged.append(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
    read = 0
    for data in damaged:
        kept.path.write_bytes(data)
        into = {name: torch.zeros_like(tensor) for name, tensor in tensors().items()}
        if kept.read(into) is not None:
            read += 1
            assert torch.equal(into["weight"], tensors()["weight"])  # the flipped bit was a blank of the header
        else:
            assert not into["weight"].any()
    assert read == 0
    kept.path.write_bytes(whole)
    assert kept.read(tensors()) is not None


def test_a_full_disk_loses_only_the_checkpoint(tmp_path, monkeypatch, caplog):
    """If a checkpoint cannot be written, the training continues, the earlier checkpoint stays, and a warning is
    logged."""
    kept = Checkpoint(tmp_path / "x.checkpoint", "this")
    kept.write(tensors(), CURVE, 1.0)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with caplog.at_level(logging.WARNING):
        kept.write(tensors(), CURVE * 2, 2.0)
    assert "No space left on device" in caplog.text
    assert kept.read(tensors()) == (CURVE, 1.0)


def test_checkpoints_are_limited_to_a_share_of_the_time(tmp_path, monkeypatch):
    """The first checkpoint waits some seconds, and a slow one delays the next by fifty times its duration."""
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: now[0])
    kept = Checkpoint(tmp_path / "x.checkpoint", "this")
    assert not kept.is_due()
    now[0] = 4.9
    assert not kept.is_due()
    now[0] = 5.0
    assert kept.is_due()

    def slow(*args, **kwargs):
        now[0] += 1.0

    monkeypatch.setattr(checkpoint, "write_atomically", slow)
    kept.write(tensors(), CURVE, 5.0)
    now[0] = 55.9
    assert not kept.is_due()
    now[0] = 56.0
    assert kept.is_due()


def test_a_paused_training_continues_bit_identically(tmp_path):
    """A training that is stopped after some epochs, each time with a checkpoint, ends like one that was not; without
    ``pauses`` a stopped training leaves no checkpoint."""
    path, heard = tmp_path / "training.checkpoint", []
    for last in (1, 3, killed.EPOCHS):
        net, result = killed.pause(path, on_epoch=lambda epoch, last=last: heard.append(epoch) or epoch.epoch == last)
        assert result.epochs == last and path.exists()
    assert [epoch.epoch for epoch in heard] == [1, *range(1, 4), *range(1, killed.EPOCHS + 1)]
    assert heard[0] == heard[1] == heard[4]  # an earlier epoch is reported as it was measured
    undisturbed_net, undisturbed = killed.pause(None)
    assert without_times(result) == without_times(undisturbed)
    for name, tensor in undisturbed_net.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name]), name
    killed.pause(tmp_path / "other.checkpoint", on_epoch=lambda epoch: True, pauses=False)
    assert not (tmp_path / "other.checkpoint").exists()
