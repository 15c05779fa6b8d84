"""Measures how long the commands take that read a space, and how fast its networks are counted, digested and costed.

    python benchmarks/space_speed.py [--checkout DIR] [--rounds N]

It times, on spaces of several kinds,

- ``explorer cost FILE#0``, ``sample FILE`` and ``space FILE``, each in a new process, start-up included;
- the count of distinct networks of a million derivations and more;
- index to cost and digest, for a CIFAR ResNet-56;
- for each shipped space, the cost of an Architecture and building with fvcore, on the same networks.

With ``--checkout``, the commands of another checkout are timed in turn with those of this one, so that both meet the
same load. All times are processor times (user and system), because other work on the machine lengthens wall time. Of
several rounds the median is printed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from cost_speed import counted_by_fvcore

from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.statistics import EXACT, count_networks
from explorer.networks.architecture import Architecture
from explorer.space.search_space import SearchSpace, load_space
from explorer.space.shipped import shipped_spaces
from explorer.system.environment import describe_environment

HERE = Path(__file__).parents[1]
LIMIT_SECONDS = 20  # of a command; it is ended then
LARGE = ("published/resnetv2.yaml", "se_dilation_bottleneck.yaml")
SECTIONS = """input: {input}
classes: 10
stem: conv3x3(32{stem}) bn relu
stages: {{blocks: depth, width: {width}, stride: {stride}}}
block: {block}
head: gap fc
grammar:
"""
BASIC = "conv3x3 bn relu conv3x3 bn + relu"
BOTTLENECK = "conv1x1(w*b) bn relu conv3x3(w*b, g=g) bn relu conv1x1 bn + relu"
IMAGENET = {"input": "3x224x224", "stem": ", s=2", "stride": "[2, 2, 2, 2]"}
CIFAR = {"input": "3x32x32", "stem": "", "stride": "[1, 2, 2, 2]"}
# Name -> the sections, the rules, and which rules vary by stage.
SPACES: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "AnyNetX-A": (
        {**IMAGENET, "width": "gw*g", "block": BOTTLENECK},
        {"gw": "range(8, 64, 8)", "g": "range(1, 16, 1)", "depth": "range(1, 16, 1)", "b": "1 | 1/2 | 1/4"},
        "gw g depth b",
    ),
    "AnyNetX-B, shared bottleneck and groups": (
        {**IMAGENET, "width": "width", "block": BOTTLENECK},
        {"width": "range(128, 1024, 128)", "depth": "range(1, 16, 1)", "b": "1 | 1/2 | 1/4", "g": "1 | 2 | 4 | 8 | 32"},
        "width depth",
    ),
    "widths as running sums, CIFAR": (
        {**CIFAR, "stride": "[1, 2, 2]", "width": "[w1, w1+d2, w1+d2+d3]", "block": BASIC},
        {"w1": "range(8, 128, 8)", "d2": "range(0, 128, 8)", "d3": "range(0, 128, 8)", "depth": "range(1, 8, 1)"},
        "depth",
    ),
    "widths as running sums, ImageNet": (
        {**IMAGENET, "width": "[w1, w1+d2, w1+d2+d3, w1+d2+d3+d4]", "block": BOTTLENECK},
        {"w1": "range(32, 512, 32)", **{f"d{k}": "range(0, 512, 32)" for k in (2, 3, 4)},
         "b": "1 | 1/2 | 1/4", "g": "1 | 2 | 4 | 8", "depth": "range(1, 16, 1)"},
        "depth",
    ),
    "four stages of width and depth": (
        {**CIFAR, "width": "width", "block": BASIC},
        {"width": "range(8, 512, 8)", "depth": "range(1, 16, 1)"},
        "width depth",
    ),
    "four choices in each block": (
        {**CIFAR, "width": "[16, 32, 64, 128]",
         "block": "conv1x1(w*b) norm act conv3x3(w*b, d=dil) norm act conv1x1 norm +"},
        {"b": "1/4 | 1/2 | 1 | 2", "norm": "bn | in_", "act": "relu | silu | gelu", "dil": "1 | 2",
         "depth": "range(1, 8, 1)"},
        "depth",
    ),
}  # fmt: skip
BY_BLOCK = {"b", "norm", "act", "dil"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="another checkout, to be timed in turn with this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", default="cost,sample,space", help="of these three, those to time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore traces with torch.jit
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    checkouts = [HERE, *([options.checkout] if options.checkout else [])]
    with tempfile.TemporaryDirectory() as folder:
        time_commands(Path(folder), checkouts, options.commands.split(","), options.rounds)
    for name in LARGE:
        count_all(load_space(name))
    from_index(options.rounds)
    for name in shipped_spaces():
        compare_with_fvcore(name, options.rounds)


def time_commands(folder: Path, checkouts: list[Path], commands: list[str], rounds: int) -> None:
    files = {"preact_variants": "preact_variants.yaml"}
    for number, (title, (sections, rules, by_stage)) in enumerate(SPACES.items()):
        file = folder / f"space{number}.yaml"
        vary = dict.fromkeys(by_stage.split(), "stage")
        if title == "four choices in each block":
            vary |= dict.fromkeys(BY_BLOCK, "block")
        lines = [*(f"  {rule}: {text}" for rule, text in rules.items()), "vary:"]
        lines += [f"  {rule}: {scope}" for rule, scope in vary.items()]
        file.write_text(SECTIONS.format(**sections) + "\n".join(lines) + "\n")
        files[title] = str(file)
    for title, file in files.items():
        for command in ([name, f"{file}#0" if name == "cost" else file] for name in commands):
            times: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
            for _ in range(rounds):
                for checkout in checkouts:
                    if not times[checkout] or times[checkout][-1] < LIMIT_SECONDS / 4:  # long ones are timed once
                        times[checkout].append(seconds_of([*command, "--json"], checkout))
            shown = ", ".join(f"{statistics.median(own):.2f} s" for own in times.values())
            print(f"{title}: {command[0]} {shown}", flush=True)


def seconds_of(command: list[str], checkout: Path) -> float:
    """Return the processor time of a command in a new process; the limit if it takes longer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [sys.executable, "-m", "explorer", *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS)),
    ) as child:
        child.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def count_all(space: SearchSpace) -> None:
    found: list[int] = []
    spent = seconds(lambda: found.append(count_networks(space, EXACT).networks))
    print(
        f"{space.name}: {found[0]:,} networks among {space.count():,} derivations, counted in {spent:.2f} s", flush=True
    )


