"""Compares the training throughput of this project with that of a plain training loop, in images per second.

    python benchmarks/train_throughput.py --data-dir DIR

ResNet-20 on CIFAR-10 (noise of its shape without the data), batches of 128. The ways of training take turns, so that
other load affects all of them, and each round gives one ratio. Printed are medians with their range, the ratio to the
plain loop, and the arithmetic of the model (3 x 2 x MACs per image) as a share of the measured matrix product rate.
``--one-core`` counts images per second of processor time on one thread, which hardly depends on other load. Records of
the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from explorer.costs.analytic import count_cost
from explorer.data.dataset import Dataset, load_data
from explorer.errors import DataError
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.space.search_space import load_space
from explorer.study.workers.throughput_probe import synthetic_images
from explorer.system.cores import usable_cores
from explorer.system.environment import describe_environment
from explorer.training.augment import draw_epoch
from explorer.training.batches import Images
from explorer.training.cpu.layers import fast_layers
from explorer.training.device import autocast, freed_memory_kept, process_settings
from explorer.training.recipe import recipe
from explorer.training.sgd import SGD
from explorer.training.step import ReplayedStep, TrainingStep, capture_cuda_graph

SPACE = "published/cifar_resnet.yaml"  # its index 0 is ResNet-20, shortcut option A
BATCH = 128
Rounds = Iterator[tuple[float, float]]  # seconds of ``steps`` training steps: by the clock, of the processor
Ways = dict[str, tuple[Callable[..., Rounds], dict, int]]  # name -> what trains, its settings, processes at once


def main() -> None:
    options = read_options()
    architecture = load_space(SPACE).architecture(0)
    environment = describe_environment("cpu")
    with open("/proc/loadavg") as file:
        load = " ".join(file.read().split()[:3])
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}", end="; ")
    print(f"{usable_cores()} cores, load average {load} at the start")
    macs = count_cost(architecture).macs
    print(f"ResNet-20, {macs:,} MACs, batch {BATCH}; {options.rounds} rounds of {options.steps} steps, ways in turn\n")
    if options.one_core:
        compare(one_core_ways(), "naive, one thread", architecture, options)
        return
    compare(cpu_ways(usable_cores()), "naive, 2 loaders", architecture, options)
    if not torch.cuda.is_available():
        print("\nGPU: not measured")
        return
    print(f"\n{torch.cuda.get_device_name()}")
    compare(gpu_ways(), "GPU naive", architecture, options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--one-core", action="store_true", help="processor time of one thread: for a busy machine")
    parser.add_argument("--steps", type=int, default=12, help="training steps in a round")
    return parser.parse_args()


def one_core_ways() -> Ways:
    cpu = {"threads": 1, "device": "cpu"}
    return {
        "naive, one thread": (naive, {"loaders": 0, **cpu}, 1),
        "ours, float32": (ours, {"precision": "float32", **cpu}, 1),
        "ours, bfloat16": (ours, {"precision": "bfloat16", **cpu}, 1),
    }


def cpu_ways(cores: int) -> Ways:
    return {
        "naive, no loaders": (naive, {"loaders": 0, "threads": cores, "device": "cpu"}, 1),
        "naive, 2 loaders": (naive, {"loaders": 2, "threads": cores, "device": "cpu"}, 1),
        "one network, float32": (ours, {"threads": cores, "device": "cpu", "precision": "float32"}, 1),
        "one network, bfloat16": (ours, {"threads": cores, "device": "cpu", "precision": "bfloat16"}, 1),
        "search, float32": (ours, {"threads": 1, "device": "cpu", "precision": "float32"}, cores),
        "search, bfloat16": (ours, {"threads": 1, "device": "cpu", "precision": "bfloat16"}, cores),
    }


def gpu_ways(device: str = "cuda") -> Ways:
    gpu = {"threads": 1, "device": device}
    return {
        "GPU naive": (naive, {"loaders": 2, **gpu}, 1),
        "GPU bfloat16, no graph": (ours, {"precision": "bfloat16", "graph": False, **gpu}, 1),
        "GPU bfloat16, graph": (ours, {"precision": "bfloat16", **gpu}, 1),
        "GPU 4 networks": (ours, {"precision": "bfloat16", **gpu}, 4),
    }


def compare(ways: Ways, reference: str, architecture: Architecture, options: argparse.Namespace) -> None:
    """Run the ways in turns and print a table."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, list[float]] = {name: [] for name in ways}
    for name, rate, peak in measured(
        ways, architecture, options.data_dir, options.rounds, options.steps, options.one_core
    ):
        rates[name].append(rate)
        peaks[name].append(peak)
    flops = 6 * count_cost(architecture).macs
    print("| way | images/s: median (least to most) | ratio: median (least to most) | of a matrix product's rate |")
    print("|---|---|---|---|")
    for name, found in rates.items():
        ratios = [mine / naive for mine, naive in zip(found, rates[reference], strict=True)]
        share = median(rate * flops / peak for rate, peak in zip(found, peaks[name], strict=True))
        print(f"| {name} | {spread(found, '.0f')} | {spread(ratios, '.2f')} | {100 * share:.0f}% |")
    if options.one_core:
        return
    print("\nepoch of 45,000 images, seconds: ", end="")
    print(", ".join(f"{name} {45_000 / median(found):.3g}" for name, found in rates.items()))


