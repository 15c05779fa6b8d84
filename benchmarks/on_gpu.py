"""Measures on a GPU, in one command of at most nine minutes, what needs one, and writes a dated record.

    python benchmarks/on_gpu.py --data-dir DIR --table benchmark-infer.csv     all parts, CIFAR-10 and published rates
    python benchmarks/on_gpu.py --only throughput energy                       some parts
    python benchmarks/on_gpu.py --rehearse --out DIR                           all parts on the CPU with small sizes

Parts: checks (the tests that need a GPU), throughput (a plain loop, this project, CUDA graph, several networks), epoch,
to_accuracy (seconds to 94%), latency (spread and bias of the protocol), energy (also latency and peak memory), sharing
(trainings on one card and their memory), ranking (against published throughputs), reproduce (he2016-table2 at scale
small, in the time that is left).

Each part runs in a process of its own and has its own time. After each part, and while it runs, the results so far are
in ``on_gpu_DEVICE_DATE.json``: a part that fails or runs out of time keeps what it had. At the end they are also in a
record of the same name, ``.md``. Exit status: 0, or 1 if a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpu_parts import PARTS, Options, Skipped, environment

from explorer.system.environment import find_device
from explorer.system.files import write_atomically

RECORDS = Path(__file__).resolve().parent / "records"
GRACE_SECONDS = 10.0  # between asking a part to end and killing it
LEAST_SECONDS = 15.0  # with less time left a part is not begun
SKIP_STATUS = 77  # of the process of a part that cannot be measured


def main() -> int:
    asked = read_options()
    if asked.part:
        return run_part(asked.part, Options(**json.loads(asked.options)), Path(asked.results))
    device = "cpu" if asked.rehearse else find_device("auto")
    if device == "cpu" and not asked.rehearse:
        raise SystemExit("no GPU was found; --rehearse tries the script on the CPU")
    chosen = [name for name in PARTS if name in (asked.only or PARTS) and name not in asked.skip]
    results: dict[str, Any] = {
        "device": device,
        "rehearsal": asked.rehearse,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv[1:]),
        "load average at the start": os.getloadavg(),
        "parts": {},
    }
    end = time.monotonic() + 60 * asked.minutes
    target = asked.out
    try:
        for name in ["environment", *chosen]:
            left = end - time.monotonic()
            longest = min(left, 60.0 if name == "environment" else asked.seconds.get(name, PARTS[name][1]))
            results["parts"][name] = part = {"status": "running", "seconds": 0.0, "results": {}}
            if left < LEAST_SECONDS:
                part["status"] = "not begun: no time was left"
            else:
                measure(name, asked, device, longest, part, lambda: save(target, results))
            save(target, results)
            print(f"{name}: {part['status']}, {part['seconds']:.0f} s", flush=True)
    finally:  # also after Ctrl-C
        write_atomically(file_of(target, results, ".md"), record(results).encode())
        print(f"{file_of(target, results, '.md')} and .json")
    return int(any(part["status"].startswith("failed") for part in results["parts"].values()))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", metavar="DIR", help="folder of CIFAR-10")
    parser.add_argument("--table", metavar="FILE", help="published throughputs, as latency_ranking.py reads them")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help="measure only these parts")
    parser.add_argument("--skip", nargs="+", choices=PARTS, default=[], metavar="PART", help="leave these parts out")
    parser.add_argument("--minutes", type=float, default=8.75, help="time of all parts; 8.75 by default")
    parser.add_argument(
        "--seconds", type=part_seconds, action=Merged, default={}, metavar="PART=S", nargs="+",
        help="the longest time of a part, in place of its own",
    )  # fmt: skip
    parser.add_argument("--rehearse", action="store_true", help="measure small sizes on the CPU, to try the script")
    parser.add_argument("--out", type=Path, default=RECORDS, metavar="DIR", help="folder of the results")
    for own in ("--part", "--options", "--results"):  # of the process of one part
        parser.add_argument(own, default="", help=argparse.SUPPRESS)
    return parser.parse_args()


class Merged(argparse.Action):
    """Collect pairs in a dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **dict(values)})


def part_seconds(text: str) -> tuple[str, float]:
    """Parse PART=S."""
    name, _, seconds = text.partition("=")
    if name not in PARTS or not re.fullmatch(r"\d+(\.\d+)?", seconds):
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=SECONDS; the parts are {', '.join(PARTS)}")
    return name, float(seconds)


