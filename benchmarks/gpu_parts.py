"""The parts of ``on_gpu.py``: each measures one thing with this project's own code, and notes results as they come.

A part runs in a process of its own. On a CPU (a rehearsal) it measures the same with small sizes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESNET20 = "published/cifar_resnet.yaml"  # index 0
RESNET18 = "published/kuangliu.yaml"  # index 0
TARGET = 0.94  # test accuracy on CIFAR-10
STOP_SECONDS = 20.0  # before the end of a part's time, in which a child process ends and its results are noted
Note = Callable[[str, Any], None]  # name and value, any JSON


@dataclass(frozen=True)
class Options:
    """What the parts measure on.

    Attributes:
        device: A device name from ``find_device``.
        data_dir: Folder of CIFAR-10; None without it.
        table: CSV file of published throughputs, as ``latency_ranking.py`` reads it; None without it.
        seconds: Time of the part.
        folder: An empty folder for files of the part.
        rehearsal: Whether sizes are small, to try the script on a CPU.
    """

    device: str
    data_dir: str | None
    table: str | None
    seconds: float
    folder: str
    rehearsal: bool


class Skipped(Exception):
    """The part cannot be measured here; the message says why."""


def environment(options: Options, note: Note) -> None:
    """The device and the versions."""
    from explorer.system.environment import describe_environment

    note("environment", asdict(describe_environment(options.device, threads=1)))
    if options.device == "cpu":
        return
    import torch

    properties = torch.cuda.get_device_properties(options.device)
    names = ("total_memory", "multi_processor_count", "L2_cache_size", "major", "minor")
    note("properties", {name: getattr(properties, name, None) for name in names})


def checks(options: Options, note: Note) -> None:
    """The tests that need a GPU."""
    files = ["tests/training", "tests/measure/test_cuda.py", "tests/study/training/test_gpu_memory.py"]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run([*command, *files], cwd=REPOSITORY, capture_output=True, text=True)
    note("status", done.returncode)
    note("output", done.stdout.strip().splitlines()[-40:])
    if done.returncode:
        raise RuntimeError(f"pytest ended with status {done.returncode}: {(done.stdout.splitlines() or [''])[-1]}")


def throughput(options: Options, note: Note) -> None:
    """Images a second of ResNet-20: a plain loop, this project without and with a CUDA graph, and 4 networks."""
    from train_throughput import BATCH, gpu_ways, measured

    from explorer.space.search_space import load_space

    architecture = load_space(RESNET20).architecture(0)
    rounds, steps, batch = (1, 1, 8) if options.rehearsal else (7, 40, BATCH)
    ways = gpu_ways(options.device)
    if options.rehearsal:  # two ways and one process are enough to try the rest
        ways = {name: ways[name] for name in ("GPU naive", "GPU bfloat16, graph")}
        ways = {name: (train, {**settings, "loaders": 0} if "loaders" in settings else settings, 1)
                for name, (train, settings, _) in ways.items()}  # fmt: skip
    note("data", "CIFAR-10" if options.data_dir else "noise of CIFAR-10's shape")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, list[float]] = {name: [] for name in ways}
    for name, rate, peak in measured(ways, architecture, options.data_dir, rounds, steps, batch=batch):
        rates[name].append(rate)
        peaks[name].append(peak)
        note("images_per_second", rates)
        note("FLOP/s of a matrix product", peaks)
        if len(rates[name]) == len(rates["GPU naive"]):
            ratios = [mine / naive for mine, naive in zip(rates[name], rates["GPU naive"])]
            note(f"{name}: ratio to the plain loop, median, least, most", [median(ratios), min(ratios), max(ratios)])


def epoch(options: Options, note: Note) -> None:
    """Seconds of an epoch of ResNet-20 with the recipe of searches, and the memory of the training."""
    _train(options, note, RESNET20, epochs=2 if options.rehearsal else 4)


def to_accuracy(options: Options, note: Note) -> None:
    """Seconds until ResNet-18 has 94% on CIFAR-10: twenty epochs of ``quick``, whose rate ends at 0."""
    test = _train(options, note, RESNET18, epochs=1 if options.rehearsal else 20)
    note("reached", test >= TARGET)


def _train(options: Options, note: Note, space: str, epochs: int) -> float:
    """Train a network as ``explorer train`` does, and return its test accuracy."""
    import torch

    from explorer.data.dataset import load_data
    from explorer.space.search_space import load_space
    from explorer.training.run import train_architecture

    if options.rehearsal:
        data, recipe = load_data("digits", subset=64), "quick_small"
    elif options.data_dir is None:
        raise Skipped("it needs CIFAR-10: --data-dir DIR")
    else:
        data, recipe = load_data("cifar10", options.data_dir), "quick"
    network = load_space(space).with_input(data.shape, data.classes).architecture(0)
    began, curve = time.perf_counter(), []

    def on_epoch(done: Any) -> None:
        elapsed = time.perf_counter() - began
        curve.append({"epoch": done.epoch, "seconds": done.seconds, "elapsed": elapsed, "val": done.val_accuracy})
        note("curve", curve)
        if done.val_accuracy >= TARGET and all(each["val"] < TARGET for each in curve[:-1]):
            note("seconds to 94% of the validation images", elapsed)

    note("training", {"network": space, "data": data.name, "recipe": recipe, "epochs": epochs, "seed": 0})
    trained = train_architecture(
        network, data, recipe=recipe, epochs=epochs, seed=0, device=options.device, on_epoch=on_epoch
    )
    result = trained.result
    note("seconds", result.seconds)
    note("median seconds of an epoch without the first", median([each["seconds"] for each in curve[1:] or curve]))
    note("images_per_second", result.images_per_second)
    note("precision", result.precision)
    note("test_accuracy", trained.test.accuracy)
    if options.device != "cpu":
        note("peak_memory_bytes", torch.cuda.max_memory_reserved(options.device))
    return trained.test.accuracy


def latency(options: Options, note: Note) -> None:
    """The spread and bias of the latency protocol and of other methods, over repeats in processes of their own."""
    from latency_repeatability import NETWORKS, one_repeat, spreads

    networks = (NETWORKS[0],) if options.rehearsal else (*NETWORKS, "published/resnet.yaml#0")
    asked = Namespace(networks=list(networks), batches=[1] if options.rehearsal else [1, 32])
    cases = [f"{name}, batch {batch}" for name in asked.networks for batch in asked.batches]
    answers: list[list[dict[str, float]]] = []
    time_scale = 0.02 if options.rehearsal else 1.0
    began = time.monotonic()
    while len(answers) < (1 if options.rehearsal else 20):
        started = time.monotonic()
        answers.append(one_repeat(asked, options.device, time_scale))
        note("milliseconds", [dict(zip(cases, answer)) for answer in answers])
        names = ("mean ms", "spread", "range", "bias")
        note("methods", {case: {method: dict(zip(names, values)) for method, values in found.items()}
                         for case, found in zip(cases, spreads(answers, answers))})  # fmt: skip
        if time.monotonic() + (time.monotonic() - started) > began + options.seconds - STOP_SECONDS:
            break


def energy(options: Options, note: Note) -> None:
    """Latency, joules an image, and peak memory of known networks, by the full protocol."""
    from explorer.cli.address import find_architecture
    from explorer.measure.child import measure_in_child
    from explorer.measure.settings import default_mode, make_settings

    names = [f"{RESNET20}#0"] if options.rehearsal else [f"{RESNET20}#0", f"{RESNET18}#0", "published/resnet.yaml#0"]
    batches, dtypes = ([1], ["float32"]) if options.rehearsal else ([1, 32, 256], ["float32", "bfloat16"])
    settings = make_settings(options.device, batches, dtypes, ["nchw"], [default_mode(options.device)])
    architectures = [find_architecture(name, "").architecture for name in names]
    found: list[dict[str, Any]] = []
    asked = [(name, str(setting)) for name in names for setting in settings]

    def on_latency(latency: Any) -> None:
        name, setting = asked[len(found)]
        fields = ("reported_ms", "ci95_ms", "joules_per_image", "peak_memory_bytes", "drift", "contended", "notes")
        found.append({"network": name, "setting": setting, **{field: getattr(latency, field) for field in fields}})
        note("latencies", found)

    scale = 0.02 if options.rehearsal else 1.0
    measure_in_child(architectures, settings, options.device, time_scale=scale, on_latency=on_latency)


def sharing(options: Options, note: Note) -> None:
    """How many trainings share the card: throughput of 1, 2, 4, ..., and the memory of one."""
    from explorer.space.search_space import load_space
    from explorer.study.workers.gpu_sharing import MEMORY_SHARE, measure_sharing, median_network
    from explorer.training.recipe import recipe

    space = load_space("preact_variants.yaml")
    network, chosen = median_network(space), "quick_small" if options.rehearsal else "quick"
    found = measure_sharing(network, recipe(chosen), options.device, "auto", most=2 if options.rehearsal else None)
    if found is None:
        raise RuntimeError("not even one training could be tried")
    note("network", network.digest)
    note("bytes of one training", found.memory.used)
    note("free bytes", found.memory.free)
    note("trainings that fit", int(MEMORY_SHARE * found.memory.free / found.memory.used) if found.memory.used else None)
    note("rounds_per_second", {str(count): rate for count, rate in found.rates.items()})
    note("chosen", found.chosen)


def ranking(options: Options, note: Note) -> None:
    """The rank correlation of measured with published throughputs."""
    if options.table is None:
        raise Skipped("it needs a table of published throughputs: --table FILE")
    from latency_ranking import correlations, measurable, networks, read_table

    from explorer.measure.child import measure_in_child
    from explorer.measure.settings import default_mode, make_settings

    published = read_table(Path(options.table))
    asked = measurable(published)
    batch, dtype = (1, "float32") if options.rehearsal else (256, "float16")
    settings = make_settings(options.device, [batch], [dtype], ["channels_last"], [default_mode(options.device)])
    found: dict[tuple[str, int], float] = {}

    def on_latency(latency: Any) -> None:
        found[asked[len(found)]] = latency.throughput
        note("images_per_second", {f"{name} {side}": rate for (name, side), rate in found.items()})
        note("spearman", correlations(published, found))

    scale = 0.02 if options.rehearsal else 0.3
    measure_in_child(networks(asked), settings, options.device, time_scale=scale, on_latency=on_latency)


def reproduce(options: Options, note: Note) -> None:
    """``explorer reproduce he2016-table2 --scale small`` in the time that is left; it keeps what is done."""
    if options.data_dir is None:
        raise Skipped("it needs CIFAR-10: --data-dir DIR")
    scale, workers = ("tiny", 1) if options.rehearsal else ("small", 4)
    output = Path(options.folder, "reproduce.json")
    command = [sys.executable, "-m", "explorer", "reproduce", "he2016-table2", "--scale", scale, "--json"]
    command += ["--workers", str(workers), "--device", options.device, "--data-dir", options.data_dir]
    command += ["--storage", f"sqlite:///{options.folder}/reproduce.db", "--plot", f"{options.folder}/curves.html"]
    note("command", " ".join(command[1:]))
    began = time.monotonic()
    with open(output, "w") as file, open(Path(options.folder, "reproduce.err"), "w+") as errors:
        child = subprocess.Popen(command, stdout=file, stderr=errors, cwd=REPOSITORY)
        try:
            child.wait(max(1.0, options.seconds - STOP_SECONDS))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)  # it stores what is done and prints the table
            child.wait()
        errors.seek(0)
        last = errors.read().strip().splitlines()[-1:]
    note("seconds", time.monotonic() - began)
    note("status", child.returncode)
    note("last line", last)
    if output.stat().st_size:
        import json

        note("table", json.loads(output.read_text()))
    elif child.returncode not in (0, 128 + signal.SIGINT, -signal.SIGINT):
        raise RuntimeError(f"explorer reproduce ended with status {child.returncode}: {last}")


# Name -> what measures, and its longest time in seconds, 500 together; the last takes what the others leave of 525.
PARTS: dict[str, tuple[Callable[[Options, Note], None], float]] = {
    "checks": (checks, 60.0),
    "throughput": (throughput, 60.0),
    "epoch": (epoch, 40.0),
    "to_accuracy": (to_accuracy, 110.0),
    "latency": (latency, 75.0),
    "energy": (energy, 45.0),
    "sharing": (sharing, 75.0),
    "ranking": (ranking, 35.0),
    "reproduce": (reproduce, float("inf")),
}
