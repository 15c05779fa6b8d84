"""Arguments of a search in Python that are refused before its first trial."""

from __future__ import annotations

import pytest

import explorer
from explorer.errors import ExplorerError, StudyError
from explorer.study.search import run_search


@pytest.mark.parametrize("evaluate", [lambda a: {"accuracy": 0.3}, lambda architecture, choices, seed: {}])
def test_a_function_with_other_arguments_is_refused_before_the_first_trial(space, evaluate):
    """The error names the call and what is wrong with it; no trial is spent."""
    with pytest.raises(StudyError, match=r"evaluate\(architecture, choices=..., epochs=..., seed=...\).*unexpected"):
        run_search(space, evaluate=evaluate, storage=None, trials=3)
    other = run_search(space, evaluate=lambda a, **_: {"accuracy": 0.3}, storage=None, trials=2).study
    assert len(other.trials()) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"progress": 3}, "'progress' is True, False or a function"),
        ({"limits": {"macs": "4M"}}, "limits must be limits"),
    ],
)
def test_other_types_are_refused(space, given, message):
    """A number as progress and a mapping as limits give one line."""
    with pytest.raises(ExplorerError, match=message):
        explorer.search(space, evaluate=lambda a, **_: {"accuracy": 0.3}, storage=None, trials=2, **given)
