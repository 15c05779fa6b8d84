"""Measures what latencies gain if trainings wait: the same networks, timed in three ways in turn.

    python benchmarks/latency_while_training.py --repeats 10 --workers 2

``--workers`` processes train all the time. ``waiting``: the measurement holds the device's lock, so they wait between
two steps; ``training on``: it holds no lock, so they continue; ``alone``: they are stopped (SIGSTOP). Each repeat has
all three ways, in rotating order. ``spread``: standard deviation / mean of the repeats; ``range``: largest / smallest -
1; ``bias``: mean / mean of ``alone`` - 1; ``contended``: number of measurements that detected other work. Records of
the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

from explorer.cli.address import find_architecture
from explorer.measure.child import measure_in_child
from explorer.measure.result import Latency
from explorer.measure.settings import default_mode, make_settings
from explorer.system.device_lock import measuring
from explorer.system.environment import describe_environment, find_device

NETWORKS = ("published/cifar_resnet.yaml#depth=3,option=A", "preact_variants.yaml#5183")
TRAINER = """
import sys, explorer
space = explorer.load_space("preact_variants.yaml").with_input((1, 16, 16), 10)
told = lambda epoch: epoch.epoch == 1 and print("training", flush=True)
explorer.train(space.architecture(5183), "cluttered-digits", epochs=10**5, device=sys.argv[1], threads=1, on_epoch=told)
"""
Trainers = Sequence["subprocess.Popen[str]"]


def main() -> None:
    options = read_options()
    device = find_device(options.device)
    settings = make_settings(device, options.batches, ["float32"], ["nchw"], [default_mode(device)])
    architectures = [find_architecture(name, "").architecture for name in options.networks]
    environment = describe_environment(device, threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    print(f"{options.repeats} repeats beside {options.workers} trainings")
    cases = [f"{name}, batch {setting.batch}" for name in options.networks for setting in settings]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # a lock that no other search on this machine waits for
        with trainers(options.workers, device) as training:
            measure = partial(measure_in_child, architectures, settings, device, time_scale=options.time_scale)
            report(cases, answers(measure, device, options.repeats, training))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="ARCH")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32], metavar="N")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2, help="trainings beside the measurements")
    parser.add_argument("--time-scale", type=float, default=1.0, help="factor on the measuring time")
    return parser.parse_args()


@contextmanager
def trainers(count: int, device: str) -> Iterator[Trainers]:
    """Yield processes that train, each after its first epoch."""
    command = [sys.executable, "-c", TRAINER, device]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for process in started:
            if process.stdout is None or process.stdout.readline() != "training\n":
                sys.exit("a training ended before it had begun")
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def stopped(processes: Trainers) -> Iterator[None]:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def answers(
    measure: Callable[[], list[Latency]], device: str, repeats: int, training: Trainers
) -> dict[str, list[list[Latency]]]:
    """Return for each way a list of cases for each repeat."""
    ways: dict[str, Callable] = {
        "alone": partial(stopped, training),
        "waiting": partial(measuring, device),
        "training on": nullcontext,
    }
    found: dict[str, list[list[Latency]]] = {way: [] for way in ways}
    for repeat in range(repeats):
        order = [*ways, *ways][repeat % len(ways) :][: len(ways)]
        for way in order:
            with ways[way]():
                found[way].append(measure())
        print(f"repeat {repeat + 1}: load average {os.getloadavg()[0]:.1f}", flush=True)
    return found


def report(cases: list[str], found: dict[str, list[list[Latency]]]) -> None:
    """Print the results; ``found`` has for each way a list of cases for each repeat."""
    columns = f"{'mean ms':>9} {'spread':>8} {'range':>8} {'bias':>8} {'median ms':>10} {'contended':>10}"
    print(f"{'case':58} {'trainings':12} {columns}")
    for place, case in enumerate(cases):
        alone = statistics.mean(repeat[place].reported_ms for repeat in found["alone"])
        for way, repeats in found.items():
            values = [repeat[place].reported_ms for repeat in repeats]
            mean = statistics.mean(values)
            spread = statistics.stdev(values) / mean if len(values) > 1 else 0.0
            median = statistics.mean(repeat[place].median_ms for repeat in repeats)
            contended = sum(repeat[place].contended for repeat in repeats)
            figures = f"{mean:9.3f} {spread:8.1%} {max(values) / min(values) - 1:8.1%} {mean / alone - 1:8.1%}"
            print(f"{case:58} {way:12} {figures} {median:10.3f} {contended:7} / {len(values)}")
            case = ""


if __name__ == "__main__":
    main()
