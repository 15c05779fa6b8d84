"""Trainings that share a GPU keep to their shares of its memory."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from explorer.study.workers import train_job as objective
from explorer.study.workers.jobs import Failure, Job, Outcome
from explorer.study.workers.pool import ProcessPool
from tests.study.training.digits import training


@pytest.mark.parametrize("side_by_side, share", [(1, 1.0), (3, 0.3)])
def test_trainings_that_share_a_gpu_keep_to_their_shares(monkeypatch, side_by_side, share):
    """Trainings that share a GPU split 90% of its memory, a single one may use all, and a CPU is not affected. torch
    takes the number of a GPU: "cuda" is the current one."""
    asked = []
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", lambda part, place: asked.append((part, place)))
    objective._limit_gpu_memory("cpu", side_by_side)
    assert not asked
    monkeypatch.setattr("torch.cuda.current_device", lambda: 5)
    for device in ("cuda:1", "cuda"):
        objective._limit_gpu_memory(device, side_by_side)
    assert [(round(part, 6), place) for part, place in asked] == [(share, 1), (share, 5)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_beyond_its_share_of_a_gpu_fails_alone(space, tmp_path):
    """On a GPU with very many shares the training runs out of memory; alone on the GPU it completes."""
    arch = space.architecture(3)
    job = Job(7, arch.digest, arch.to_json(), {}, seed=11)
    settings = training(epochs=1, artifacts=None, device="cuda")
    crowded = ProcessPool(replace(settings, side_by_side=100_000), 1, reused=True)
    roomy = ProcessPool(settings, 1, reused=True)
    try:
        for place, kind in ((crowded, Failure), (roomy, Outcome)):
            place.start(job)
            last, end = None, time.monotonic() + 120
            while not isinstance(last, (Failure, Outcome)) and time.monotonic() < end:
                for _, message in place.messages(0.2):
                    last = message
            assert isinstance(last, kind), last
            assert kind is Outcome or "out of memory" in last.reason
    finally:
        crowded.stop()
        roomy.stop()
