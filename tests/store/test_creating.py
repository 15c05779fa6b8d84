"""A study is created once under a printable name and read back complete."""

from __future__ import annotations

import multiprocessing

import pytest

from explorer.errors import StoreError
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.studies import check_name, find_study
from explorer.store.writer import StudyWriter
from tests.polling import PATIENCE
from tests.store.conftest import OBJECTIVES, make_study, proposal


def test_reopening_finds_everything(url):
    """A second opening of the file reads everything that the first one wrote, including the study's own fields."""
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
    """A study name is printable text of 1 to 200 characters."""
    with pytest.raises(StoreError, match="printable text"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "a" * 200, "../../etc/passwd", "Größe <b>&</b>"])
def test_printable_names_are_accepted(name):
    """Any printable text is a valid name, and the study is found by it."""
    assert check_name(name) == name
    study = make_study(None, name)
    assert find_study(study.database, name).name == name
    study.database.close()


def make_another(storage: str, begun, names) -> None:
    """Create a study beside the existing ones, in one of several concurrent processes."""
    database = open_for_writing(storage)
    begun.wait(PATIENCE)
    names.put(make_study(storage, always_new=True).name)
    database.close()


def test_eight_concurrent_creators_get_one_study_each(storage):
    """Eight processes that create a new study at once get one each, numbered without gaps."""
    if storage is None:
        pytest.skip("a database in memory has one process")
    open_for_writing(storage).close()
    context = multiprocessing.get_context("forkserver")
    begun, names = context.Barrier(8), context.Queue()
    processes = [context.Process(target=make_another, args=(storage, begun, names)) for _ in range(8)]
    for process in processes:
        process.start()
    found = {names.get(timeout=PATIENCE) for _ in processes}
    for process in processes:
        process.join(PATIENCE)
    assert found == {"one", *(f"one-{number}" for number in range(2, 9))}
