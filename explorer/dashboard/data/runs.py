"""Tables of a search: which worker ran which trial when, leases, throughput, and growth of the hypervolume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

import pandas

from explorer.analysis.pareto import hypervolume
from explorer.dashboard.text import safe_text
from explorer.records import Environment, Lease, TrialRecord

RATE_SECONDS = 600.0  # window of the throughput


def timeline(records: Iterable[TrialRecord], now: float | None = None) -> pandas.DataFrame:
    """Return one row per trial that was trained, by lane and start.

    Args:
        records: The trials. Cached and rejected ones are left out.
        now: Time at which running trials are cut, in seconds since the epoch; the present time by default.

    Returns:
        A table with the columns trial, state, start and end (seconds since the first trial started), and lane: one row
        of a chart, ``worker 1``, with ``worker 1 (2)`` for trials that the same worker ran at the same time.
    """
    moment = time.time() if now is None else now
    spans = sorted(
        (
            (record.started, moment if record.finished is None else record.finished, record)
            for record in records
            if record.started is not None and record.state not in ("cached", "rejected")
        ),
        key=lambda span: (span[0], span[2].number),
    )
    began = spans[0][0] if spans else 0.0
    names: dict[str, str] = {}
    free: dict[str, list[float]] = {}
    rows = []
    for start, end, record in spans:
        name = names.setdefault(record.worker, f"worker {len(names) + 1}")
        lanes = free.setdefault(name, [])
        place = next((k for k, until in enumerate(lanes) if until <= start), len(lanes))
        lanes[place : place + 1] = [end]
        lane = name if place == 0 else f"{name} ({place + 1})"
        rows.append((record.number, record.state, start - began, max(end, start) - began, lane))
    table = pandas.DataFrame(rows, columns=["trial", "state", "start", "end", "lane"])
    return table.sort_values(["lane", "start"], ignore_index=True)


def trials_per_hour(records: Iterable[TrialRecord], now: float | None = None) -> float:
    """Return the throughput of the last ``RATE_SECONDS``: complete and stopped trials per hour."""
    moment = time.time() if now is None else now
    ended = [r for r in records if r.state in ("complete", "stopped") and (r.finished or 0.0) > moment - RATE_SECONDS]
    return len(ended) * 3600 / RATE_SECONDS


def lease_rows(leases: Iterable[Lease], records: Iterable[TrialRecord], now: float | None = None) -> pandas.DataFrame:
    """Return one row per trial that is running or waits to be resumed.

    Args:
        leases: The leases.
        records: The trials.
        now: Seconds since the epoch; the present time by default.

    Returns:
        A table with the columns trial, status, worker (the present or the last one), attempt, minutes (since it
        started) and lease left (s).
    """
    moment = time.time() if now is None else now
    started = {record.number: record.started for record in records}
    rows = []
    for lease in leases:
        left = math.nan if lease.until is None else lease.until - moment
        start = started.get(lease.number)
        rows.append(
            {
                "trial": lease.number,
                "status": "waiting for a worker" if lease.until is None else "running" if left > 0 else "lease expired",
                "worker": safe_text(lease.worker, "cell"),
                "attempt": lease.attempt,
                "minutes": math.nan if start is None else (moment - start) / 60,
                "lease left (s)": left,
            }
        )
    columns = ["trial", "status", "worker", "attempt", "minutes", "lease left (s)"]
    return pandas.DataFrame(rows, columns=columns)


def run_rows(records: Iterable[TrialRecord], environments: Mapping[int, Environment]) -> pandas.DataFrame:
    """Return one row per trial for display: number, state, reason, worker, device, attempt, start and seconds.

    Args:
        records: The trials.
        environments: Trial number -> the environment of its training, where it is known.
    """
    devices = {number: safe_text(environment.device_name, "cell") for number, environment in environments.items()}
    rows = [
        {
            "trial": record.number,
            "state": safe_text(record.state, "cell"),
            "reason": safe_text(record.reason, "cell", length=500),
            "worker": safe_text(record.worker, "cell"),
            "device": devices.get(record.number, ""),
            "attempt": record.attempt,
            "started": pandas.Timestamp(record.started, unit="s") if record.started is not None else pandas.NaT,
            "seconds": math.nan if record.seconds is None else record.seconds,
        }
        for record in records
    ]
    return pandas.DataFrame(rows)


def hypervolume_growth(records: Iterable[TrialRecord], objectives: Mapping[str, str]) -> pandas.DataFrame:
    """Return how the hypervolume of the frontier grew with the complete trials.

    The reference point is the worst value of each objective among all complete trials.

    Args:
        records: The trials.
        objectives: Objective -> "max" or "min".

    Returns:
        A table with one row per trial that enlarged the hypervolume, and one for the last trial. Columns: trial, trials
        (number of complete trials so far), seconds (of training so far, all workers together) and share (of the final
        hypervolume).
    """
    names = list(objectives)
    done = sorted(
        (
            record
            for record in records
            if record.state == "complete"
            and record.finished is not None
            and all(math.isfinite(record.quantities.get(name, math.nan)) for name in names)
        ),
        key=lambda record: (record.finished, record.number),
    )
    points = [_minimised(record, objectives) for record in done]
    corner = [max(column) for column in zip(*points)] if points else []
    front: list[tuple[float, ...]] = []
    rows, volume, seconds = [], 0.0, 0.0
    for count, (record, point) in enumerate(zip(done, points, strict=True), 1):
        seconds += record.seconds or 0.0
        if not any(all(a <= b for a, b in zip(kept, point)) for kept in front):
            # It adds the box between itself and the corner, minus the part that the others dominate.
            shared = [tuple(map(max, kept, point)) for kept in front]
            volume += math.prod(c - a for a, c in zip(point, corner)) - hypervolume(shared, corner)
            front = [*(kept for kept in front if not all(a <= b for a, b in zip(point, kept))), point]
        elif count < len(done):
            continue
        rows.append((record.number, count, seconds, volume))
    table = pandas.DataFrame(rows, columns=["trial", "trials", "seconds", "share"])
    table["share"] = table.share / volume if volume else 0.0
    return table


def _minimised(record: TrialRecord, objectives: Mapping[str, str]) -> tuple[float, ...]:
    values = record.quantities
    return tuple(-values[name] if direction == "max" else values[name] for name, direction in objectives.items())
