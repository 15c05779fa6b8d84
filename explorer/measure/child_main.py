"""The main function of the process that ``explorer.measure.child`` starts.

It reads one JSON request from standard input. It writes one JSON line to standard output for each latency, as soon as
it is measured.
"""

from __future__ import annotations

import json
import os
import sys

from explorer.errors import ExplorerError
from explorer.measure.protocol import MeasurementFailed
from explorer.measure.settings import Setting
from explorer.networks.architecture import Architecture


def main() -> None:
    """Run the measurements of one request; write an error as a JSON line with ``error`` and ``failed``."""
    request = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print, as torch does at its import, goes to standard error

    from explorer.measure.latency import measure_architectures

    try:
        for latency in measure_architectures(
            [Architecture.from_json(text) for text in request["architectures"]],
            [Setting(**setting) for setting in request["settings"]],
            request["device"],
            request["threads"],
            request["cores"],
            request["time_scale"],
        ):
            answers.write(json.dumps(latency.to_dict()) + "\n")
    except ExplorerError as error:
        answers.write(json.dumps({"error": str(error), "failed": isinstance(error, MeasurementFailed)}) + "\n")
    except Exception as error:  # torch's errors, for example out of memory
        first_line = (str(error).strip().splitlines() or [""])[0]
        answers.write(json.dumps({"error": f"{type(error).__name__}: {first_line}", "failed": True}) + "\n")
