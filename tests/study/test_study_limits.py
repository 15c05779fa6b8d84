"""A study's limits: stored with it, and reported when they change."""

from __future__ import annotations

import json
import logging
import sqlite3

import pytest

from explorer.analysis.limits import parse_limit
from explorer.costs.analytic import count_cost
from explorer.errors import StudyError
from explorer.space.search_space import parse_space
from explorer.store.studies import open_study
from explorer.study.joining import join_search
from explorer.study.search import run_search
from tests.study.evaluations import SPACE_TEXT, good

TIGHT, WIDE = [parse_limit("macs<=400k")], [parse_limit("macs <= 700k")]


def search(space, url, **settings):
    return run_search(space, **{"evaluate": good, "storage": url, "study": "one", "sampler": "random", **settings})


def dearest(study) -> float:
    return max(record.costs["macs"] for record in study.trials() if record.state == "complete")


def test_a_resumed_search_keeps_the_limits_of_its_study(space, url, caplog):
    """A command without limits or with the same ones resumes under the study's limits without a message."""
    study = search(space, url, limits=TIGHT, trials=2).study
    assert study.limits == open_study(url).limits == ("macs <= 400k",) and "limits" not in study.fingerprint
    for limits in (None, TIGHT):
        result = search(space, url, limits=limits, trials=1000)
        assert result.ended == "no network of the space within its limits is left to try"
        assert dearest(result.study) <= 400e3 and result.study.limits == study.limits
    assert "limits were" not in caplog.text


@pytest.mark.parametrize("sampler", ["random", "frontier", "evolution", "tpe"])
def test_new_limits_are_reported_and_reconsider_rejected_networks(space, url, caplog, sampler):
    """New limits replace the study's with a one-line message, and networks that only the old limits rejected are
    tried."""
    search(space, url, limits=TIGHT, trials=1000, sampler=sampler)
    with caplog.at_level(logging.WARNING):
        result = search(space, url, limits=WIDE, trials=1000, sampler=sampler)
    assert "study 'one': its limits were macs <= 400k, from now on they are macs <= 700k" in caplog.text
    networks = [space.architecture(index) for index in range(space.count())]
    study = result.study
    tried = {record.digest for record in study.trials() if record.state == "complete"}
    within = {a.digest for a in networks if count_cost(a).macs <= 700e3}
    assert tried == within and 400e3 < dearest(study) <= 700e3 and open_study(url).limits == ("macs <= 700k",)


def test_a_single_limit_may_be_a_string(space, url):
    """A single limit given as a string is not read as a list of letters."""
    study = run_search(space, evaluate=good, storage=url, study="one", trials=3, limits="macs<=200k").study
    assert study.limits == ("macs <= 200k",)
    assert study.counts()["complete"] == 3


def test_an_empty_list_removes_the_limits(space, url, caplog):
    """An empty list of limits is a setting too: the whole space is searched."""
    search(space, url, limits=TIGHT, trials=2)
    study = search(space, url, limits=(), trials=1000).study
    assert study.counts()["complete"] == space.count() and study.limits == ()
    assert "its limits were macs <= 400k, from now on they are none" in caplog.text


def test_a_worker_keeps_the_limits_of_the_study(space, url):
    """``explorer worker`` needs no --limit: it trains only networks within the study's limits."""
    settings = {"data": "digits", "subset": 100, "epochs": 1, "study": "trained", "sampler": "random", "workers": 1}
    run_search(space, storage=url, trials=1, limits=TIGHT, **settings)
    study = join_search(url, "trained", trials=4, sampler="random", workers=1).study
    assert dearest(study) <= 400e3 and study.counts()["complete"] + study.counts()["stopped"] == 4


def test_a_study_from_before_limits_were_stored_resumes(space, url, tmp_path, caplog):
    """A study's row without limits, as older versions wrote it, has no limits; given limits are stored."""
    search(space, url, trials=2)
    connection = sqlite3.connect(tmp_path / "explorer.db")
    (kept,) = connection.execute("SELECT fingerprint FROM explorer_studies").fetchone()
    connection.close()
    assert "limits" not in json.loads(kept) and open_study(url).limits == ()
    search(space, url, limits=TIGHT, trials=3)
    assert open_study(url).limits == ("macs <= 400k",)
    assert "its limits were none, from now on they are macs <= 400k" in caplog.text


@pytest.mark.parametrize("limits", [("macs<=1k", "macs>=2k"), ("macs<1k", "macs>=1k"), ("params>=100M",)])
def test_contradictory_limits_are_rejected(space, url, limits):
    """Limits that no network can keep give an error that names both, also if one belongs to the space."""
    bounded = parse_space(SPACE_TEXT.rstrip() + "\nlimits: {params: <= 2M}\n")
    with pytest.raises(StudyError, match="no network keeps both"):
        run_search(bounded, trials=1, storage=url, evaluate=good, limits=limits)
    kept = run_search(space, trials=1, storage=url, evaluate=good, limits=("macs>=1", "macs<=1G"))
    assert kept.study.counts()["complete"] == 1
