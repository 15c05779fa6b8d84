"""Differences and their intervals, and what they tell."""

from __future__ import annotations

import numpy
import pytest
from scipy import stats

from explorer.reproduction.comparison import Network, Row, differences, verdict
from explorer.reproduction.experiment import TEST_ERROR, Case

NETWORK = Network("v1-0", {}, 20, 1, 1)


def rows(first, second, published=(6.0, 5.0)):
    cases = Case("a", {}, published[0]), Case("b", {}, published[1], against="a")
    return [Row(case, NETWORK, tuple(values)) for case, values in zip(cases, (first, second))]


def test_the_interval_is_students():
    """The interval is that of scipy's t-test of two samples with equal variances."""
    a, b = (50.0, 52.0, 49.0), (45.0, 47.0, 49.0)
    (found,) = differences(rows(a, b))
    expected = stats.ttest_ind(b, a).confidence_interval(0.95)
    assert found.ci95 == pytest.approx(tuple(expected))
    assert (found.measured, found.published) == (pytest.approx(numpy.mean(b) - numpy.mean(a)), -1.0)


def test_intervals_cover():
    """Of 1,000 simulated differences of three seeds each, 95% +- 2 are inside their interval."""
    draw = numpy.random.default_rng(0)
    inside = 0
    for _ in range(1_000):
        (found,) = differences(rows(draw.normal(50, 2, 3), draw.normal(47, 2, 3)))
        inside += found.ci95[0] <= -3 <= found.ci95[1]
    assert 930 <= inside <= 970


def test_one_seed_has_no_interval():
    """With one seed there is a difference without interval, and the verdict says what is missing."""
    found = differences(rows([50.0], [45.0]))
    assert (found[0].measured, found[0].ci95, found[0].is_separated) == (-5.0, None, None)
    assert verdict(found, TEST_ERROR) == ["No interval: each of two compared cases needs two finished seeds or more."]


def test_a_case_without_number():
    """A case that the paper marks as failed has no published difference; one whose trainings failed has no measured."""
    failed = differences(rows([50.0, 51.0], [], published=(6.0, None)))[0]
    assert (failed.published, failed.measured, failed.ci95) == (None, None, None)


def test_the_verdict_names_both_kinds():
    """What the intervals separate and what they cannot separate is named, with their widths."""
    clear, unclear = differences(rows([50.0, 50.2, 50.1], [45.0, 45.2, 45.1])), differences(rows([50, 60], [49, 58]))
    text = " ".join(verdict([*clear, *unclear], TEST_ERROR))
    assert "This run separates: b from a." in text
    assert "This run cannot separate (the interval holds 0): b from a." in text
    assert "+-0.23 to +-" in text and "published differences are 1.00 to 1.00 points" in text
