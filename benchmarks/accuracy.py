"""Trains known networks on real images and compares their test accuracies with the expected ones.

    python benchmarks/accuracy.py quick --data-dir DIR        ResNet-20 on CIFAR-10, ten epochs of 'quick': at least 80%
    python benchmarks/accuracy.py fast --data-dir DIR         'fast', several seeds: accuracy and time, beside 'quick'
    python benchmarks/accuracy.py precision --data-dir DIR    bfloat16 and float32, several seeds each
    python benchmarks/accuracy.py published --data-dir DIR    he2016 on a GPU: ResNet-20, and 110 layers in two orders

Every training writes a checkpoint to ``--checkpoints``. The same command resumes it, so a long training can be stopped
with Ctrl-C. Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import torch

from explorer.data.dataset import Dataset, load_data
from explorer.networks.architecture import Architecture
from explorer.space.search_space import load_space
from explorer.system.environment import describe_environment
from explorer.training.recipe import default_training
from explorer.training.run import Trained, train_architecture


def main() -> None:
    options = read_options()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    environment = describe_environment(device, options.threads)
    with open("/proc/loadavg") as file:
        load = " ".join(file.read().split()[:3])
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}", end="; ")
    print(f"{options.threads} threads, load average {load} at the start", flush=True)
    {"quick": quick, "fast": fast, "precision": precision, "published": published}[options.part](options, device)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("quick", "fast", "precision", "published"))
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir")
    parser.add_argument("--subset", type=int, help="images, for 'precision'; all by default")
    parser.add_argument(
        "--epochs", type=int, help="10 for 'quick', its default for 'fast', 4 for 'precision', 164 for 'published'"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--checkpoints", type=Path, default=Path("explorer.artifacts"))
    return parser.parse_args()


def quick(options: argparse.Namespace, device: str) -> None:
    """Train ResNet-20 with the recipe of searches."""
    data = load_data(options.data, options.data_dir)
    resnet20 = member("cifar_resnet", data)
    trained = train("ResNet-20", resnet20, data, "quick", options.epochs or 10, 0, device, "auto", options)
    test = percent(trained)
    verdict = "reached" if test >= 80 else "MISSED"
    print(f"test {test:.2f}%; at least 80% expected on CIFAR-10 after 10 epochs: {verdict}")


def fast(options: argparse.Namespace, device: str) -> None:
    """Train ResNet-20 with `fast`, and compare its seconds with those of ten epochs of `quick`, of which one is run."""
    data = load_data(options.data, options.data_dir, subset=options.subset)
    resnet20 = member("cifar_resnet", data)
    one = train("ResNet-20", resnet20, data, "quick", 1, 0, device, "auto", options)
    epochs = options.epochs or default_training("cifar10")[1]
    found = [
        train("ResNet-20", resnet20, data, "fast", epochs, seed, device, "auto", options)
        for seed in range(options.seeds)
    ]
    tests, seconds = [percent(trained) for trained in found], [trained.result.seconds for trained in found]
    ratio = 10 * one.result.seconds / mean(seconds)
    print(f"test accuracy: {summary(tests)}; seconds: {summary(seconds)}")
    print(f"ten epochs of `quick`, from one: {10 * one.result.seconds:.0f} s, {ratio:.2f} times as long")


def precision(options: argparse.Namespace, device: str) -> None:
    """Run the same trainings in both precisions."""
    data = load_data(options.data, options.data_dir, subset=options.subset)
    resnet20 = member("cifar_resnet", data)
    found: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for seed in range(options.seeds):
        for name, tests in found.items():
            trained = train("ResNet-20", resnet20, data, None, options.epochs or 4, seed, device, name, options)
            tests.append(percent(trained))
    for name, tests in found.items():
        print(f"{name}: {summary(tests)}")
    differences = [b - a for a, b in zip(*found.values(), strict=True)]
    print(f"bfloat16 less float32, seed by seed: {summary(differences)} points")


def published(options: argparse.Namespace, device: str) -> None:
    """Train with the full recipe of the papers: 64,000 iterations, hours without a GPU."""
    if device == "cpu":
        print("not measured: no GPU")
        return
    data = load_data(options.data, options.data_dir)
    networks = {
        "ResNet-20 (91.0 to 92.8 expected)": member("cifar_resnet", data),
        "ResNet-110, original order": member("cifar_resnet", data, depth="18"),
        "ResNet-110, full pre-activation": member("cifar_preact_resnet", data, depth="18"),
    }
    for name, architecture in networks.items():
        tests = [
            percent(train(name, architecture, data, "he2016", options.epochs or 164, seed, device, "auto", options))
            for seed in range(options.seeds)
        ]
        print(f"{name}: {summary(tests)}")


def member(family: str, data: Dataset, **choices: str) -> Architecture:
    """Return a published network. Choices that are not given have their first alternative: ResNet-20 with option A."""
    space = load_space(f"published/{family}.yaml").with_input(data.shape, data.classes)
    return space.architecture(space.named(choices))


def train(
    name: str, architecture: Architecture, data: Dataset, recipe: str | None, epochs: int, seed: int, device: str,
    precision: str, options: argparse.Namespace,
) -> Trained:  # fmt: skip
    """Train a network, print its results and return them."""
    key = f"{architecture.digest}-{data.fingerprint['sha256']}-{recipe}-{epochs}-{seed}-{device}-{precision}"
    began = time.process_time()
    trained = train_architecture(
        architecture, data, recipe=recipe, epochs=epochs, seed=seed, device=device, threads=options.threads,
        precision=precision, checkpoint=options.checkpoints / f"{key}.checkpoint",
        on_epoch=lambda epoch: print(f"  epoch {epoch.epoch}: {100 * epoch.val_accuracy:.2f}%", file=sys.stderr),
    )  # fmt: skip
    result, test = trained.result, percent(trained)
    print(
        f"{name}, {data.name}, {epochs} epochs of {trained.recipe.name}, seed {seed}, {result.precision}: "
        f"test {test:.2f}%, validation {100 * result.val_accuracy:.2f}%, {result.seconds:.0f} s, "
        f"{result.images_per_second:.0f} images/s, {time.process_time() - began:.0f} CPU-seconds of this run",
        flush=True,
    )
    return trained


def percent(trained: Trained) -> float:
    """Return the test accuracy in percent."""
    return 100 * trained.test.accuracy


def summary(values: list[float]) -> str:
    """Return mean, standard deviation, number of values, and half the 95% interval of the mean of several values."""
    if len(values) < 2:
        return f"{values[0]:.2f} (one seed)"
    deviation = stdev(values)
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}.get(len(values), 2.1)
    half = t * deviation / len(values) ** 0.5
    return f"{mean(values):.2f} +- {half:.2f} (95% interval; standard deviation {deviation:.2f}, {len(values)} seeds)"


if __name__ == "__main__":
    main()
