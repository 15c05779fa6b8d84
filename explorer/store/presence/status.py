"""Who works on a study now, how fast, and how reliably: ``explorer status`` and the page Runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from explorer.store import lease
from explorer.store.database import StudyIdentity
from explorer.store.lease import is_gone
from explorer.store.presence.processes import Process, read_processes
from explorer.store.presence.stops import StopRequest, newer_than
from explorer.store.rows import STATE, now, read_row, trial_row
from explorer.store.schema import confirmations, trials
from explorer.store.study import Study

WINDOW_SECONDS = 600.0  # over which throughput and utilisation are measured
LOST_SECONDS = 3600.0  # for which a lost process is shown


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process does now: one of its trainings, or none.

    Attributes:
        host: The machine of the training.
        command: The command of the process, such as "search"; empty if unknown.
        state: "training", "waiting" for a machine of its engine, "idle", "driver" (it starts workers on
            other machines), or "lost".
        trial: Number of the trial; None for another training, or for none.
        training: What is trained in words, such as "trial 17"; empty for nothing.
        since: When this began, in seconds since the epoch; of a lost process its last sign of life.
        device: The device, with its name where that is known.
        cores: CPU cores that the process may use; None if unknown.
        worker: Name of the process.
        log: Path of its log; empty if it has none of its own.
    """

    host: str
    command: str
    state: str
    trial: int | None
    training: str
    since: float
    device: str
    cores: int | None
    worker: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class HostFailures:
    """The trainings of one machine that have ended.

    Attributes:
        host: The machine of the process that ran them.
        ended: Complete, stopped and failed trials.
        failed: Failed trials.
    """

    host: str
    ended: int
    failed: int

    @property
    def rate(self) -> float:
        """The share that failed."""
        return self.failed / self.ended


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """The state of a study.

    Attributes:
        study: Its name.
        moment: When it was read, in seconds since the epoch by the database's clock.
        trials: Number of trials by state.
        workers: What each process does now.
        processes: Number of live processes.
        trials_per_hour: Complete and stopped trials an hour, over the last ten minutes.
        utilisation: Share of the time of the processes' slots in which a training ran, over the last ten minutes; None
            if no process is alive.
        hosts: Failures by machine.
        target: Complete and stopped trials at which the processes end, or None.
        expected_end: When the target is reached at the present throughput; None if unknown.
        stop: The last request to stop that a live process obeys, or None.
    """

    study: str
    moment: float
    trials: Mapping[str, int]
    workers: tuple[Activity, ...]
    processes: int
    trials_per_hour: float
    utilisation: float | None
    hosts: tuple[HostFailures, ...]
    target: int | None
    expected_end: float | None
    stop: StopRequest | None

    @property
    def failure_rate(self) -> float | None:
        """The share of all ended trials that failed; None if none has ended."""
        ended = sum(each.ended for each in self.hosts)
        return sum(each.failed for each in self.hosts) / ended if ended else None

    def to_json(self) -> dict[str, Any]:
        """Return the status as plain data."""
        return {
            "study": self.study,
            "time": self.moment,
            "trials": dict(self.trials),
            "workers": [asdict(each) for each in self.workers],
            "processes": self.processes,
            "trials_per_hour": self.trials_per_hour,
            "utilisation": self.utilisation,
            "failure_rate": self.failure_rate,
            "hosts": [{**asdict(each), "failure_rate": each.rate} for each in self.hosts],
            "target": self.target,
            "expected_end": self.expected_end,
            "stop": None if self.stop is None else asdict(self.stop),
        }


@dataclass(frozen=True, slots=True)
class _Training:
    """A training that runs, or has ended in the last minutes."""

    worker: str
    name: str
    number: int | None
    started: float
    finished: float | None
    lease_until: float | None
    counts: bool  # whether it is a complete or stopped trial


def study_status(study: Study) -> StudyStatus:
    """Return who works on a study now.

    Args:
        study: The study.

    Returns:
        Its processes, what each of them trains, and how fast.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """

    def work(connection: Connection) -> StudyStatus:
        moment = now(connection)
        processes = read_processes(connection, study.id)
        trainings = [*_trials(connection, study, moment), *_confirmations(connection, study, moment)]
        hosts = _failures(connection, study)
        alive = [each for each in processes if each.ended is None and not _is_lost(each, moment)]
        rate = _trials_per_hour(trainings, processes, moment)
        targets = [each.target for each in alive if each.target is not None]
        target = max(targets, default=None)
        left = max(0, target - counts["complete"] - counts["stopped"]) if target is not None else None
        oldest = min((each.started for each in alive), default=moment)
        stops = [each for each in newer_than(connection, study.id, 0) if each.requested >= oldest]
        return StudyStatus(
            study=study.name,
            moment=moment,
            trials=counts,
            workers=tuple(_activities(processes, trainings, moment)),
            processes=len(alive),
            trials_per_hour=rate,
            utilisation=_utilisation(alive, trainings, moment),
            hosts=hosts,
            target=target,
            expected_end=moment + left / rate * 3600 if left is not None and rate > 0 else None,
            stop=stops[-1] if stops else None,
        )

    counts = study.counts()
    return study.database.read(work)


