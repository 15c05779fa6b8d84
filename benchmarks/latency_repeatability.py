"""Measures how much repeated latency measurements differ, for several methods in turn on the same networks.

    python benchmarks/latency_repeatability.py --repeats 10 --pause 30
    python benchmarks/latency_repeatability.py --device cuda --networks 'published/resnet.yaml#0'

Each repeat runs in its own process; during every second one, ``--load`` other processes compute on all cores. The
methods: this project's, torch.utils.benchmark (``adaptive_autorange``, median), triton's ``do_bench`` (median; only on
a GPU), and a plain loop like timm's ``benchmark.py`` (ten warm-ups, forty runs, the mean). All time the same inference
form with the same threads. ``spread``: standard deviation / mean of the repeats; ``range``: largest / smallest - 1;
``bias``: mean / smallest result of any method in a repeat without load - 1. Records of the output are in
``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from explorer.cli.address import find_architecture
from explorer.measure.child import KEEP_MEMORY, measure_in_child
from explorer.measure.fold import inference_form
from explorer.measure.settings import default_mode, make_settings
from explorer.networks.build import build_network
from explorer.system.environment import describe_environment, find_device

NETWORKS = ("published/cifar_resnet.yaml#depth=3,option=A", "preact_variants.yaml#5183", "preact_variants.yaml#10367")
LOAD = """
import torch
torch.set_num_threads(1)
x, weight = torch.randn(16, 64, 32, 32), torch.randn(64, 64, 3, 3)
while True:
    torch.conv2d(x, weight, padding=1)
"""


def main() -> None:
    options = read_options()
    if options.others:
        cases = [(name, batch) for name in options.networks for batch in options.batches]
        print(json.dumps([time_with_others(name, batch, options.device) for name, batch in cases]))
        return
    device = find_device(options.device)
    environment = describe_environment(device, threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    print(f"{options.repeats} repeats, {options.pause} s apart, every second one beside {options.load} other processes")
    cases = [f"{name}, batch {batch}" for name in options.networks for batch in options.batches]
    answers: list[list[dict[str, float]]] = []
    for repeat in range(options.repeats):
        if repeat:
            time.sleep(options.pause)
        load = options.load if repeat % 2 else 0
        others = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(load)]
        try:
            time.sleep(3 if others else 0)
            began = time.monotonic()
            answers.append(one_repeat(options, device))
        finally:
            for process in others:
                process.kill()
                process.wait()
        load_average = os.getloadavg()[0]
        seconds = time.monotonic() - began
        print(
            f"repeat {repeat + 1}: {load} other processes, load average {load_average:.1f}, {seconds:.0f} s", flush=True
        )
    report(cases, answers)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="ARCH")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32], metavar="N")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--pause", type=float, default=30, help="seconds between two repeats")
    parser.add_argument("--load", type=int, default=4, help="other processes in every second repeat")
    parser.add_argument(
        "--others", action="store_true", help="one repeat of the other methods, as JSON (used by itself)"
    )
    return parser.parse_args()


def one_repeat(options: argparse.Namespace, device: str, time_scale: float = 1.0) -> list[dict[str, float]]:
    """Return for each case: method -> milliseconds. ``time_scale`` is a factor on the time of this project's own."""
    architectures = [find_architecture(name, "").architecture for name in options.networks]
    settings = make_settings(device, options.batches, ["float32"], ["nchw"], [default_mode(device)])
    ours = measure_in_child(architectures, settings, device, time_scale=time_scale)
    command = [sys.executable, __file__, "--others", "--device", device]
    command += ["--networks", *options.networks, "--batches", *map(str, options.batches)]
    # The same allocator for all methods, so that only the timing differs.
    done = subprocess.run(command, env={**os.environ, **KEEP_MEMORY}, capture_output=True, text=True, check=True)
    others = json.loads(done.stdout)
    return [
        {"explorer": own.reported_ms, "explorer's median": own.median_ms, **rest} for own, rest in zip(ours, others)
    ]


def time_with_others(name: str, batch: int, device: str) -> dict[str, float]:
    """Return the milliseconds of each of the other methods."""
    from torch.utils.benchmark import Timer

    torch.set_num_threads(1)
    architecture = find_architecture(name, "").architecture
    network = inference_form(build_network(architecture)).module.to(device)
    x = torch.randn(batch, *architecture.input, device=device)
    with torch.inference_mode():
        timer = Timer("network(x)", globals={"network": network, "x": x}, num_threads=1)
        found = {"torch.utils.benchmark": 1e3 * timer.adaptive_autorange(min_run_time=0.5, max_run_time=4).median}
        if device != "cpu" and find_spec("triton"):
            from triton.testing import do_bench

            found["triton do_bench"] = do_bench(lambda: network(x), return_mode="median")
        found["plain loop, as timm"] = plain_loop(network, x, torch.cuda.synchronize if device != "cpu" else None)
    return found


def plain_loop(network: nn.Module, x: Tensor, synchronise: Callable[[], None] | None) -> float:
    """Return the mean of forty runs after ten warm-ups, in ms, with a synchronisation after each run."""
    total = 0.0
    for run in range(50):
        began = time.perf_counter()
        network(x)
        if synchronise:
            synchronise()
        total += (time.perf_counter() - began) * (run >= 10)
    return 1e3 * total / 40


def report(cases: list[str], answers: list[list[dict[str, float]]]) -> None:
    """Print the spread; ``answers`` has a list of cases for each repeat."""
    print(f"{'case':58} {'method':22} {'mean ms':>9} {'spread':>8} {'range':>8} {'bias':>8}")
    for case, methods in zip(cases, spreads(answers, answers[::2])):
        for method, (mean, spread, reach, bias) in methods.items():
            print(f"{case:58} {method:22} {mean:9.3f} {spread:8.1%} {reach:8.1%} {bias:8.1%}")
            case = ""


def spreads(
    answers: list[list[dict[str, float]]], undisturbed: list[list[dict[str, float]]]
) -> list[dict[str, tuple[float, float, float, float]]]:
    """Return for each case: method -> mean in ms, spread, range and bias, as above.

    Args:
        answers: A list of cases for each repeat.
        undisturbed: The repeats without load, of which the smallest result is what the bias is measured against.
    """
    found = []
    for place in range(len(answers[0])):
        least = min(min(repeat[place].values()) for repeat in undisturbed)
        methods = {}
        for method in answers[0][place]:
            values = [repeat[place][method] for repeat in answers]
            mean = sum(values) / len(values)
            deviation = (sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)) ** 0.5
            methods[method] = (mean, deviation / mean, max(values) / min(values) - 1, mean / least - 1)
        found.append(methods)
    return found


if __name__ == "__main__":
    main()
