"""Measures how much faster costs are computed analytically than by building a network and counting with fvcore.

    python benchmarks/cost_speed.py

Three ways are timed on the same networks of each space: build and count with fvcore; the cost of an Architecture; and
derivation, digest and cost from an index. Times are sums over different networks. Each round times the three ways in
turn; the medians of the ratios are printed with their range. Then ``explorer atlas`` is timed on whole spaces, with one
thread. All times are processor times, because other work on the machine lengthens wall time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from fvcore.nn import FlopCountAnalysis

from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.table import write_atlas
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.space.search_space import SearchSpace, load_space
from explorer.system.environment import describe_environment

ATLASES = ("published/resnetv2.yaml", "se_dilation_bottleneck.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=12, help="networks of a space that are drawn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore traces with torch.jit
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    cifar = load_space("published/cifar_resnet.yaml")
    compare("CIFAR ResNet-20 32 44 56 110", cifar, [
        cifar.rank(cifar.named({"block": "basic", "option": option, "attn": "none", "depth": depth}))
        for option in "AB" for depth in ("3", "5", "7", "9", "18")
    ], options.rounds)  # fmt: skip
    for name in ("preact_variants.yaml", "published/resnetv2.yaml"):
        space = load_space(name)
        indices = list(dict.fromkeys(map(space.rank, space.sample(options.draws))))
        compare(f"{name}, {len(indices)} draws", space, indices, options.rounds)
    for name in ATLASES:
        atlas(name)


def compare(title: str, space: SearchSpace, indices: list[int], rounds: int) -> None:
    architectures = [space.architecture(index) for index in indices]
    assert len({architecture.digest for architecture in architectures}) > len(indices) / 2
    counted_by_fvcore(architectures[0])
    count_cost(architectures[0])
    times: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        # A new object, because an architecture caches its digest.
        fresh = [space.architecture(index) for index in indices]
        times.append((
            seconds(lambda: [counted_by_fvcore(architecture) for architecture in architectures]),
            seconds(lambda made=fresh: [count_cost(architecture) for architecture in made]),
            seconds(lambda: [from_index(space, index) for index in indices]),
        ))  # fmt: skip
    count = len(indices)
    fvcore, cost, index = (statistics.median(column) / count for column in zip(*times))
    print(
        f"{title}: fvcore {1e3 * fvcore:.1f} ms, cost {1e6 * cost:.0f} us, from an index {1e6 * index:.0f} us a network"
    )
    for what, ratios in (("cost", [a / b for a, b, _ in times]), ("from an index", [a / c for a, _, c in times])):
        print(f"    {what}: {statistics.median(ratios):,.0f} times ({min(ratios):,.0f} to {max(ratios):,.0f})")


def counted_by_fvcore(architecture: Architecture) -> float:
    network = build_network(architecture).eval()
    analysis = FlopCountAnalysis(network, torch.zeros(1, *architecture.input))
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def from_index(space: SearchSpace, index: int) -> tuple[str, int]:
    architecture = space.architecture(index)
    return architecture.digest, count_cost(architecture).macs


def atlas(name: str) -> None:
    space = load_space(name)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        written = write_atlas(space, Path(folder) / "atlas.parquet")
        spent = time.process_time() - started
    print(f"atlas of {name}: {written.rows:,} networks, {written.rows / spent:,.0f} a second with the file written"
          f" ({written.rows / written.seconds:,.0f} by the clock)")  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
