"""A command that is refused leaves a database of an earlier version as it was."""

from __future__ import annotations

import pytest

from explorer.errors import StoreError, StudyError
from explorer.reproduction import catalogue
from explorer.reproduction.run import run_experiment
from explorer.space.search_space import parse_space
from explorer.store import database as store_database
from explorer.store.lease import new_worker
from explorer.store.studies import open_study
from explorer.store.writer import open_writer
from explorer.study.confirm.run import run_confirmation
from explorer.study.pairs.run import run_pairs
from explorer.study.search import run_search
from tests.reproduction.test_run import SMALL
from tests.store.migrations.earlier import backups, url_of


def by_depth(architecture, *, choices, epochs, seed):
    return {"accuracy": 0.5}


def search(storage: str, study: str, **settings) -> None:
    """Resume a study of the database with its own space."""
    space = parse_space(open_study(storage, study).space_text, "preact_variants.yaml")
    run_search(space, storage=storage, study=study, trials=1, **{"evaluate": by_depth, **settings})


def experiment(storage: str, study: str | None = None) -> None:
    run_experiment(SMALL.name, storage=storage, study=study, device="cpu", precision="float32", workers=1)


REFUSED = {
    "objectives": (lambda url: search(url, "limited", objectives={"accuracy": "max"}), "created with other settings"),
    "epochs": (lambda url: search(url, "limited", epochs=7), "created with other settings"),
    "seed": (lambda url: search(url, "limited", seed=99), "was created with seed"),
    "code": (lambda url: search(url, "limited"), "created with other code"),
    "limits": (lambda url: search(url, "limited", limits=["params>=2M", "params<=1M"]), "no network keeps both"),
    "experiment": (lambda url: experiment(url, "limited"), "other settings"),
    "writer": (lambda url: open_writer(url, "absent", new_worker()), "there is no study 'absent'"),
    "confirmation": (lambda url: run_confirmation(url, "absent"), "there is no study 'absent'"),
}
FULL_DISK = {
    "search": lambda url: search(url, "limited"),
    "experiment": lambda url: experiment(url),
    "confirmation": lambda url: run_confirmation(url, "measured"),
    "pairs": lambda url: run_pairs(open_study(url, "measured"), 100, workers=1),
}


@pytest.fixture(autouse=True)
def small_experiment(monkeypatch):
    monkeypatch.setitem(catalogue.EXPERIMENTS, SMALL.name, SMALL)


def cases(commands):
    """Return the names of commands; an experiment is slow, because it imports torch."""
    return [pytest.param(each, marks=pytest.mark.slow) if each == "experiment" else each for each in commands]


@pytest.mark.parametrize("case", cases(REFUSED))
def test_a_refused_command_changes_nothing(full, case):
    """A search, experiment or confirmation with other settings than the study's leaves the file's bytes
    unchanged and makes no copy."""
    command, message = REFUSED[case]
    before = full.read_bytes()
    with pytest.raises((StoreError, StudyError), match=message):
        command(url_of(full))
    assert full.read_bytes() == before and backups(full) == []


@pytest.mark.parametrize("case", cases(FULL_DISK))
def test_a_nearly_full_disk_is_reported_before_the_migration(full, monkeypatch, case):
    """A command on a disk without space for its records leaves the file's bytes unchanged and makes no copy."""
    monkeypatch.setattr(store_database, "FREE_BYTES", 1 << 60)
    before = full.read_bytes()
    with pytest.raises(StoreError, match="MiB are free on its disk"):
        FULL_DISK[case](url_of(full))
    assert full.read_bytes() == before and backups(full) == []
