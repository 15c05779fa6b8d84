"""Every test here has locks of its own, as the tests of measuring have."""

from tests.measure.conftest import own_cache  # noqa: F401 (a fixture)
