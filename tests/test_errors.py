"""The classes of errors."""

from __future__ import annotations

import pickle

import pytest

import explorer
from explorer.data.decoding import DamagedImages
from explorer.errors import ExplorerError, Problem, SpaceError, did_you_mean
from explorer.measure.protocol import MeasurementFailed
from explorer.measure.settings import DTYPES, LAYOUTS
from explorer.study.samplers.registry import SAMPLERS
from explorer.study.search import RecordLost


def subclasses(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *subclasses(child))]


def test_every_error_can_be_pickled():
    """Errors keep type and message through pickling, so that a pool can raise them."""
    made = [kind("what failed") for kind in subclasses(ExplorerError) if kind not in (SpaceError, DamagedImages)]
    made.append(DamagedImages(["a.png: cut short", "b.png: empty"], 30))
    made.append(SpaceError([Problem("file.yaml", 3, 4, "a fault"), Problem("file.yaml", 1, 1, "another")]))
    for error in made:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert {RecordLost, MeasurementFailed} <= {type(error) for error in made}


@pytest.mark.parametrize("wrong", [5, "preact_variants.yaml#5", None])
def test_functions_of_an_architecture_refuse_other_values(wrong):
    """The error names the value found and how to create an Architecture."""
    for function in (explorer.cost, explorer.build):
        with pytest.raises(TypeError, match=r"an Architecture.*space\.architecture\(0\).*found"):
            function(wrong)


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("fp32", DTYPES, "float32"),
        ("half", DTYPES, "float16"),
        ("BF16", DTYPES, "bfloat16"),
        ("nhwc", LAYOUTS, "channels_last"),
        ("acc", ("accuracy", "macs"), "accuracy"),
        ("latency", ("accuracy", "latency_ms"), "latency_ms"),
        ("FLOPs", ("flops", "macs"), "flops"),
        ("parameters", ("params", "macs"), "params"),
        ("cifar-10", ("cifar10", "cifar100"), "cifar10"),
        ("CIFAR100", ("cifar10", "cifar100"), "cifar100"),
        ("NSGA-II", SAMPLERS, "nsga2"),
    ],
)
def test_a_common_term_gives_the_explorers_name(word, known, meant):
    """A common term for a thing gives the explorer's name for it as the only suggestion."""
    assert did_you_mean(word, known) == f"; did you mean {meant!r}?"


def test_a_hint_is_a_known_name():
    """A common term without a known equivalent gives no hint."""
    assert did_you_mean("fp32", ("nchw", "channels_last")) == ""
    assert did_you_mean("cnov", ("conv", "norm")) == "; did you mean 'conv'?"