def from_index(rounds: int) -> None:
    """Time index to cost and digest of a CIFAR ResNet-56, whose space was used before."""
    space = load_space("published/cifar_resnet.yaml")
    index = space.rank(space.named({"block": "basic", "option": "A", "attn": "none", "depth": "9"}))

    def once() -> tuple[str, int]:
        architecture = space.architecture(index)
        return architecture.digest, count_cost(architecture).macs

    first = seconds(once)
    times = [seconds(lambda: [once() for _ in range(200)]) / 200 for _ in range(max(5, rounds))]
    print(f"ResNet-56, index to cost and digest: {1e6 * statistics.median(times):.0f} us"
          f" ({1e6 * min(times):.0f} to {1e6 * max(times):.0f}); the first time {1e6 * first:.0f} us")  # fmt: skip


def compare_with_fvcore(name: str, rounds: int, draws: int = 100, built: int = 3) -> None:
    """Compare the cost of draws from a space, each costed once, with building some of them and counting with fvcore.

    In a space that was just loaded, a network shares blocks with those before it; one from a file shares none.
    """
    ratios: list[tuple[float, float]] = []
    for _ in range(rounds):
        space = load_space(name)
        networks = [space.architecture(derivation) for derivation in space.sample(draws)]
        few = networks[:built]
        counted_by_fvcore(few[0])
        count_cost(few[0])
        alone = [Architecture.from_json(network.to_json()) for network in few]
        by_fvcore = seconds(lambda made=few: [counted_by_fvcore(network) for network in made]) / built
        in_space = seconds(lambda made=networks: [count_cost(network) for network in made]) / draws
        from_file = seconds(lambda made=alone: [count_cost(network) for network in made]) / built
        ratios.append((by_fvcore / in_space, by_fvcore / from_file))
    in_space_ratio, from_file_ratio = (statistics.median(column) for column in zip(*ratios))
    ratios_text = (
        f"{in_space_ratio:,.0f} times as fast as fvcore, for a network from a file {from_file_ratio:,.0f} times"
    )
    print(f"{name}: cost is {ratios_text}", flush=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
