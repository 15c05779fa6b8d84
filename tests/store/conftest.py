"""A small study to write to, on a file and in memory."""

from __future__ import annotations

import dataclasses
from itertools import count
from typing import TypeVar

import pytest

from explorer.processes import pid_space
from explorer.records import TrialRecord
from explorer.store.confirming import ConfirmationWriter
from explorer.store.creating import create_study
from explorer.store.database import open_for_writing
from explorer.store.lease import LeaseWatch, new_worker, renew_seconds
from explorer.store.writer import Proposal, StudyWriter

GONE = f"here:{pid_space()}:999999999:1:ab"  # a worker whose process has ended on this machine
ELSEWHERE = "elsewhere:0123456789ab:1:1:cd"  # a worker that cannot be seen from here
Writer = TypeVar("Writer", StudyWriter, ConfirmationWriter)
OBJECTIVES = {"accuracy": "max", "macs": "min"}


def proposal(name: str, cost: float = 100.0, **choices: str) -> Proposal:
    """A proposal of a network that ``name`` identifies and that takes ``cost`` MACs."""
    return Proposal(
        f"v1-{name}", f'{{"network": "{name}"}}', choices or {"order": name}, {"macs": cost, "params": 7}, 11
    )


def make_study(storage: str | None, name: str = "one"):
    """The study of this name with the space text "text", made where it is missing."""
    database = open_for_writing(storage)
    return create_study(
        database,
        name,
        space_name="tiny",
        space_text="text",
        fingerprint={"data": "digits", "epochs": 2},
        objectives=OBJECTIVES,
        seed=3,
    )


def watching(writer: Writer) -> Writer:
    """The same writer with a clock that advances by the usual interval at each look at the leases of others."""
    return dataclasses.replace(writer, watch=LeaseWatch(count(0.0, renew_seconds()).__next__))


def reap_after_a_lease(writer: StudyWriter) -> list[TrialRecord]:
    """What ``writer`` reaps when it watches for the time of a lease in which nobody renews."""
    watcher = watching(writer)
    return [record for _ in range(5) for record in watcher.reap()]


@pytest.fixture
def url(tmp_path):
    """A storage that does not exist yet."""
    return f"sqlite:///{tmp_path}/explorer.db"


@pytest.fixture(params=["file", "memory"])
def writer(request, url):
    """A fresh study's writing side."""
    study = make_study(url if request.param == "file" else None)
    yield StudyWriter(study, new_worker())
    study.database.close()