def measured(
    ways: Ways, architecture: Architecture, data_dir: str | None, rounds: int, steps: int, one_core: bool = False,
    batch: int = BATCH,
) -> Iterator[tuple[str, float, float]]:  # fmt: skip
    """Run the ways in turns; yield for each turn the way, its images/s and the FLOP/s of a matrix product."""
    context = multiprocessing.get_context("spawn")
    processes, pipes = [], {train: [] for train, _, _ in ways.values()}
    # The loops do not share processes: ours changes how the C library keeps memory, which lasts.
    for train in pipes:
        for number in range(max(count for each, _, count in ways.values() if each is train)):
            mine, theirs = context.Pipe()
            arguments = (ways, architecture.to_json(), data_dir, steps, batch, number, theirs)
            processes.append(context.Process(target=serve, args=arguments))  # no daemon: those have no data loaders
            processes[-1].start()
            theirs.close()  # else the end of a process that fails is not seen
            pipes[train].append(mine)
            mine.recv()  # it has loaded its data

    def ask(name: str, what: str) -> list[tuple[float, float]]:
        train, _, count = ways[name]
        several = pipes[train][:count]
        for pipe in several:
            pipe.send((name, what))
        return [pipe.recv() for pipe in several]

    try:
        for name in ways:  # the first steps do not count
            ask(name, "round")
        for _ in range(rounds):
            for name in ways:
                seconds = [taken[one_core] for taken in ask(name, "round")]
                rate = len(seconds) * steps * batch / max(seconds)
                yield name, rate, sum(peak[one_core] for peak in ask(name, "peak"))
    finally:
        for pipe in itertools.chain(*pipes.values()):
            pipe.close()  # the end of its process
        for process in processes:
            process.join()


def spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def serve(
    ways: Ways, architecture: str, data_dir: str | None, steps: int, batch: int, number: int, pipe: Connection
) -> None:
    """Run in a process of its own: execute rounds or matrix products on request."""
    made = Architecture.from_json(architecture)
    data = load(made, data_dir, steps * batch)
    begun: dict[str, Rounds] = {}
    pipe.send("ready")
    while True:
        try:
            name, what = pipe.recv()
        except EOFError:
            return
        train, settings, _ = ways[name]
        torch.set_num_threads(settings["threads"])
        if what == "peak":
            pipe.send(matrix_rate(settings["device"], settings.get("precision", "float32")))
            continue
        if name not in begun:
            begun[name] = train(made, data, steps=steps, batch=batch, seed=number, **settings)
        pipe.send(next(begun[name]))


def load(architecture: Architecture, data_dir: str | None, images: int) -> Dataset:
    try:
        return load_data("cifar10", data_dir, subset=10_000)
    except DataError:
        return synthetic_images(architecture, max(images, 64 * BATCH))


def ours(
    architecture: Architecture, data: Dataset, *, steps: int, batch: int, seed: int, threads: int, device: str,
    precision: str, graph: bool = True,
) -> Rounds:  # fmt: skip
    """Train as ``train_network`` does, without validation."""
    settings = recipe("quick")
    place = torch.device(device)
    net = build_network(architecture, seed).to(place, memory_format=torch.channels_last).train()
    images = Images(data.train, data, place)
    step = TrainingStep(net, SGD(net, settings), images, settings, data.shift, autocast(place, precision))
    take_step = ReplayedStep(step, capture_cuda_graph) if graph and place.type == "cuda" else step
    for epoch in range(1, 1_000_000):
        with process_settings(device, threads), freed_memory_kept(), fast_layers(net):
            began = now()
            step.begin_epoch(draw_epoch(data, settings, steps, batch, seed, epoch), [0.01] * steps)
            for _ in range(steps):
                take_step()
            step.losses()
            taken = since(began)
        yield taken


class PerImage(torch.utils.data.Dataset):
    """Crop, flip and normalise one image at a time, as torchvision's transforms do."""

    def __init__(self, data: Dataset):
        self.images = [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in data.train.images]
        self.labels = data.train.labels.tolist()
        self.mean = torch.tensor(data.mean).view(-1, 1, 1)
        self.std = torch.tensor(data.std).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        width, height = image.size
        padded = Image.new(image.mode, (width + 8, height + 8))
        padded.paste(image, (4, 4))
        left, top = torch.randint(0, 9, (2,)).tolist()
        image = padded.crop((left, top, left + width, top + height))
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return (pixels - self.mean) / self.std, self.labels[index]


def naive(
    architecture: Architecture, data: Dataset, *, steps: int, batch: int, seed: int, threads: int, device: str,
    loaders: int,
) -> Rounds:  # fmt: skip
    """The loop of most tutorials: per-image transforms, DataLoader, float32, channels first."""
    net: nn.Module = build_network(architecture, seed).to(device).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    loader = torch.utils.data.DataLoader(
        PerImage(data), batch, shuffle=True, num_workers=loaders, drop_last=True, persistent_workers=loaders > 0,
        pin_memory=device != "cpu",
    )  # fmt: skip

    def batches():
        while True:
            yield from loader

    endless = batches()
    while True:
        began = now()
        for _ in range(steps):
            images, labels = next(endless)
            images, labels = images.to(device), labels.to(device)
            optimiser.zero_grad()
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimiser.step()
            loss.item()
        yield since(began)


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - began[0], time.process_time() - began[1]


def matrix_rate(device: str, precision: str) -> tuple[float, float]:
    """Return the highest FLOP/s of a square matrix product with this process's threads, by wall and processor time."""
    side = 1024 if device == "cpu" else 8192
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    taken = []
    for _ in range(6):
        began = now()
        (a @ b)[0, 0].item()
        taken.append(since(began))
    return tuple(2 * side**3 / min(seconds) for seconds in zip(*taken))


if __name__ == "__main__":
    main()
