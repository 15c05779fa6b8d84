"""The validation of evaluation results."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.study.workers.jobs import check_answer, finite_number

EXPECTED = ("accuracy", "joules")
values = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=5), st.complex_numbers(), st.just([0.5])
)
answers = st.one_of(
    values,
    st.lists(values, max_size=3),
    st.dictionaries(st.sampled_from([*EXPECTED, "loss", 1]), values, max_size=3),
    st.fixed_dictionaries(dict.fromkeys(EXPECTED, values)),
    st.fixed_dictionaries({"accuracy": st.floats(0, 1), "joules": st.floats(allow_nan=False, allow_infinity=False)}),
)


def is_finite_number(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value) and abs(value) <= 1e100
    except OverflowError:
        return False


def is_heading(name) -> bool:
    return isinstance(name, str) and name.isprintable() and bool(name.strip())


@settings(max_examples=1000, deadline=None)
@given(answers)
def test_a_result_is_finite_numbers_of_the_right_names(answer):
    """A result is accepted exactly if it maps all expected names to finite numbers; any other raises a ValueError that
    describes it. An accuracy is a share from 0 to 1."""
    good = isinstance(answer, dict) and all(name in answer and is_finite_number(answer[name]) for name in EXPECTED)
    good = good and -1e-6 <= answer["accuracy"] <= 1 + 1e-6
    try:
        outcome = check_answer("evaluate", answer, EXPECTED)
    except ValueError as error:
        assert not good and str(error).startswith("evaluate") and len(str(error)) < 500
    else:
        taken = outcome.measured
        assert good and taken == pytest.approx({name: float(answer[name]) for name in taken}, rel=0, abs=1e-6)
        assert 0 <= taken["accuracy"] <= 1 and set(EXPECTED) <= set(taken)
        assert all(type(value) is float for value in taken.values())
        left = [name for name in answer if name not in taken]
        assert len(left) == len(outcome.ignored)
        assert not any(is_finite_number(answer[name]) and is_heading(name) for name in left)


def test_a_share_is_rounded_to_its_range():
    """A mean of float32 numbers that is a little beyond 1 or 0 is taken as 1 or 0; 1.01 is not."""
    found = check_answer("evaluate", {"accuracy": 1.0000001, "top5": -1e-9, "loss": 7}, ("accuracy",)).measured
    assert found == {"accuracy": 1.0, "top5": 0.0, "loss": 7.0}
    with pytest.raises(ValueError, match=r"accuracy is 1.01, .*: divide it by 100, as in 0.0101 for 1.01%"):
        check_answer("evaluate", {"accuracy": 1.01}, ("accuracy",))


def test_a_number_too_large_for_a_float_is_no_result():
    """An integer beyond the float range, or a float whose square is, is rejected with the same kind of error."""
    for value in (10**400, -(10**400), 1e308, -1e101):
        with pytest.raises(ValueError, match=r"evaluate: loss is .*, expected a number of magnitude up to 1e\+100"):
            check_answer("evaluate", {"loss": value}, ("loss",))
    assert check_answer("evaluate", {"loss": 1e100}, ("loss",)).measured == {"loss": 1e100}


def test_a_tensor_without_dimensions_is_a_number():
    """What torch and numpy return for one number is accepted; several numbers and truth values are not."""
    assert finite_number("x", torch.tensor(0.5, requires_grad=True)) == 0.5 == finite_number("x", np.array(0.5))
    for value in (torch.tensor([0.5]), torch.tensor(True), torch.tensor(math.nan)):
        with pytest.raises(ValueError, match="expected a finite number"):
            finite_number("x", value)
