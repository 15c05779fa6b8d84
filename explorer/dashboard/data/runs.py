"""Tables of a search: which worker ran which trial when, leases, throughput, and growth of the hypervolume."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas

from explorer.analysis.amounts import plural
from explorer.analysis.pareto import hypervolume
from explorer.dashboard.quantities import span_text
from explorer.dashboard.text import safe_text
from explorer.records import FAILURES, Environment, Lease, TrialRecord

RATE_SECONDS = 600.0  # window of the throughput
TRAINED_STATES = ("complete", "stopped", "failed", "interrupted")
MAX_LISTED = 40  # numbers of trials in a group of failures
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(\.\d+)?")


def timeline(records: Iterable[TrialRecord], now: float | None = None) -> pandas.DataFrame:
    """Return one row per trial that was trained, by lane and start.

    Args:
        records: The trials. Cached and rejected ones are left out.
        now: Time at which running trials are cut, in seconds since the epoch; the present time by default.

    Returns:
        A table with the columns trial, state, start and end (seconds since the first trial started), name (``worker 1``
        is the one that started first) and lane: one row of a chart, ``worker 1``, with ``worker 1 (2)`` for trials that
        the same worker ran at the same time.
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
        rows.append((record.number, record.state, start - began, max(end, start) - began, name, lane))
    table = pandas.DataFrame(rows, columns=["trial", "state", "start", "end", "name", "lane"])
    return table.sort_values(["lane", "start"], ignore_index=True)


def trials_per_hour(records: Iterable[TrialRecord], now: float | None = None) -> float | None:
    """Return the throughput: complete and stopped trials per hour.

    It is that of the last ``RATE_SECONDS`` while the search runs, and of the whole search when it has ended.

    Args:
        records: The trials.
        now: Seconds since the epoch; the present time by default.

    Returns:
        The throughput; None before a trial has ended, or if no time has passed.
    """
    records = list(records)
    moment = time.time() if now is None else now
    ends = [r.finished for r in records if r.state in ("complete", "stopped") and r.finished is not None]
    starts = [record.started for record in records if record.started is not None]
    if not ends or not starts:
        return None
    running = any(record.state == "running" for record in records)
    since = max(min(starts), moment - RATE_SECONDS) if running else min(starts)
    until = moment if running else max(ends)
    return sum(end >= since for end in ends) * 3600 / (until - since) if until > since else None


def workload(records: Sequence[TrialRecord], now: float | None = None) -> dict[str, str]:
    """Return title -> text: active workers, throughput, share of the workers' time in trainings, and that time.

    Args:
        records: The trials.
        now: Seconds since the epoch; the present time by default.
    """
    moment = time.time() if now is None else now
    running = [record for record in records if record.state == "running"]
    found = {}
    if running:
        found["active workers"] = f"{len({record.worker for record in running}):,}"
    rate = trials_per_hour(records, moment)
    if rate is not None:
        found["trials per hour, last 10 minutes" if running else "trials per hour, whole search"] = (
            f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        )
    busy = _busy_text(timeline(records, moment), records)
    if busy:
        found["workers busy"] = busy
    found["time of training"] = span_text(sum(record.seconds or 0.0 for record in records if _was_trained(record)))
    return found


def _was_trained(record: TrialRecord) -> bool:
    return record.state in TRAINED_STATES


def _busy_text(rows: pandas.DataFrame, records: Iterable[TrialRecord]) -> str:
    """Return the share of the time of some lanes that was spent in trainings; empty if no time has passed.

    Args:
        rows: Rows of ``timeline``.
        records: Their trials. A running trial counts from its start.
    """
    seconds = {record.number: record.seconds for record in records if _was_trained(record)}
    spans = rows.groupby("lane").agg(start=("start", "min"), end=("end", "max"))
    present = float((spans.end - spans.start).sum())
    lengths = zip(rows.trial, rows.end - rows.start)
    busy = sum(span if seconds.get(number) is None else seconds[number] or 0.0 for number, span in lengths)
    return f"{min(100.0, 100 * busy / present):.0f}%" if present > 0 else ""


def worker_rows(
    records: Iterable[TrialRecord], environments: Mapping[int, Environment], now: float | None = None
) -> pandas.DataFrame:
    """Return one row per worker: its name in the timeline, host, device, what it runs, how many trials it ran at once,
    its trials, and the share of its time in trainings.

    Args:
        records: The trials.
        environments: Trial number -> the environment of its training, where it is known.
        now: Seconds since the epoch; the present time by default.
    """
    records, moment = list(records), time.time() if now is None else now
    own: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.started is not None and record.state in ("running", *TRAINED_STATES):
            own.setdefault(record.worker, []).append(record)
    bars = timeline(records, moment)
    name_of = dict(zip(bars.trial, bars.name))
    rows = []
    for worker, trials in own.items():
        lanes = bars[bars.name == name_of[trials[0].number]]
        running = [record.number for record in trials if record.state == "running"]
        devices = dict.fromkeys(environments[r.number].device_name for r in trials if r.number in environments)
        spans = [(r.started or 0.0, moment if r.state == "running" else r.finished or r.started or 0.0) for r in trials]
        rows.append(
            {
                "name": name_of[trials[0].number],
                "worker": safe_text(worker, "cell"),
                "host": safe_text(worker.partition(":")[0], "cell"),
                "device": safe_text(", ".join(devices), "cell"),
                "runs now": safe_text(", ".join(f"trial {number}" for number in running) or "nothing", "cell"),
                "at once": lanes.lane.nunique(),
                "trials": len(trials),
                "failed": sum(record.state == "failed" for record in trials),
                "busy": _busy_text(lanes, trials),
                "last seen": "now" if running else f"{span_text(max(0.0, moment - max(e for _, e in spans)))} ago",
            }
        )
    order = ["name", "worker", "host", "device", "runs now", "at once", "trials", "failed", "busy", "last seen"]
    return pandas.DataFrame(rows, columns=order)


