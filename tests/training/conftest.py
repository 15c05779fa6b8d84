"""Each test decodes data into its own cache."""

from tests.data.conftest import cache_home, own_cache  # noqa: F401 (fixtures)
