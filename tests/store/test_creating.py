"""A study is made once, under a name that can be printed, and is found again whole."""

from __future__ import annotations

import multiprocessing

import pytest

from explorer.errors import StoreError
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.studies import check_name, find_study
from explorer.store.writer import StudyWriter
from tests.store.conftest import OBJECTIVES, make_study, proposal


def test_reopening_finds_everything(url):
    """A second opening of the file reads what the first wrote, the study's own fields among it."""
    first = make_study(url)
    StudyWriter(first, new_worker()).begin(0, proposal("a"))
    first.database.close()
    second = make_study(url)
    assert (second, second.trials()) == (first, first.trials())
    assert (
        second.fingerprint == {"data": "digits", "epochs": 2} and second.objectives == OBJECTIVES and second.seed == 3
    )
    first.database.close()
    second.database.close()


@pytest.mark.parametrize("name", ["", "  ", "a" * 201, "a\nb", "a\0b", "\u202eevil"])
def test_unprintable_names_are_refused(name):
    """A study's name is printable text of 1 to 200 characters."""
    with pytest.raises(StoreError, match="printable text"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "a" * 200, "../../etc/passwd", "Größe <b>&</b>"])
def test_printable_names_are_taken(name):
    """Any printable text is a name, whatever it looks like; it is found again by it."""
    assert check_name(name) == name
    study = make_study(None, name)
    assert find_study(study.database, name).name == name
    study.database.close()


def make_another(storage: str, begun, names) -> None:
    """One of several processes that make a study beside the others at once."""
    database = open_for_writing(storage)
    begun.wait(60)
    names.put(make_study(storage, beside=True).name)
    database.close()


def test_eight_who_make_a_new_study_at_once_get_one_each(storage):
    """Of eight processes that ask for a study beside those there are, each gets one of its own, numbered without
    gaps."""
    if storage is None:
        pytest.skip("a database in memory has one process")
    open_for_writing(storage).close()
    context = multiprocessing.get_context("forkserver")
    begun, names = context.Barrier(8), context.Queue()
    processes = [context.Process(target=make_another, args=(storage, begun, names)) for _ in range(8)]
    for process in processes:
        process.start()
    found = {names.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert found == {"one", *(f"one-{number}" for number in range(2, 9))}
