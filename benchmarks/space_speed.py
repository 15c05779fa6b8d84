"""Measures how long the commands take that read a space, and how fast its networks are counted, digested and costed.

    python benchmarks/space_speed.py [--checkout DIR] [--rounds N]

It times, on the spaces of several kinds in ``large_spaces.py``,

- ``explorer cost FILE#0``, ``sample FILE`` and ``space FILE``, each in a new process, start-up included;
- the count of distinct networks of a million derivations and more;
- index to cost and digest, for a CIFAR ResNet-56;
- for each shipped space, the cost of an Architecture and building with fvcore, on the same networks.

With ``--checkout``, the commands of another checkout are timed in turn with those of this one, so that both meet the
same load. All times are processor times (user and system), because other work on the machine lengthens wall time. Of
several rounds the median is printed. Modules are compiled before, as on a machine that used the explorer before, also
if PYTHONDONTWRITEBYTECODE is set: compiling them takes as long as a command.
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
from large_spaces import LARGE_SPACES

from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.statistics import EXACT, count_networks
from explorer.networks.architecture import Architecture
from explorer.space.search_space import SearchSpace, load_space
from explorer.space.shipped import shipped_spaces
from explorer.system.environment import describe_environment

HERE = Path(__file__).parents[1]
LIMIT_SECONDS = 20  # of a command; it is ended then
LARGE = ("published/resnetv2.yaml", "se_dilation_bottleneck.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="another checkout, to be timed in turn with this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", default="cost,sample,space", help="of these three, those to time")
    parser.add_argument("--spaces", default="", help="time the commands on the spaces whose names contain this text")
    parser.add_argument("--only-commands", action="store_true", help="leave out the other parts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore traces with torch.jit
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    checkouts = [HERE, *([options.checkout] if options.checkout else [])]
    with tempfile.TemporaryDirectory() as folder:
        time_commands(Path(folder), checkouts, options.commands.split(","), options.rounds, options.spaces)
    if options.only_commands:
        return
    for name in LARGE:
        count_all(load_space(name))
    from_index(options.rounds)
    for name in shipped_spaces():
        compare_with_fvcore(name, options.rounds)


def time_commands(folder: Path, checkouts: list[Path], commands: list[str], rounds: int, part: str) -> None:
    files = {"preact_variants": "preact_variants.yaml"}
    for checkout in checkouts:
        seconds_of(["space", "preact_variants.yaml", "--json"], checkout, folder)
    for number, (title, space) in enumerate(LARGE_SPACES.items()):
        file = folder / f"space{number}.yaml"
        file.write_text(space.text)
        files[title] = str(file)
    for title, file in files.items():
        if part not in title:
            continue
        for command in ([name, f"{file}#0" if name == "cost" else file] for name in commands):
            times: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
            for _ in range(rounds):
                for checkout in checkouts:
                    if not times[checkout] or times[checkout][-1] < LIMIT_SECONDS / 4:  # long ones are timed once
                        times[checkout].append(seconds_of([*command, "--json"], checkout, folder))
            shown = ", ".join(f"{statistics.median(own):.2f} s" for own in times.values())
            print(f"{title}: {command[0]} {shown}", flush=True)


def seconds_of(command: list[str], checkout: Path, folder: Path) -> float:
    """Return the processor time of a command in a new process; the limit if it takes longer.

    Compiled modules are kept in ``folder``.
    """
    own = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [sys.executable, "-m", "explorer", *command],
        cwd=checkout,
        env={**os.environ, **own, "PYTHONDONTWRITEBYTECODE": ""},
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
