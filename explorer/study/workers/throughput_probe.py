"""A training on synthetic images, to measure its throughput and memory."""

from __future__ import annotations

import itertools
import time

import numpy as np
import torch

from explorer.data.dataset import Dataset
from explorer.data.splits import Split
from explorer.networks.architecture import Architecture
from explorer.records import Epoch
from explorer.study.workers.jobs import Job, Outcome, Report, ThroughputProbe
from explorer.training.augment import draw_epoch, greatest_shift
from explorer.training.batches import Images
from explorer.training.device import AUTO, autocast, process_settings
from explorer.training.precision import choose_precision
from explorer.training.run import build_for_training
from explorer.training.sgd import make_optimiser
from explorer.training.step import ReplayedStep, TrainingStep, capture_cuda_graph

STEPS = 8  # training steps in a round: few, so that a measurement of seconds has many rounds
CONTEXT_BYTES = 600e6  # memory that CUDA takes for a process in addition to tensors


def run_probe(probe: ThroughputProbe, job: Job, report: Report) -> Outcome:
    """Train like a trial, and report each round as an epoch.

    Args:
        probe: Recipe, device and precision.
        job: The network to train.
        report: Called after each round.

    Returns:
        ``used``: device memory of this process; ``free``: device memory that is free without it. Bytes; 0 on a CPU.
    """
    architecture, recipe = Architecture.from_json(job.architecture, job.digest), probe.recipe
    data = synthetic_images(architecture, STEPS * recipe.batch_size)
    net = build_for_training(architecture, recipe, job.seed)
    with process_settings(probe.device, threads=1) as place:
        net.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch annotates no memory_format
        net.train()
        precision = probe.precision
        if precision == AUTO:
            precision = choose_precision(net, data.shape, data.classes, recipe.batch_size, place)
        images = Images(data.train, data, place)
        step = TrainingStep(
            net, make_optimiser(net, recipe), images, recipe, greatest_shift(data, recipe), autocast(place, precision)
        )
        take_step = ReplayedStep(step, capture_cuda_graph) if place.type == "cuda" else step
        for number in itertools.count(1) if probe.rounds is None else range(1, probe.rounds + 1):
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


def synthetic_images(architecture: Architecture, count: int) -> Dataset:
    """Return a data set of random pixels.

    Args:
        architecture: The network, with its input shape and number of classes.
        count: Number of images; their classes are 0, 1, 2, ... in turn.
    """
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, *architecture.input), dtype=np.uint8)
    split = Split(pixels, np.arange(count, dtype=np.int64) % architecture.classes)
    channels = architecture.input.channels
    mean, std = (0.5,) * channels, (0.25,) * channels
    return Dataset(
        "synthetic images", architecture.input, architecture.classes, split, split, split, mean, std, 0, False, {}
    )
