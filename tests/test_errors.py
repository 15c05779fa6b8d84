"""The error tree."""

from __future__ import annotations

import pickle

import pytest

import explorer
from explorer.errors import ExplorerError, Problem, SpaceError
from explorer.measure.protocol import MeasurementFailed
from explorer.study.search import RecordLost


def subclasses(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *subclasses(child))]


def test_every_error_is_pickled():
    """Errors cross the border of a process with type and message, so that a pool can raise them."""
    made = [kind("what failed") for kind in subclasses(ExplorerError) if kind is not SpaceError]
    made.append(SpaceError([Problem("file.yaml", 3, 4, "a fault"), Problem("file.yaml", 1, 1, "another")]))
    for error in made:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert {RecordLost, MeasurementFailed} <= {type(error) for error in made}


@pytest.mark.parametrize("wrong", [5, "preact_variants.yaml#5", None])
def test_functions_of_an_architecture_refuse_other_values(wrong):
    """The error says what was found and how an Architecture is made."""
    for function in (explorer.cost, explorer.build):
        with pytest.raises(TypeError, match=r"an Architecture.*space\.architecture\(0\).*found"):
            function(wrong)
