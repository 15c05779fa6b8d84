"""A database written by commit 80da549 is readable, and its studies resume.

Its studies: ``flaky`` and ``joules`` were evaluated by functions, some trials failed; ``preact_variants-digits`` was
trained, and confirmed from fresh seeds; ``killed`` was ended by SIGKILL within its first training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from explorer.costs.analytic import count_cost
from explorer.networks.architecture import Architecture
from explorer.space.search_space import parse_space
from explorer.store import lease
from explorer.store.lease import new_worker
from explorer.store.studies import list_studies, open_study
from explorer.store.writer import open_writer
from explorer.study.search import run_search

WRITTEN = Path(__file__).parent / "databases" / "version_1.db"


@pytest.fixture
def url(tmp_path):
    """A copy of the database."""
    shutil.copy(WRITTEN, tmp_path / "explorer.db")
    return f"sqlite:///{tmp_path}/explorer.db"


def by_parameters(architecture, *, choices, epochs, seed):
    return {"accuracy": min(1.0, count_cost(architecture).params / 1e6)}


def test_every_study_is_read(url):
    """States, failures, results, environments and confirmations are read as they were written."""
    counts = {each.name: {k: n for k, n in each.counts.items() if n} for each in list_studies(url)}
    assert counts == {
        "flaky": {"complete": 12, "failed": 4, "cached": 2},
        "joules": {"complete": 8, "failed": 6},
        "killed": {"running": 1},
        "preact_variants-digits": {"complete": 4},
    }
    assert {each.failure for each in open_study(url, "flaky").trials() if each.state == "failed"} == {"code"}
    trained = open_study(url, "preact_variants-digits")
    for record in trained.trials():
        assert record.result.curve and record.environment.versions["torch"] and record.seconds > 0
        assert Architecture.from_json(record.architecture, record.digest).digest == record.digest
    assert {(each.state, each.seed) for each in trained.confirmations()} and trained.frontier()


def test_a_study_resumes(url, caplog):
    """The same call resumes the study, retries the failed trials, and stores the code of the function."""
    text = open_study(url, "flaky").space_text
    space = parse_space(text, "preact_variants.yaml")
    study = run_search(
        space, evaluate=by_parameters, storage=url, study="flaky", trials=16, sampler="random", seed=0
    ).study
    assert (study.counts()["complete"], study.counts()["failed"]) == (16, 0)
    assert "before studies recorded the code of functions" in caplog.text and study.fingerprint["code"]


def test_a_killed_worker_is_lost_after_a_lease(url, monkeypatch):
    """A worker without a stored container, as in earlier versions, counts as lost only when its lease expires."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    heir = open_writer(url, "killed", new_worker())
    assert [record.number for record in [*heir.reap(), *heir.reap()]] == [0]
    assert (heir.resume().attempt, heir.study.trial(0).state) == (2, "running")
