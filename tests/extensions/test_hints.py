"""A name that an extension may provide is explained: how a file with it is loaded."""

from __future__ import annotations

import pytest

from explorer.data.catalogue import find_folder, require_known
from explorer.errors import ExplorerError
from explorer.networks.ops import registry
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
    with pytest.raises(ExplorerError, match=rf"an? {word} of your own is loaded by --import FILE\.py"):
        ASKED[what]()
