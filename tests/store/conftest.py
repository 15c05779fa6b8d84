"""A small study to write to, on a file and in memory."""

from __future__ import annotations

import pytest

from explorer.store.creating import create_study
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.writer import Proposal, StudyWriter

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