def measure(
    name: str, asked: argparse.Namespace, device: str, longest: float, part: dict[str, Any], on_change: Any
) -> None:
    """Run a part in a process of its own and copy its results as they come.

    Args:
        name: The part.
        asked: The options of the command line.
        device: The device.
        longest: Seconds after which the process is ended.
        part: Where the status, the seconds and the results are written.
        on_change: Called when ``part`` has changed.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results, log = Path(folder, "results.json"), Path(folder, "log.txt")
        files = Path(folder, "files")
        files.mkdir()
        options = Options(device, asked.data_dir, asked.table, longest, str(files), asked.rehearse)
        command = [sys.executable, __file__, "--part", name, "--results", str(results)]
        with open(log, "wb") as errors:
            process = subprocess.Popen(
                [*command, "--options", json.dumps(asdict(options))],
                stdout=errors, stderr=errors, start_new_session=True,
            )  # fmt: skip
            seen, timed_out = b"", False
            try:
                while process.poll() is None:
                    if time.monotonic() > began + longest:
                        timed_out = True
                        end_group(process)
                        break
                    time.sleep(0.1)
                    if results.exists() and (now := results.read_bytes()) != seen:
                        seen = now
                        part["results"], part["seconds"] = json.loads(now), time.monotonic() - began
                        on_change()
            finally:
                end_group(process)
        if results.exists():
            part["results"] = json.loads(results.read_bytes())
        part["seconds"] = time.monotonic() - began
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
        if timed_out:
            part["status"] = f"out of time after {longest:.0f} s; what it had is kept"
        elif process.returncode == SKIP_STATUS:
            part["status"] = f"skipped: {last[0]}"
        elif process.returncode:
            part["status"] = f"failed with status {process.returncode}: {last[0][:300]}"
            part["log"] = log.read_text(errors="replace").splitlines()[-40:]
        else:
            part["status"] = "complete"


def end_group(process: subprocess.Popen) -> None:
    """End a process with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def run_part(name: str, options: Options, results: Path) -> int:
    """Measure one part in this process, and write its results to a file after each change."""
    found: dict[str, Any] = {}

    def note(key: str, value: Any) -> None:
        found[key] = value
        write_atomically(results, json.dumps(found).encode())

    part = environment if name == "environment" else PARTS[name][0]
    try:
        part(options, note)
    except Skipped as why:
        print(why, file=sys.stderr)
        return SKIP_STATUS
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def file_of(folder: Path, results: dict[str, Any], suffix: str) -> Path:
    """Return the file of the results: its name has the device and the date, and says if it is a rehearsal."""
    found = results["parts"].get("environment", {}).get("results", {}).get("environment", {})
    kind = re.sub(r"\W+", "_", found.get("device_name", results["device"])).strip("_").lower()
    what = "on_gpu_rehearsal" if results["rehearsal"] else "on_gpu"
    moment = results["began"][:16].replace("T", "_").replace(":", "")  # with the minute: a day has several runs
    return folder / f"{what}_{kind}_{moment}{suffix}"


def save(folder: Path, results: dict[str, Any]) -> None:
    """Write the results so far in one step."""
    if results["parts"]["environment"]["status"] != "running":  # before, the file has no name yet
        write_atomically(file_of(folder, results, ".json"), (json.dumps(results, indent=1) + "\n").encode())


def record(results: dict[str, Any]) -> str:
    """Return the record: the device, and of each part the status and the results."""
    found = results["parts"]["environment"]["results"].get("environment", {})
    title = "Rehearsal on a CPU, with small sizes: no figure of a GPU" if results["rehearsal"] else "Measured on a GPU"
    lines = [f"# {title}", ""]
    versions = ", ".join(f"{name} {version}" for name, version in found.get("versions", {}).items())
    lines.append(f"{results['began']}. `python benchmarks/on_gpu.py {results['command']}`. Device:")
    lines.append(
        f"{results['device']}, {found.get('device_name', 'unknown')}; {found.get('platform', '')}; {versions}."
    )
    lines += ["", "| part | status | seconds |", "|---|---|---|"]
    parts = {name: part for name, part in results["parts"].items() if name != "environment"}
    lines += [f"| {name} | {part['status']} | {part['seconds']:.0f} |" for name, part in parts.items()]
    for name, part in parts.items():
        if part["results"]:
            lines += ["", f"## {name}", "", PARTS[name][0].__doc__ or "", ""]
            lines += [f"- {key}: {shown(value)}" for key, value in part["results"].items()]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """Return a result as text, numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "; ".join(f"{key} {shown(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
