"""A name that an extension may provide is explained: how a file with it is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.data.catalogue import find_folder, require_known
from explorer.errors import ExplorerError, StudyError
from explorer.networks.ops import registry
from explorer.space.search_space import load_space
from explorer.study.exchange.optuna import to_optuna
from explorer.study.recorded_space import recorded_space
from explorer.study.search import run_search
from explorer.study.settings import SearchSettings
from explorer.study.stopping.rules import rule_of
from explorer.training.recipe import recipe


def search(**settings):
    """Start a search with one setting that has an unknown name."""
    run_search("preact_variants", data="cluttered-digits", trials=1, storage=None, **settings)


ASKED = {
    "op": lambda: registry.from_json({"op": "qqzz"}),
    "data set": lambda: find_folder("qqzz", None),
    "data set of a search": lambda: require_known("qqzz"),
    "recipe": lambda: recipe("qqzz"),
    "sampler": lambda: SearchSettings.make({"sampler": "qqzz"}),
    "stopping rule": lambda: SearchSettings.make({"stopping": "qqzz"}),
    "stopping rule of a study": lambda: rule_of("qqzz"),
    "tracker": lambda: SearchSettings.make({"track": "qqzz"}),
    "cost": lambda: search(objectives="accuracy,qqzz"),
    "cost of a limit": lambda: search(limits="qqzz<=1"),
}


@pytest.mark.parametrize("what", ASKED)
def test_an_unknown_name_says_how_an_extension_is_loaded(what):
    """Each kind of names that extensions provide has the hint."""
    word = what.partition(" of ")[0]
    with pytest.raises(
        ExplorerError, match=rf"an? {word} of your own is loaded by --import FILE\.py, in Python by explorer\.load_"
    ):
        ASKED[what]()


@pytest.mark.parametrize("ask", [recorded_space, to_optuna])
def test_a_missing_op_of_a_study_is_named_once(ask):
    """A study whose space has a missing op in several places says once how to load it, also in Python."""
    settings = {"evaluate": lambda architecture, **_: {"accuracy": 0.5}, "workers": 1, "storage": None, "trials": 1}
    study = run_search(load_space("preact_variants"), **settings).study
    text = study.space_text.replace("act:   relu | silu", "act:   qqgate | relu qqgate | silu")
    assert text != study.space_text
    used = {"extensions": {"op qqgate": "parts.py (code 12)"}}
    with pytest.raises(StudyError, match=r"--import parts\.py.*explorer\.load_extension\('parts\.py'\)") as caught:
        ask(replace(study, space_text=text, fingerprint={**study.fingerprint, **used}))
    assert str(caught.value).count("qqgate") == 1
