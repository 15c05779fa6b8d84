"""The panel of processes on the page of runs."""

from __future__ import annotations

from explorer.dashboard.data.processes import process_rows
from explorer.store.presence.status import Activity, HostFailures, StudyStatus
from explorer.store.presence.stops import StopRequest


def test_one_row_per_training_and_idle_process():
    """The table has what ``explorer status`` shows; text of the database is shown literally."""
    training = Activity("node-1", "worker", "training", 7, "trial 7", 940.0, "cuda:0 H200", 8, "w1", "/logs/1.out")
    idle = Activity("=node-2", "search", "idle", None, "", 400.0, "cpu", None, "w2")
    request = StopRequest(1, 990.0, False, "me@host")
    hosts = (HostFailures("node-1", 4, 1),)
    status = StudyStatus("one", 1000.0, {}, (training, idle), 2, 3.0, 0.5, hosts, None, None, request)
    rows = process_rows(status)
    assert list(rows.training) == ["trial 7", ""] and list(rows["for"]) == ["1.0 min", "10 min"]
    assert rows.host[1].startswith("'=") and rows.log[0] == "/logs/1.out"
    assert process_rows(StudyStatus("one", 1000.0, {}, (), 0, 0.0, None, (), None, None, None)).empty
    assert status.failure_rate == 0.25
