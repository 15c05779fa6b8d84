"""Compares the ranking of published networks by measured latency with that by published throughput.

    python benchmarks/latency_ranking.py --table throughputs.csv --device cuda --batch 256 --dtype float16

The table is a CSV file with the columns name, img_size (the side), samples_per_sec, and for the measurement device,
mode (only ``infer`` is read), precision, layout and torch, as in timm's ``results/benchmark-infer-*.csv``. The networks
of the table that ``search_spaces/published`` contains at the same side are measured in turns. For each kind of
measurement in the table, Spearman's rank correlation of throughputs is printed. Results on a CPU do not predict the
agreement on a GPU. Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the table of published networks is in the tests

from explorer.errors import ExplorerError
from explorer.measure.child import measure_in_child
from explorer.measure.settings import default_mode, make_settings
from explorer.networks.architecture import Architecture
from explorer.system.environment import describe_environment, find_device
from tests.published.networks import FURTHER, ROWS, member

COLUMNS = ("name", "img_size", "samples_per_sec", "device", "mode", "precision", "layout", "torch")
Network = tuple[str, int]  # name and side of the image
FEWEST = 3  # with fewer networks no rank correlation is printed


def main() -> None:
    options = read_options()
    published = read_table(options.table)
    asked = [key for key in measurable(published) if not options.networks or key[0] in options.networks]
    if len(asked) < FEWEST:
        raise SystemExit(f"{options.table}: {len(asked)} of its networks can be measured; at least {FEWEST} are needed")
    device = find_device(options.device)
    settings = make_settings(
        device, [options.batch], [options.dtype], [options.layout], [options.mode or default_mode(device)]
    )
    print(f"{describe_environment(device, threads=1).device_name}, {settings[0]}, {len(asked)} networks")
    if device == "cpu":
        print("measured on a CPU: how these ranks agree with a GPU's is no check of the ranking on a GPU")
    latencies = measure_in_child(networks(asked), settings, device, time_scale=options.patience)
    measured = {key: latency.throughput for key, latency in zip(asked, latencies)}
    print(f"contended: {sum(latency.contended for latency in latencies)} of {len(latencies)}")
    for (name, side), rate in sorted(measured.items(), key=lambda item: item[1]):
        print(f"  {name:24} {side:4} {rate:12,.1f} images/s")
    for way, (found, count) in correlations(published, measured).items():
        print(f"{way}: Spearman {found:.3f} over {count} networks")


def measurable(published: dict[str, dict[Network, float]]) -> list[Network]:
    """Return the networks of a table that ``search_spaces/published`` contains."""
    known = {(row.name, row.side) for row in [*ROWS, *FURTHER]}
    return sorted({network for rates in published.values() for network in rates} & known)


def networks(asked: list[Network]) -> list[Architecture]:
    """Return the architectures of networks of ``measurable``."""
    rows = {(row.name, row.side): row for row in [*ROWS, *FURTHER]}
    return [member(rows[key]) for key in asked]


def correlations(
    published: dict[str, dict[Network, float]], measured: dict[Network, float]
) -> dict[str, tuple[float, int]]:
    """Return kind of measurement -> Spearman's correlation of throughputs, and the number of networks."""
    found = {}
    for way, rates in sorted(published.items()):
        common = [key for key in measured if key in rates]
        if len(common) >= FEWEST:
            rho = spearmanr([rates[key] for key in common], [measured[key] for key in common]).statistic
            found[way] = (float(rho), len(common))
    return found


def read_table(path: Path) -> dict[str, dict[Network, float]]:
    """Return kind of measurement -> (name, side) -> images per second, the fastest if a network has several rows."""
    ways: dict[str, dict[Network, float]] = defaultdict(dict)
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        if missing := [name for name in COLUMNS if rows and name not in rows[0]]:
            raise SystemExit(f"{path}: the columns {', '.join(missing)} are missing; it has {', '.join(rows[0])}")
        for row in rows:
            if row["mode"] == "infer":
                way = ", ".join(row[name] for name in ("device", "precision", "layout", "torch"))
                key, rate = (row["name"], int(row["img_size"])), float(row["samples_per_sec"])
                ways[way][key] = max(rate, ways[way].get(key, 0.0))
    except OSError as error:
        raise SystemExit(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SystemExit(f"{path}: not a table of throughputs: {error}") from None
    return ways


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="published throughputs, CSV")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--layout", default="nchw")
    parser.add_argument("--mode", help="the device's default unless named")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="only these of the table's")
    parser.add_argument("--patience", type=float, default=1.0, help="below 1: sooner and less exact")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except ExplorerError as error:
        raise SystemExit(str(error)) from None
