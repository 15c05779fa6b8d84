"""A search uses few transactions of its database."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from explorer.store.database import open_for_writing
from explorer.study import search
from explorer.study.search import run_search
from tests.study.evaluations import good

MOST = 6  # transactions of one trial, reads included


@pytest.mark.parametrize("sampler", ["random", "tpe", "frontier"])
def test_a_trial_takes_at_most_six_transactions(space, url, monkeypatch, sampler):
    """From the end of the first trial to that of the last, there are at most six reads and writes a trial."""
    count, at_end = [0], []

    def opened(storage):
        database = open_for_writing(storage)
        for kind in ("commit", "rollback"):  # each transaction ends with one of them
            event.listen(database.engine, kind, lambda connection: count.append(count.pop() + 1))
        return database

    monkeypatch.setattr(search, "open_for_writing", opened)
    run_search(
        space,
        evaluate=good,
        storage=url,
        sampler=sampler,
        trials=12,
        progress=lambda event: at_end.append(count[0]) if event.kind == "ended" else None,
    )
    assert len(at_end) >= 12
    assert 0 < at_end[-1] - at_end[0] <= MOST * (len(at_end) - 1)
