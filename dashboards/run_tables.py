"""How a search went, in tables: who worked when, how the frontier grew. Pure functions of records."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

import pandas

from dashboards.text import safe_text
from explorer.frontier import hypervolume
from explorer.records import Environment, Lease, TrialRecord

RATE_OVER = 600.0  # seconds over which the present pace is taken


def timeline(records: Iterable[TrialRecord], now: float | None = None) -> pandas.DataFrame:
    """One row a trial that took time: trial, state, start and end in seconds since the first began, and the lane,
    ``worker 1``, ``worker 1 (2)`` where one worker ran several at once. A running trial ends now."""
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


def pace(records: Iterable[TrialRecord], now: float | None = None) -> float:
    """Trials trained to an end in the last ten minutes, an hour's worth."""
    moment = time.time() if now is None else now
    ended = [r for r in records if r.state in ("complete", "stopped") and (r.finished or 0.0) > moment - RATE_OVER]
    return len(ended) * 3600 / RATE_OVER


def lease_rows(leases: Iterable[Lease], records: Iterable[TrialRecord], now: float | None = None) -> pandas.DataFrame:
    """One row a trial under way or waiting: trial, what becomes of it, who holds it (or held it last), its attempt,
    minutes since it began, and for how many seconds more the lease may be believed."""
    moment = time.time() if now is None else now
    started = {record.number: record.started for record in records}
    rows = []
    for lease in leases:
        left = math.nan if lease.until is None else lease.until - moment
        began = started.get(lease.number)
        rows.append(
            {
                "trial": lease.number,
                "what": "waits for a worker" if lease.until is None else "held" if left > 0 else "lease expired",
                "worker": safe_text(lease.worker, "cell"),
                "attempt": lease.attempt,
                "minutes": math.nan if began is None else (moment - began) / 60,
                "lease left (s)": left,
            }
        )
    columns = ["trial", "what", "worker", "attempt", "minutes", "lease left (s)"]
    return pandas.DataFrame(rows, columns=columns)


def run_rows(records: Iterable[TrialRecord], environments: Mapping[int, Environment]) -> pandas.DataFrame:
    """One row a trial as people read it: number, state, why, worker, device, attempt, when it began, seconds.
    ``environments``: trial -> on what it was trained, where that is known."""
    devices = {number: safe_text(environment.device_name, "cell") for number, environment in environments.items()}
    rows = [
        {
            "trial": record.number,
            "state": safe_text(record.state, "cell"),
            "reason": safe_text(record.reason, "cell", length=500),
            "worker": safe_text(record.worker, "cell"),
            "device": devices.get(record.number, ""),
            "attempt": record.attempt,
            "began": pandas.Timestamp(record.started, unit="s") if record.started is not None else pandas.NaT,
            "seconds": math.nan if record.seconds is None else record.seconds,
        }
        for record in records
    ]
    return pandas.DataFrame(rows)


def growth(records: Iterable[TrialRecord], objectives: Mapping[str, str]) -> pandas.DataFrame:
    """How the hypervolume grew with each complete trial: trial, trials (so many were complete), seconds (of work
    until then, all workers together), share (of the hypervolume now).

    The reference is the worst value of each objective among all complete trials. One row where the volume
    grew, and one for the last trial.
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
            # What it adds is the box below the corner, less what the others dominate of that box.
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