class FailureGroup(NamedTuple):
    """Failed trials with one reason, apart from the numbers in it.

    Attributes:
        reason: The reason of the last of them.
        numbers: The numbers of the trials.
        kind: What failed, a text of ``FAILURES``; empty if unknown.
    """

    reason: str
    numbers: tuple[int, ...]
    kind: str

    @property
    def title(self) -> str:
        """How many trials failed for which reason."""
        return f"{plural(len(self.numbers), 'trial')}: {self.reason}"

    @property
    def listed(self) -> str:
        """The numbers of the trials, and what failed."""
        shown = ", ".join(map(str, self.numbers[:MAX_LISTED]))
        more = f" and {len(self.numbers) - MAX_LISTED:,} more" if len(self.numbers) > MAX_LISTED else ""
        return f"{shown}{more}" + (f" ({self.kind})" if self.kind else "")


def failure_groups(records: Iterable[TrialRecord]) -> list[FailureGroup]:
    """Return the failed trials by reason, the most frequent reason first. Reasons that differ in numbers are one."""
    found: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in records:
        if record.state == "failed":
            found.setdefault((_NUMBER.sub("#", record.reason), record.failure), []).append(record)
    groups = [
        FailureGroup(own[-1].reason, tuple(record.number for record in own), FAILURES.get(kind, ""))
        for (_, kind), own in found.items()
    ]
    return sorted(groups, key=lambda group: -len(group.numbers))


def lease_rows(leases: Iterable[Lease], records: Iterable[TrialRecord], now: float | None = None) -> pandas.DataFrame:
    """Return one row per trial that is running or waits to be resumed.

    Args:
        leases: The leases.
        records: The trials.
        now: Seconds since the epoch; the present time by default.

    Returns:
        A table with the columns trial, status, worker (the present or the last one), attempt, since (how long ago it
        started) and lease left.
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
                "since": "" if start is None else span_text(max(0.0, moment - start)),
                "lease left": "" if math.isnan(left) else span_text(max(0.0, left)),
            }
        )
    columns = ["trial", "status", "worker", "attempt", "since", "lease left"]
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

    The reference point is the worst value of each objective among all complete trials. An objective that has the same
    value in all of them is left out: it would make every volume zero.

    Args:
        records: The trials.
        objectives: Objective -> "max" or "min".

    Returns:
        A table with one row per trial that enlarged the hypervolume, and one for the last trial. Columns: trial, trials
        (number of complete trials so far), seconds (of training so far, all workers together) and share (of the final
        hypervolume). The table is empty if no trial is better than the reference point in every objective.
    """
    done = _measured(records, objectives)
    constant = constant_objectives(done, objectives)
    varying = {name: direction for name, direction in objectives.items() if name not in constant}
    points = [_minimised(record, varying) for record in done]
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
    table["share"] = table.share / (volume or 1.0)
    return table if volume and varying else table.head(0)


def constant_objectives(records: Iterable[TrialRecord], objectives: Mapping[str, str]) -> list[str]:
    """Return the objectives that have one value in all complete trials; none if there are less than two."""
    done = _measured(records, objectives)
    if len(done) < 2:
        return []
    return [name for name in objectives if len({record.quantities[name] for record in done}) == 1]


def left_out_text(constant: Sequence[str]) -> str:
    """Return a sentence about the objectives that the hypervolume leaves out; empty without any."""
    if not constant:
        return ""
    have = "has" if len(constant) == 1 else "have"
    return f"The hypervolume leaves out {', '.join(constant)}, which {have} one value in all complete trials."


def _measured(records: Iterable[TrialRecord], objectives: Iterable[str]) -> list[TrialRecord]:
    """Return the complete trials with all objectives, in the order of their ends."""
    found = (
        record
        for record in records
        if record.state == "complete"
        and record.finished is not None
        and all(math.isfinite(record.quantities.get(name, math.nan)) for name in objectives)
    )
    return sorted(found, key=lambda record: (record.finished or 0.0, record.number))


def _minimised(record: TrialRecord, objectives: Mapping[str, str]) -> tuple[float, ...]:
    values = record.quantities
    return tuple(-values[name] if direction == "max" else values[name] for name, direction in objectives.items())
