"""A study whose functions differ from those that it was begun with: when it goes on, and when it is refused."""

from __future__ import annotations

import importlib.util
import linecache

import pytest

from explorer.errors import StoreError
from explorer.store.database import open_for_writing
from explorer.store.studies import open_study, study_names
from explorer.study.search import run_search
from tests.study.evaluations import good, raises, score


def another(architecture, *, choices, epochs, seed):
    return {"accuracy": 1 - score(choices)}


def counted(architecture, choices):
    return 1.0


def counted_otherwise(architecture, choices):
    return 2.0


def search(space, url, evaluate=good, **settings):
    return run_search(space, **{"evaluate": evaluate, "storage": url, "study": "one", "trials": 3, **settings})


def names(url):
    database = open_for_writing(url)
    try:
        return study_names(database)
    finally:
        database.close()


def test_another_function_is_refused_by_name(space, url):
    """A study that has results of one function is not continued with another: one line names both and the ways on."""
    search(space, url)
    with pytest.raises(StoreError) as refused:
        search(space, url, another, trials=6)
    told = str(refused.value)
    assert "evaluate: evaluations.good, now test_changed_code.another" in told and "\n" not in told
    assert "changed_code='continue'" in told and "new_study=True" in told and "study='NAME'" in told
    assert open_study(url, "one").counts()["complete"] == 3


def test_a_changed_cost_is_refused(space, url):
    """The cost functions' code belongs to the study as well."""
    search(space, url, costs={"joules": counted})
    with pytest.raises(StoreError, match=r"cost joules: test_changed_code\.counted, now"):
        search(space, url, costs={"joules": counted_otherwise})


def test_continue_keeps_the_results_and_records_the_code(space, url, caplog):
    """``changed_code="continue"`` goes on with the trials there are, and from then on the new code is the study's."""
    search(space, url)
    study = search(space, url, another, trials=6, changed_code="continue").study
    assert study.counts()["complete"] == 6 and "goes on with other code" in caplog.text
    assert search(space, url, another, trials=7).study.counts()["complete"] == 7
    with pytest.raises(StoreError, match=r"evaluate: test_changed_code\.another, now evaluations\.good"):
        search(space, url, good, trials=8)


def test_a_function_that_never_worked_may_be_mended(space, url, caplog):
    """A study that has nothing but failures goes on with the corrected function, which is then the study's."""
    assert search(space, url, raises).failed
    study = search(space, url, good).study
    assert study.counts()["complete"] == 3 and "goes on with other code (evaluate: evaluations.raises" in caplog.text
    assert study.fingerprint["code"]["evaluate"]["name"] == "evaluations.good"


EDITED = """
def evaluate(architecture, *, choices, epochs, seed):
    if choices["depth"] == "{fails}":
        raise RuntimeError("a bug")
    return {{"accuracy": {accuracy}}}
"""


def evaluate_of(folder, **text):
    """``edited.evaluate`` as a fresh process would import it from a file with this text."""
    path = folder / "edited.py"
    path.write_text(EDITED.format(**text))
    linecache.checkcache()
    spec = importlib.util.spec_from_file_location("edited", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.evaluate


def test_a_corrected_function_goes_on_where_it_had_raised(space, url, tmp_path, caplog):
    """A function that raised for some networks is corrected: the same call retries those and keeps the other results.
    Once no trial fails by an error, a further edit is refused."""
    before = search(space, url, evaluate_of(tmp_path, fails="2", accuracy=0.5), trials=9).study
    assert before.counts()["complete"] == 9 and before.counts()["failed"] > 0
    after = search(space, url, evaluate_of(tmp_path, fails="none", accuracy=0.5), trials=27).study
    assert (after.counts()["complete"], after.counts()["failed"]) == (27, 0)
    assert "goes on with other code (evaluate: the code of edited.evaluate has changed)" in caplog.text
    with pytest.raises(StoreError, match="created with other code"):
        search(space, url, evaluate_of(tmp_path, fails="none", accuracy=0.6), trials=27)


def test_new_study_begins_another(space, url):
    """``new_study`` leaves the study of other code as it is."""
    search(space, url)
    assert search(space, url, another, new_study=True).study.name == "one-2"


def test_functions_of_two_names_are_two_studies_by_default(space, url):
    """Without a study's name each function has a study of its own, and resumes it."""
    for _ in range(2):
        for evaluate in (good, another):
            found = search(space, url, evaluate, study=None).study
            for record in found.trials():
                own = score(record.choices) if evaluate is good else 1 - score(record.choices)
                assert record.objectives["accuracy"] == own
    assert names(url) == {"tiny-good", "tiny-another"}


def forget_code(url, name):
    """As a version left it that did not keep code."""
    database = open_for_writing(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE explorer_studies SET fingerprint = json_remove(fingerprint, '$.code') WHERE name = ?", (name,)
        )
    database.close()


def test_an_old_study_goes_on_with_a_warning(space, url, caplog):
    """A study of before code was kept is continued, also under the default name of then, and its code completed."""
    search(space, url, study="tiny-evaluate")
    forget_code(url, "tiny-evaluate")
    study = search(space, url, study=None, trials=4).study
    assert (study.name, study.counts()["complete"]) == ("tiny-evaluate", 4)
    assert "before studies recorded the code of functions" in caplog.text
    assert study.fingerprint["code"]["evaluate"]["name"] == "evaluations.good"
    with pytest.raises(StoreError, match="created with other code"):
        search(space, url, another, study="tiny-evaluate")


def test_code_that_was_read_in_another_way_is_no_difference(space, url):
    """Source against bytecode, or the bytecode of two versions of Python, cannot be compared, so the name decides."""
    search(space, url)
    database = open_for_writing(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE explorer_studies SET fingerprint = "
            "json_set(fingerprint, '$.code.evaluate.code', 'bytecode of Python 3.9 0123')"
        )
    database.close()
    assert search(space, url, trials=4).study.counts()["complete"] == 4
