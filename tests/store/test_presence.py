"""The rows of processes that work on a study, and requests that they stop."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import func, select, update

from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.lease import new_worker
from explorer.store.managing.changes import delete_study
from explorer.store.presence import processes
from explorer.store.presence.processes import Presence, Process, Role, Task, read_logs, read_processes
from explorer.store.presence.status import study_status
from explorer.store.presence.stops import stop_study
from explorer.store.rows import Ending
from explorer.store.schema import stops, workers
from explorer.store.writer import StudyWriter
from tests.store.conftest import ELSEWHERE, GONE, proposal


def present(writer: StudyWriter, worker: str = "", role: Role | None = None, **shown) -> Presence:
    """Return the presence of a process that has joined the study."""
    role = role or Role("search")
    made = Presence(writer.study, Process(worker or writer.worker, role.command, **shown), role)
    made.join()
    return made


def rows(writer: StudyWriter) -> list[Process]:
    return writer.study.database.read(lambda connection: read_processes(connection, writer.study.id))


def change(writer: StudyWriter, worker: str, **values) -> None:
    """Change the row of a worker."""
    statement = update(workers).where(workers.c.worker == worker).values(**values)
    writer.study.database.write(lambda connection: connection.execute(statement))


def test_a_row_is_renewed_with_the_leases_and_removed_at_the_end(writer):
    """One transaction renews leases and row; a process that leaves has no row."""
    presence = present(writer, device="cpu", cores=4, slots=2, target=10)
    (before,) = rows(writer)
    assert (before.command, before.device, before.cores, before.slots, before.target) == ("search", "cpu", 4, 2, 10)
    presence.show(3, [Task(7, "node-1", "GPU 0")])
    writer.renew(presence.beat)
    (after,) = rows(writer)
    assert (after.slots, after.tasks, after.started) == (3, (Task(7, "node-1", "GPU 0"),), before.started)
    assert after.beat >= before.beat
    presence.leave()
    assert rows(writer) == []


def test_the_row_of_a_process_with_a_log_stays(writer):
    """The log of a worker is found after it has ended."""
    present(writer, role=Role("worker", log="/logs/1.out")).leave()
    (row,) = rows(writer)
    assert row.ended is not None and read_logs(writer.study) == {writer.worker: "/logs/1.out"}
    assert study_status(writer.study).workers == ()


def test_rows_of_processes_that_ended_long_ago_are_removed(writer):
    """The next process that joins removes the row of one that was killed a day ago, unless the row names a log."""
    present(writer, GONE)
    present(writer, ELSEWHERE, Role("worker", log="/logs/2.out"))
    for worker in (GONE, ELSEWHERE):
        change(writer, worker, beat=rows(writer)[0].beat - processes.KEEP_SECONDS - 1)
    present(writer)
    assert {row.worker for row in rows(writer)} == {ELSEWHERE, writer.worker}


@pytest.mark.parametrize("at_once", [False, True])
def test_a_request_to_stop_concerns_processes_that_had_begun(writer, at_once):
    """A process obeys the next request, once; one that begins later does not, however often it renews its row."""
    before = present(writer)
    request = stop_study(writer.study, at_once)
    assert (request.number, before.stop) == (1, None)
    after = present(writer, ELSEWHERE)
    for presence in (before, after):
        for _ in range(2):
            writer.renew(presence.beat)
    assert before.stop == request and after.stop is None
    assert ("--now" in request.reason) == at_once


def test_the_strictest_request_is_obeyed(writer):
    """A later request to finish does not weaken an earlier one to leave at once."""
    presence = present(writer)
    stop_study(writer.study, at_once=True)
    stop_study(writer.study)
    writer.renew(presence.beat)
    assert (presence.stop.number, presence.stop.at_once) == (2, True)


def test_a_process_goes_on_where_its_role_ended(writer):
    """A search that trains repeats after its trials obeys a request that was made in between."""
    role = Role("search")
    present(writer, role=role).leave()
    stop_study(writer.study)
    assert present(writer, role=role).stop is not None
    assert present(writer, ELSEWHERE, Role("worker", stop_seen=0)).stop is not None  # it waited in a queue meanwhile


def test_a_released_training_is_not_lost(writer):
    """A confirmation that ends in order leaves nothing in the status; one that is killed is lost."""
    for worker, shown in ((new_worker(), []), (GONE, ["lost"])):
        confirming = ConfirmationWriter(writer.study, worker)
        confirming.keep_networks({"v1-a": '{"network": "a"}'})
        presence = present(writer, worker, Role("confirm"))
        assert confirming.claim([Wanted("v1-a", 2, seed=len(shown))]) is not None
        if not shown:
            confirming.release()
            assert [each.state for each in study_status(writer.study).workers] == ["idle"]
            presence.leave()
        assert [each.state for each in study_status(writer.study).workers] == shown


def test_confirmations_renew_the_row_too(writer):
    """A confirmation sees a request with the renewal of its leases."""
    confirming = ConfirmationWriter(writer.study, new_worker())
    presence = present(writer, confirming.worker, Role("confirm"))
    stop_study(writer.study)
    confirming.renew(presence.beat)
    assert presence.stop is not None


def test_the_status_says_who_computes_what(writer):
    """Each running training is one row with its process, each process without one is idle or lost."""
    presence = present(writer, device="cpu", cores=2, slots=2, target=4)
    for number, name in enumerate("abc"):
        writer.begin(number, proposal(name))
    writer.finish(0, Ending("complete", {"accuracy": 0.5}))
    writer.finish(1, Ending("failed", reason="no luck"))
    confirming = ConfirmationWriter(writer.study, ELSEWHERE)
    confirming.claim([Wanted("v1-a", 2, 5)])
    present(writer, ELSEWHERE, Role("confirm"))
    present(writer, GONE, Role("worker"))
    status = study_status(writer.study)
    assert [(each.host, each.command, each.state, each.training) for each in status.workers] == [
        (presence.process.host, "search", "training", "trial 2"),
        ("elsewhere", "confirm", "training", "v1-a with seed 5"),
        ("here", "worker", "lost", ""),
    ]
    assert (status.processes, status.target, status.trials["running"]) == (2, 4, 1)
    (host,) = status.hosts
    assert (host.host, host.ended, host.failed, status.failure_rate) == (presence.process.host, 2, 1, 0.5)
    assert status.trials_per_hour > 0 and 0 < status.utilisation <= 1
    assert status.expected_end > status.moment and status.stop is None
    stop_study(writer.study)
    assert study_status(writer.study).stop is not None


def test_the_status_names_the_nodes_of_an_engine(writer):
    """A training on another machine is shown there, and one without a machine waits."""
    for number, name in enumerate("ab"):
        writer.begin(number, proposal(name))
    presence = present(writer, engine="ray", device="cuda", slots=2)
    presence.show(2, [Task(0, "node-1", "GPU 3"), Task(1, "", "")])
    writer.renew(presence.beat)
    shown = study_status(writer.study).workers
    assert [(each.host, each.device, each.state, each.trial) for each in shown] == [
        ("node-1", "GPU 3", "training", 0),
        ("", "", "waiting", 1),
    ]


def test_a_process_without_a_sign_of_life_is_lost(writer):
    """A process that has not renewed its row for the time of a lease is lost, with the trial that it ran."""
    own = dataclasses.replace(writer, worker=ELSEWHERE)
    own.begin(0, proposal("a"))
    present(writer, ELSEWHERE)
    assert [each.state for each in study_status(writer.study).workers] == ["training"]
    change(writer, ELSEWHERE, beat=rows(writer)[0].beat - 61)
    (shown,) = study_status(writer.study).workers
    assert (shown.state, shown.trial, study_status(writer.study).processes) == ("lost", 0, 0)


def test_trainings_without_a_row_are_shown(writer):
    """A worker of an earlier version has leases, but no row."""
    writer.begin(0, proposal("a"))
    (shown,) = study_status(writer.study).workers
    assert (shown.state, shown.trial, shown.command) == ("training", 0, "")


def test_a_deleted_study_takes_its_rows_along(writer):
    """Deleting a study removes the rows of its processes and its requests to stop."""
    present(writer, GONE)
    stop_study(writer.study)
    delete_study(writer.study)
    left = [select(func.count()).select_from(table) for table in (workers, stops)]
    assert writer.study.database.read(lambda connection: [connection.scalar(query) for query in left]) == [0, 0]