def _is_lost(process: Process, moment: float) -> bool:
    return is_gone(process.worker) or moment > process.beat + lease.LEASE_SECONDS


def _trials(connection: Connection, study: StudyIdentity, moment: float) -> list[_Training]:
    c = trials.c
    columns = (c.number, c.worker, c.state, c.started, c.finished, c.lease_until)
    trained = and_(c.state.in_(("complete", "stopped", "failed")), c.finished > moment - WINDOW_SECONDS)
    wanted = (c.study_id == study.id, c.same_as.is_(None), or_(c.state == "running", trained))
    found = []
    for row in (row._asdict() for row in connection.execute(select(*columns).where(*wanted).order_by(c.number))):
        row = read_row(trial_row(row["number"]), trials, row)
        finished = None if row["state"] == "running" else row["finished"]
        times = (row["started"], finished, row["lease_until"])
        counts = row["state"] in ("complete", "stopped")
        found.append(_Training(row["worker"], f"trial {row['number']}", row["number"], *times, counts))
    return found


def _confirmations(connection: Connection, study: StudyIdentity, moment: float) -> list[_Training]:
    c = confirmations.c
    columns = (c.digest, c.seed, c.worker, c.state, c.started, c.finished, c.lease_until)
    running = and_(c.state == "running", c.lease_until.is_not(None))  # else its process released it as it ended
    wanted = (c.study_id == study.id, or_(running, c.finished > moment - WINDOW_SECONDS))
    found = []
    for row in (row._asdict() for row in connection.execute(select(*columns).where(*wanted).order_by(c.started))):
        row = read_row("explorer_confirmations", confirmations, row)
        finished = None if row["state"] == "running" else row["finished"]
        name = f"{row['digest'][:11]} with seed {row['seed']}"
        found.append(_Training(row["worker"], name, None, row["started"], finished, row["lease_until"], False))
    return found


def _failures(connection: Connection, study: StudyIdentity) -> tuple[HostFailures, ...]:
    """Return the failures by machine, the machine with the most trials first."""
    c, counted = trials.c, func.count()
    ended = (c.study_id == study.id, c.same_as.is_(None), STATE.in_(("complete", "stopped", "failed")))
    ends, failures = Counter[str](), Counter[str]()
    for worker, state, number in connection.execute(
        select(c.worker, c.state, counted).where(*ended).group_by(c.worker, c.state)
    ):
        host = str(worker).partition(":")[0]
        ends[host] += number
        failures[host] += number if state == "failed" else 0
    return tuple(HostFailures(host, number, failures[host]) for host, number in ends.most_common())


def _trials_per_hour(trainings: Iterable[_Training], processes: Iterable[Process], moment: float) -> float:
    """Return the throughput since the first process began, over ten minutes at most."""
    ended = [each for each in trainings if each.counts]
    starts = [*(each.started for each in ended), *(each.started for each in processes)]
    began = min(starts, default=moment)
    seconds = min(WINDOW_SECONDS, max(1.0, moment - began))
    return len(ended) * 3600 / seconds


def _utilisation(alive: Iterable[Process], trainings: Iterable[_Training], moment: float) -> float | None:
    """Return the share of the time of the slots of live processes in which a training ran."""
    of_worker = defaultdict(list)
    for each in trainings:
        of_worker[each.worker].append(each)
    busy = offered = 0.0
    for process in alive:
        began = max(process.started, moment - WINDOW_SECONDS)
        offered += process.slots * (moment - began)
        for each in of_worker[process.worker]:
            busy += max(0.0, (each.finished or moment) - max(each.started, began))
    return min(1.0, busy / offered) if offered > 0 else None


def _activities(processes: Iterable[Process], trainings: Iterable[_Training], moment: float) -> Iterable[Activity]:
    """Yield one row per running training, and one per process that runs none."""
    running = defaultdict(list)
    for each in trainings:
        if each.finished is None:
            running[each.worker].append(each)
    for process in processes:
        own = running.pop(process.worker, [])
        if process.ended is not None:
            continue
        common = (process.cores, process.worker, process.log)
        if _is_lost(process, moment):
            if own or process.beat > moment - LOST_SECONDS:
                names = ", ".join(each.name for each in own)
                place = (process.beat, process.device, *common)
                yield Activity(process.host, process.command, "lost", own[0].number if own else None, names, *place)
            continue
        tasks = {task.number: task for task in process.tasks}
        for each in own:
            task = tasks.get(each.number) if each.number is not None else None
            host, device = (process.host, process.device) if task is None else (task.host, task.device)
            state = "waiting" if not host else "training"
            yield Activity(host, process.command, state, each.number, each.name, each.started, device, *common)
        if not own:
            state = "idle" if process.slots else "driver"
            yield Activity(process.host, process.command, state, None, "", process.started, process.device, *common)
    for worker, own in running.items():  # of an earlier version, or its row was removed
        for each in own:
            is_held = each.lease_until is not None and each.lease_until > moment and not is_gone(worker)
            state, host = "training" if is_held else "lost", worker.partition(":")[0]
            yield Activity(host, "", state, each.number, each.name, each.started, "", None, worker)
