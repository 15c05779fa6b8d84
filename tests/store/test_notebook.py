"""Short texts and HTML of values in a notebook, and copies of them."""

from __future__ import annotations

import copy
import pickle

import pytest

import explorer
from explorer.errors import StoreError
from tests.study.evaluations import SPACE_TEXT, good

SPACE = explorer.parse_space(SPACE_TEXT.replace("name: tiny", "name: '<b>tiny'"))


@pytest.fixture(scope="module")
def study():
    return explorer.search(SPACE, evaluate=good, trials=3, storage=None, workers=1, progress=False)


def test_values_print_as_one_short_line(study):
    """The text of a space, study, trial, network and cost is one line of at most 250 characters."""
    record = study.trial(0)
    values = (SPACE, study, record, record.architecture, explorer.cost(record.architecture))
    for value in values:
        assert len(repr(value)) <= 250 and "\n" not in repr(value), repr(value)
    assert len(repr(study.frontier())) <= 250 * len(study.frontier())
    assert "27 derivations" in repr(SPACE) and record.digest in repr(record.architecture)


def test_values_are_drawn_in_notebooks(study):
    """Each value has HTML, in which texts of users are escaped: a network its blocks, a study its front."""
    record = study.trial(0)
    for value in (SPACE, study, record, record.architecture, explorer.cost(record.architecture)):
        html = value._repr_html_()
        assert "<b>tiny" not in html and html.count("<table>") == html.count("</table>")
    assert "conv3x3" in record.architecture._repr_html_() and "stage 2" in record.architecture._repr_html_()
    assert "<svg" in study._repr_html_() and study._repr_html_().count("<circle") == len(study.frontier())
    assert "no trials yet" not in study._repr_html_()


def test_values_are_pickled_and_copied(study):
    """Spaces, networks, costs and trials are equal after pickling and copying."""
    record = study.trial(0)
    for value in (SPACE[1], record.architecture, explorer.cost(record.architecture), record):
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == copy.copy(value) == value
    assert copy.deepcopy(SPACE).count() == pickle.loads(pickle.dumps(SPACE)).count() == SPACE.count()
    assert copy.deepcopy(study).counts() == study.counts()


def test_a_trials_network_is_an_architecture(study):
    """``record.architecture`` can be built and costed; a trial that was read without it says how to read it."""
    record = study.best_under(["macs<=4M"])
    assert explorer.cost(record.architecture).macs == record.costs["macs"]
    assert explorer.Architecture.from_json(record.architecture) == record.architecture
    with pytest.raises(StoreError, match=r"study.trial\(0\) reads all of a trial"):
        _ = study.trials(full=False)[0].architecture


def test_methods_mirror_the_commands(study, tmp_path):
    """A study exports, reports, plots and estimates effects; what needs a database says so for a study in memory."""
    page = study.report(tmp_path / "report.html")
    assert page.read_text().startswith("<!doctype html>") and study.report(page) == page
    (tmp_path / "mine.html").write_text("mine")
    for name, message in (("mine.html", "was not written by this command"), ("report.pdf", "ends in .html")):
        with pytest.raises(explorer.ExplorerError, match=message):
            study.report(tmp_path / name)
    assert {each.factor for each in study.effects()} <= {"depth", "act", "attn", "ratio"}
    drawn = [trace.customdata for trace in study.plot_frontier().data if trace.customdata is not None]
    assert sorted(number for numbers in drawn for number in numbers) == [0, 1, 2]
    folder = study.export(study.frontier()[0].number, tmp_path / "net", formats=["yaml"])
    assert "not trained" in (folder / "README.md").read_text().lower()
    status = explorer.study_status(study)
    assert (status.processes, status.trials["complete"]) == (0, 3)
    assert [explorer.stop_study(study).at_once, explorer.stop_study(study, at_once=True).number] == [False, 2]
    for call in (study.confirm, lambda: study.compare("other")):
        with pytest.raises(StoreError, match=r"is in memory; keep it with explorer.copy_study\(study, 'kept.db'\)"):
            call()
    with pytest.raises(TypeError, match=r"explorer.copy_study\(study, 'kept.db'\) keeps it in a file"):
        pickle.dumps(study)
    kept = explorer.copy_study(study, tmp_path / "kept.db")
    assert kept.compare(kept.name) and pickle.loads(pickle.dumps(kept)).counts() == study.counts()
    with pytest.raises(explorer.ExplorerError, match="evaluated by a function"):
        kept.confirm()
