"""Each test has its own lock files, like the tests of measurements."""

from tests.measure.conftest import own_cache  # noqa: F401 (a fixture)
