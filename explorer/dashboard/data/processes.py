"""The table of the processes that work on a study."""

from __future__ import annotations

import pandas

from explorer.dashboard.quantities import span_text
from explorer.dashboard.text import safe_text
from explorer.store.presence.status import StudyStatus


def process_rows(status: StudyStatus) -> pandas.DataFrame:
    """Return one row per training that runs, and one per process that runs none.

    Args:
        status: The state of the study.

    Returns:
        A table with the columns host, command, state, training, for (how long ago it began, or the last sign of life of
        a lost process was), device, cores and log.
    """
    rows = [
        {
            "host": safe_text(each.host, "cell"),
            "command": safe_text(each.command, "cell"),
            "state": each.state,
            "training": safe_text(each.training, "cell"),
            "for": span_text(max(0.0, status.moment - each.since)),
            "device": safe_text(each.device, "cell"),
            "cores": each.cores,
            "log": safe_text(each.log, "cell", length=1_000),
        }
        for each in status.workers
    ]
    return pandas.DataFrame(rows, columns=["host", "command", "state", "training", "for", "device", "cores", "log"])
