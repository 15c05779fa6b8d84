"""What a measuring process runs: it answers for ``explorer.measure.child``.

Standard input: one JSON request; standard output: one JSON line for each latency, as it is measured.
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
    """Answer one request."""
    request = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print, torch at its import too, must not stand between the answers

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
    except Exception as error:  # torch's own, as when the device's memory is too small
        said = (str(error).strip().splitlines() or [""])[0]
        answers.write(json.dumps({"error": f"{type(error).__name__}: {said}", "failed": True}) + "\n")
