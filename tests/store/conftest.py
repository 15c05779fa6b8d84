"""A small study to write to, on every kind of database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import count
from typing import TypeVar

import pytest

from explorer.records import Environment, Epoch, TrainingResult, TrialRecord
from explorer.space.search_space import parse_space
from explorer.store.confirmations import ConfirmationWriter
from explorer.store.database import open_for_writing
from explorer.store.lease import LeaseWatch, new_worker, renew_seconds
from explorer.store.rows import Proposal
from explorer.store.studies import create_study
from explorer.store.writer import StudyWriter
from explorer.system.processes import pid_space
from tests.store.servers import Server
from tests.study.evaluations import SPACE_TEXT

GONE = f"here:{pid_space()}:999999999:1:ab"  # a worker whose process has ended on this machine
ELSEWHERE = "elsewhere:0123456789ab:1:1:cd"  # a worker that cannot be seen from here
Writer = TypeVar("Writer", StudyWriter, ConfirmationWriter)
OBJECTIVES = {"accuracy": "max", "macs": "min"}
ENVIRONMENT = Environment("cpu", "a processor", 1, "Linux", "3.11", {"torch": "2.13"}, "abc")
RESULT = TrainingResult(0.9, 0.3, 1.0, 1, 2.5, 100.0, (Epoch(1, 0.5, 0.3, 0.9, 1.0, 0.1, 2.0),))


def proposal(name: str, cost: float = 100.0, **choices: str) -> Proposal:
    """Return a proposal of the network ``name`` that takes ``cost`` MACs."""
    return Proposal(
        f"v1-{name}", f'{{"network": "{name}"}}', choices or {"order": name}, {"macs": cost, "params": 7}, 11
    )


def make_study(storage: str | None, name: str = "one", always_new: bool = False):
    """Return the study of this name with the space text "text", and create it if it is missing."""
    database = open_for_writing(storage)
    return create_study(
        database,
        name,
        space_name="tiny",
        space_text="text",
        fingerprint={"data": "digits", "epochs": 2},
        objectives=OBJECTIVES,
        seed=3,
        always_new=always_new,
    )


def watching(writer: Writer) -> Writer:
    """Return the same writer with a clock that advances by one renewal interval per check of other workers' leases."""
    return dataclasses.replace(writer, watch=LeaseWatch(count(0.0, renew_seconds()).__next__))


def reap_after_a_lease(writer: StudyWriter) -> list[TrialRecord]:
    """Return the trials that ``writer`` reaps while no other worker renews for the time of a lease."""
    watcher = watching(writer)
    return [record for _ in range(5) for record in watcher.reap()]


@pytest.fixture
def url(tmp_path):
    """The URL of a storage that does not exist yet."""
    return f"sqlite:///{tmp_path}/explorer.db"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server started for these tests."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    """The URL of an empty PostgreSQL storage."""
    with postgresql.database() as name:
        yield postgresql.url(name)


@pytest.fixture(params=["file", "memory", "postgresql"])
def storage(request, tmp_path) -> str | None:
    """An empty storage of each kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path}/explorer.db" if request.param == "file" else None


@pytest.fixture
def writer(storage):
    """A writer of a new study."""
    study = make_study(storage)
    yield StudyWriter(study, new_worker())
    study.database.close()


@pytest.fixture(scope="session")
def space():
    """A space of 27 networks."""
    return parse_space(SPACE_TEXT, "tiny.yaml")
