"""Every test here decodes into a cache of its own."""

from tests.data.conftest import cache_home, own_cache  # noqa: F401 (fixtures)
