"""Each test decodes data into its own cache."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory):
    """One cache for all modules, because importing the digits takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="module")
def own_cache(cache_home):
    """The tests neither read nor write the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache_home))
        yield
