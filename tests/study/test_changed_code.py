"""A study whose functions have changed since it was created: when it resumes, and when it is refused."""

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


def test_another_function_is_refused_with_both_names(space, url):
    """A study with results of one function refuses another, with a one-line error that names both and the options."""
    search(space, url)
    with pytest.raises(StoreError) as refused:
        search(space, url, another, trials=6)
    told = str(refused.value)
    assert "evaluate: evaluations.good, now test_changed_code.another" in told and "\n" not in told
    assert "changed_code='continue'" in told and "new_study=True" in told and "study='NAME'" in told
    assert open_study(url, "one").counts()["complete"] == 3


def test_a_changed_cost_is_refused(space, url):
    """A study refuses changed code of its cost functions too."""
    search(space, url, costs={"joules": counted})
    with pytest.raises(StoreError, match=r"cost joules: test_changed_code\.counted, now"):
        search(space, url, costs={"joules": counted_otherwise})


def test_continue_keeps_the_results_and_stores_the_new_code(space, url, caplog):
    """``changed_code="continue"`` resumes with the existing trials and stores the new code for the study."""
    search(space, url)
    study = search(space, url, another, trials=6, changed_code="continue").study
    assert study.counts()["complete"] == 6 and "is resumed with changed code" in caplog.text
    assert search(space, url, another, trials=7).study.counts()["complete"] == 7
    with pytest.raises(StoreError, match=r"evaluate: test_changed_code\.another, now evaluations\.good"):
        search(space, url, good, trials=8)


def test_a_function_that_never_succeeded_may_be_fixed(space, url, caplog):
    """A study with only failures resumes with the fixed function and stores its code."""
    assert search(space, url, raises).failed
    study = search(space, url, good).study
    assert study.counts()["complete"] == 3 and "resumed with changed code (evaluate: evaluations.raises" in caplog.text
    assert study.fingerprint["code"]["evaluate"]["name"] == "evaluations.good"


EDITED = """
def evaluate(architecture, *, choices, epochs, seed):
    if choices["depth"] == "{fails}":
        raise RuntimeError("a bug")
    return {{"accuracy": {accuracy}}}
"""


def evaluate_of(folder, **text):
    """Return ``edited.evaluate`` as a new process would import it from a file with this text."""
    path = folder / "edited.py"
    path.write_text(EDITED.format(**text))
    linecache.checkcache()
    spec = importlib.util.spec_from_file_location("edited", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.evaluate


def test_a_fixed_function_retries_the_networks_it_failed(space, url, tmp_path, caplog):
    """A fixed function retries failed networks and keeps the other results; once no error remains, another edit is
    refused."""
    before = search(space, url, evaluate_of(tmp_path, fails="2", accuracy=0.5), trials=9).study
    assert before.counts()["complete"] == 9 and before.counts()["failed"] > 0
    after = search(space, url, evaluate_of(tmp_path, fails="none", accuracy=0.5), trials=27).study
    assert (after.counts()["complete"], after.counts()["failed"]) == (27, 0)
    assert "is resumed with changed code (evaluate: the code of edited.evaluate has changed)" in caplog.text
    with pytest.raises(StoreError, match="created with other code"):
        search(space, url, evaluate_of(tmp_path, fails="none", accuracy=0.6), trials=27)


def test_new_study_creates_another_study(space, url):
    """``new_study`` leaves the study of other code unchanged."""
    search(space, url)
    assert search(space, url, another, new_study=True).study.name == "one-2"


def test_functions_of_two_names_are_two_studies_by_default(space, url):
    """Without a study name each function has its own study and resumes it."""
    for _ in range(2):
        for evaluate in (good, another):
            found = search(space, url, evaluate, study=None).study
            for record in found.trials():
                own = score(record.choices) if evaluate is good else 1 - score(record.choices)
                assert record.objectives["accuracy"] == own
    assert names(url) == {"tiny-good", "tiny-another"}


def forget_code(url, name):
    """Remove the code from the study, as in a version that did not store code."""
    database = open_for_writing(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE explorer_studies SET fingerprint = json_remove(fingerprint, '$.code') WHERE name = ?", (name,)
        )
    database.close()


def test_an_old_study_resumes_with_a_warning(space, url, caplog):
    """A study created before code was stored resumes, also under its former default name, and its code is added."""
    search(space, url, study="tiny-evaluate")
    forget_code(url, "tiny-evaluate")
    study = search(space, url, study=None, trials=4).study
    assert (study.name, study.counts()["complete"]) == ("tiny-evaluate", 4)
    assert "before studies recorded the code of functions" in caplog.text
    assert study.fingerprint["code"]["evaluate"]["name"] == "evaluations.good"
    with pytest.raises(StoreError, match="created with other code"):
        search(space, url, another, study="tiny-evaluate")


def test_only_names_are_compared_when_code_is_not_comparable(space, url):
    """Source and bytecode, or bytecode of two Python versions, cannot be compared, so the function name decides."""
    search(space, url)
    database = open_for_writing(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE explorer_studies SET fingerprint = "
            "json_set(fingerprint, '$.code.evaluate.code', 'bytecode of Python 3.9 0123')"
        )
    database.close()
    assert search(space, url, trials=4).study.counts()["complete"] == 4
