"""A training on made-up images, to see how fast it goes and what memory it takes."""

from __future__ import annotations

import itertools
import time

import numpy as np
import torch

from explorer.data.dataset import Dataset
from explorer.data.splits import Split
from explorer.networks.architecture import Architecture
from explorer.records import Epoch
from explorer.study.workers.jobs import Job, Outcome, Rehearsal, Report
from explorer.training.augment import draw_epoch
from explorer.training.batches import Images
from explorer.training.device import AUTO, autocast, process_settings
from explorer.training.precision import choose_precision
from explorer.training.run import build_for_training
from explorer.training.step import ReplayedStep, TrainingStep, capture_cuda_graph, make_optimiser

STEPS = 8  # in a round
CONTEXT_BYTES = 600e6  # that CUDA takes for a process, beside its tensors


def rehearse(rehearsal: Rehearsal, job: Job, report: Report) -> Outcome:
    """Trains as a trial would, and tells of every round."""
    architecture, recipe = Architecture.from_json(job.architecture, job.digest), rehearsal.recipe
    data = made_up_images(architecture, STEPS * recipe.batch_size)
    net = build_for_training(architecture, recipe, job.seed)
    with process_settings(rehearsal.device, threads=1) as place:
        net.to(place, memory_format=torch.channels_last).train()
        precision = rehearsal.precision
        if precision == AUTO:
            precision = choose_precision(net, tuple(data.shape), data.classes, recipe.batch_size, place)
        images = Images(data.train, data, place)
        step = TrainingStep(net, make_optimiser(net, recipe), images, recipe, data.shift, autocast(place, precision))
        take_step = ReplayedStep(step, capture_cuda_graph) if place.type == "cuda" else step
        for number in itertools.count(1) if rehearsal.rounds is None else range(1, rehearsal.rounds + 1):
            began = time.perf_counter()
            step.begin_epoch(draw_epoch(data, recipe, STEPS, recipe.batch_size, job.seed, number), [0.0] * STEPS)
            for _ in range(STEPS):
                take_step()
            loss = step.losses().mean().item()
            report(Epoch(number, loss, loss, 0.0, 0.0, 0.0, time.perf_counter() - began))
        used, free = 0.0, 0.0
        if place.type == "cuda":
            free = torch.cuda.mem_get_info(place)[0] + torch.cuda.memory_reserved(place) + CONTEXT_BYTES
            used = torch.cuda.max_memory_reserved(place) + CONTEXT_BYTES
    return Outcome({"used": used, "free": free})


def made_up_images(architecture: Architecture, count: int) -> Dataset:
    """Noise of the network's input shape, every class in turn."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, *architecture.input), dtype=np.uint8)
    split = Split(pixels, np.arange(count, dtype=np.int64) % architecture.classes)
    channels = architecture.input.channels
    mean, std = (0.5,) * channels, (0.25,) * channels
    return Dataset(
        "made-up images", architecture.input, architecture.classes, split, split, split, mean, std, 0, False, {}
    )
