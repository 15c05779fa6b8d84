"""Bounds on costs, as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import ExplorerError
from explorer.limits import Limit, parse_bound, parse_limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("macs<=50M", Limit("macs", "<=", 50_000_000)),
        ("macs <= 50M", Limit("macs", "<=", 50_000_000)),
        (" params < 1.1M ", Limit("params", "<", 1_100_000)),
        ("accuracy>0.9", Limit("accuracy", ">", 0.9)),
        ("latency_ms >= 2.5", Limit("latency_ms", ">=", 2.5)),
        ("flops<=4G", Limit("flops", "<=", 4_000_000_000)),
        ("macs<3k", Limit("macs", "<", 3_000)),
        ("macs<3K", Limit("macs", "<", 3_000)),
        ("macs<1T", Limit("macs", "<", 10**12)),
        ("params<=2.3k", Limit("params", "<=", 2_300)),
    ],
)
def test_limits_are_read(text, limit):
    """A cost, a comparison, a number with or without k, M, G or T, exactly."""
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text",
    [
        "",
        "macs",
        "macs 50M",
        "macs=50M",
        "macs==50M",
        "macs<=",
        "<=50M",
        "macs<=50MB",
        "macs<=-5",
        "macs<=1e6",
        "macs<=M",
        "macs<=٣",
        "ma cs<=5",
        "macs<=5;",
        "1macs<=5",
        "macs<=" + "9" * 19,
    ],
)
def test_what_is_no_limit_says_what_one_looks_like(text):
    """Anything else is refused with an example."""
    with pytest.raises(ExplorerError, match=r"'macs<=50M'|'<= 50M'"):
        parse_limit(text)


@pytest.mark.parametrize("text", ["", "50M", "= 50M", "<= fifty", "<= 50 M B"])
def test_what_is_no_bound(text):
    """A bound without its cost is a comparison and a number."""
    assert parse_bound("macs", "<= 50M") == parse_limit("macs<=50M")
    with pytest.raises(ExplorerError, match="is not a bound; write a comparison and a number"):
        parse_bound("macs", text)


@pytest.mark.parametrize(
    ("comparison", "allowed"),
    [
        ("<=", [True, True, False]),
        ("<", [True, False, False]),
        (">=", [False, True, True]),
        (">", [False, False, True]),
    ],
)
def test_what_a_limit_allows(comparison, allowed):
    """Below, at and above the bound, by comparison."""
    limit = parse_limit(f"macs {comparison} 1.1M")
    assert [limit.allows({"macs": value}) for value in (1_099_999, 1_100_000, 1_100_001)] == allowed


def test_a_cost_that_is_not_known():
    """A limit on a cost that was not counted is an error that names the costs there are."""
    with pytest.raises(ExplorerError, match="limit joules < 5: no cost 'joules' is known; known: macs, params"):
        parse_limit("joules<5").allows({"params": 1, "macs": 2})


@given(
    st.integers(0, 10**15), st.integers(0, 9), st.sampled_from(["", "k", "M"]), st.sampled_from(["<=", ">=", "<", ">"])
)
def test_a_limit_is_printed_as_it_can_be_read(number, tenth, suffix, comparison):
    """str(limit) is read back as the same limit, however many digits it has."""
    limit = parse_limit(f"macs {comparison} {number}.{tenth}{suffix}")
    assert parse_limit(str(limit)) == limit


def test_limits_are_printed_short():
    """50,000,000 is 50M."""
    assert [str(parse_limit(text)) for text in ("macs<=50000000", "macs<1500", "accuracy>0.25", "flops<=2G")] == [
        "macs <= 50M",
        "macs < 1.5k",
        "accuracy > 0.25",
        "flops <= 2G",
    ]
