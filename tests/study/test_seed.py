"""The seed of a study: given or omitted, for a new or an existing study."""

from __future__ import annotations

import pytest

from explorer.errors import StoreError
from explorer.study.search import run_search
from tests.study.evaluations import good


def search(space, url, **settings):
    settings = {"evaluate": good, "storage": url, "sampler": "random", "trials": 3, **settings}
    return run_search(space, **settings).study


def test_another_seed_is_another_study_by_default(space, url, caplog):
    """Without a study name, another seed has its own study, which it resumes."""
    first = search(space, url)
    second = search(space, url, seed=1)
    assert (first.name, first.seed) == ("tiny-good", 0) and (second.name, second.seed) == ("tiny-good-seed1", 1)
    assert [r.seed for r in first.trials()] != [r.seed for r in second.trials()]
    assert "study 'tiny-good' was created with seed 0; with seed 1 this run uses study 'tiny-good-seed1'" in caplog.text
    assert search(space, url, seed=1, trials=4).name == "tiny-good-seed1"
    assert search(space, url, seed=0, trials=4).name == search(space, url, trials=5).name == "tiny-good"


def test_another_seed_of_a_named_study_is_refused(space, url):
    """With a study name, another seed is refused with a one-line error that names both; the same seed or none
    resumes."""
    search(space, url, study="one", seed=3)
    with pytest.raises(StoreError) as refused:
        search(space, url, study="one", seed=0)
    assert "study 'one'" in str(refused.value) and "created with seed 3, found seed 0" in str(refused.value)
    assert "--new-study" in str(refused.value) and "\n" not in str(refused.value)
    assert search(space, url, study="one", seed=3, trials=4).counts()["complete"] == 4
    assert search(space, url, study="one", trials=5).seed == 3


def test_a_new_study_uses_the_given_seed(space, url):
    """``new_study`` uses the given seed, 0 by default."""
    search(space, url)
    begun = [search(space, url, new_study=True, seed=7), search(space, url, new_study=True)]
    assert [(study.name, study.seed) for study in begun] == [("tiny-good-2", 7), ("tiny-good-3", 0)]
