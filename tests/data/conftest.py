"""Every test here decodes into a cache of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory):
    """One for all modules: the digits take seconds to import."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="module")
def own_cache(cache_home):
    """The user's cache is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache_home))
        yield
