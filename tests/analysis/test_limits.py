"""Limits on costs in the form that users write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.analysis.limits import Limit, parse_bound, parse_limit
from explorer.analysis.quantities import COSTS, UNITS
from explorer.errors import ExplorerError


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
        ("macs<=1e6", Limit("macs", "<=", 10**6)),
        ("params<1.5e7", Limit("params", "<", 15_000_000)),
        ("macs<=1_000_000", Limit("macs", "<=", 10**6)),
        ("macs <= 4 M", Limit("macs", "<=", 4_000_000)),
        ("macs<=4MMACs", Limit("macs", "<=", 4_000_000)),
        ("flops <= 4 GFLOPs", Limit("flops", "<=", 4 * 10**9)),
        ("macs=<4M", Limit("macs", "<=", 4_000_000)),
        ("macs≤4M", Limit("macs", "<=", 4_000_000)),
        ("50M>=macs", Limit("macs", "<=", 50_000_000)),
        ("0.9 < accuracy", Limit("accuracy", ">", 0.9)),
        ("accuracy>=60%", Limit("accuracy", ">=", 0.6)),
        ("top5 >= 99.5 %", Limit("top5", ">=", 0.995)),
        ("latency<=2ms", Limit("latency_ms", "<=", 2)),
        ("latency_ms<=250us", Limit("latency_ms", "<=", 0.25)),
        ("latency_ms<=0.5s", Limit("latency_ms", "<=", 500)),
        ("peak_memory_bytes<=2MiB", Limit("peak_memory_bytes", "<=", 2**21)),
        ("peak_memory_bytes<=2MB", Limit("peak_memory_bytes", "<=", 2_000_000)),
        ("reward>=-0.5", Limit("reward", ">=", -0.5)),
        ("val-acc>=0.5", Limit("val-acc", ">=", 0.5)),
    ],
)
def test_limits_are_read(text, limit):
    """A limit is a cost, a comparison, and an exact number with exponent, k, M, G or T, and unit, in either order."""
    assert parse_limit(text) == limit == parse_limit(limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("macs=50M", "did you mean 'macs<=50M'"),
        ("macs==50M", "did you mean 'macs<=50M'"),
        ("macs<=50m", "did you mean 'macs<=50M'"),
        ("macs<=1,000,000", "did you mean 'macs<=1000000'"),
        ("macs<=1,5M", "did you mean 'macs<=1.5M'"),
        ("1M<=macs<=4M", "it states two bounds: write one limit for each"),
        ("macs<=4MFLOPs", "'MFLOPs' is a unit of flops, not of macs"),
        ("macs<=50MB", "'MB' is a unit of peak_memory_bytes, not of macs"),
        ("joules<=5 J", "'J' is not a unit of joules"),
        ("error<=5%", "a percentage is understood for accuracy and top5 only"),
        ("top1>=60%", "did you mean 'accuracy'?"),
        ("memory<=1GB", "did you mean 'peak_memory_bytes'?"),
        ("params<10^6", "did you mean 'params<1e6'?"),
        ("accuracy>=160%", "at most 100%"),
        ("macs<=-5", "never negative"),
        (50_000_000, "write a text"),
    ],
)
def test_ambiguous_limits_are_rejected_with_a_suggestion(text, message):
    """The message names the fault and the likely intended form."""
    with pytest.raises(ExplorerError) as caught:
        parse_limit(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), "5"])
def test_a_bound_is_a_finite_number(bound):
    """A Limit created in Python is checked like a parsed one."""
    with pytest.raises(ExplorerError, match="must be a finite number"):
        Limit("macs", "<=", bound)
    with pytest.raises(ExplorerError, match="is not one of"):
        Limit("macs", "==", 5)


def test_every_analytic_cost_has_its_units():
    """Every analytic cost has known units."""
    assert set(COSTS) < set(UNITS)


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
        "macs<=nan",
        "macs<=inf",
        "macs<=1e400",
        "macs<=M",
        "macs<=٣",
        "ma cs<=5",
        "macs<=5;",
        "1macs<=5",
        "macs<=" + "9" * 19,
    ],
)
def test_an_invalid_limit_gives_an_example(text):
    """Any other text is rejected with an example."""
    with pytest.raises(ExplorerError, match=r"'macs<=50M'|'<= 50M'"):
        parse_limit(text)


@pytest.mark.parametrize("text", ["", "50M", "= 50M", "<= fifty", "<= 50 M B"])
def test_invalid_bounds(text):
    """A bound without its cost must be a comparison and a number."""
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
    """Values below, at and above the bound are allowed as the comparison says."""
    limit = parse_limit(f"macs {comparison} 1.1M")
    assert [limit.allows({"macs": value}) for value in (1_099_999, 1_100_000, 1_100_001)] == allowed


def test_an_unknown_cost():
    """A limit on an unknown cost gives an error that names the known costs."""
    with pytest.raises(ExplorerError, match="limit joules < 5: no cost 'joules' is known; known: macs, params"):
        parse_limit("joules<5").allows({"params": 1, "macs": 2})


@given(
    st.integers(0, 10**15), st.integers(0, 9), st.sampled_from(["", "k", "M"]), st.sampled_from(["<=", ">=", "<", ">"])
)
def test_a_printed_limit_can_be_parsed(number, tenth, suffix, comparison):
    """str(limit) is parsed as the same limit, with any number of digits."""
    limit = parse_limit(f"macs {comparison} {number}.{tenth}{suffix}")
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["macs<=1e30", "macs<=1e-30", "loss<=0.000001", "loss<=2.5e-7", "reward>=-1e20"])
def test_extreme_bounds_are_printed_with_an_exponent(text):
    """A bound that needs an exponent is printed with one."""
    assert parse_limit(str(parse_limit(text))) == parse_limit(text)


def test_limits_are_printed_with_suffixes():
    """50,000,000 is printed as 50M."""
    assert [str(parse_limit(text)) for text in ("macs<=50000000", "macs<1500", "accuracy>0.25", "flops<=2G")] == [
        "macs <= 50M",
        "macs < 1.5k",
        "accuracy > 0.25",
        "flops <= 2G",
    ]
