"""The validation of evaluation results."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.study.workers.jobs import check_answer

EXPECTED = ("accuracy", "joules")
values = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=5), st.complex_numbers(), st.just([0.5])
)
answers = st.one_of(
    values,
    st.lists(values, max_size=3),
    st.dictionaries(st.sampled_from([*EXPECTED, "loss", 1]), values, max_size=3),
    st.fixed_dictionaries(dict.fromkeys(EXPECTED, values)),
    st.fixed_dictionaries({name: st.floats(allow_nan=False, allow_infinity=False) for name in EXPECTED}),
)


def is_finite_number(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_heading(name) -> bool:
    return isinstance(name, str) and name.isprintable() and bool(name.strip())


@settings(max_examples=1000, deadline=None)
@given(answers)
def test_a_result_is_finite_numbers_of_the_right_names(answer):
    """A result is accepted exactly if it maps all expected names to finite numbers; any other raises a ValueError that
    describes it."""
    good = isinstance(answer, dict) and all(name in answer and is_finite_number(answer[name]) for name in EXPECTED)
    try:
        outcome = check_answer("evaluate", answer, EXPECTED)
    except ValueError as error:
        assert not good and str(error).startswith("evaluate") and len(str(error)) < 500
    else:
        taken = outcome.measured
        assert good and taken == {name: float(answer[name]) for name in taken} and set(EXPECTED) <= set(taken)
        assert all(type(value) is float for value in taken.values())
        left = [name for name in answer if name not in taken]
        assert len(left) == len(outcome.ignored)
        assert not any(is_finite_number(answer[name]) and is_heading(name) for name in left)


def test_a_number_too_large_for_a_float_is_no_result():
    """An integer beyond the float range is rejected like infinity, with the same kind of error."""
    with pytest.raises(ValueError, match="expected a finite number"):
        check_answer("evaluate", {"accuracy": 10**400}, ("accuracy",))
