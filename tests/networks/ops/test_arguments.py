"""Arguments and JSON of ops: the ranges, and the errors for values outside them."""

from __future__ import annotations

import pickle

import pytest

from explorer.errors import ArchitectureError
from explorer.networks.ops import registry
from explorer.networks.ops.activation import ReLU
from explorer.networks.ops.base import MAX_KERNEL, TensorShape, check_argument
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.norm import GroupNorm
from tests.networks.ops.modules import bound


@pytest.mark.parametrize(
    ("spelling", "argument"),
    [(name, argument) for name, op in sorted(registry.by_spelling.items()) for argument in op.arguments],
)
def test_arguments_out_of_range_are_rejected(spelling, argument):
    """Each argument accepts both ends of its range, and rejects values outside, of another type or not finite."""
    if argument.kind == "activation":
        assert check_argument(spelling, argument, ReLU()) == ReLU()
        wrong = [GroupNorm(4), "relu", 1]
    elif argument.kind == "word":
        assert [check_argument(spelling, argument, word) for word in argument.words] == list(argument.words)
        wrong = ["nothing", 1, None]
    else:
        for end in (argument.low, argument.high):
            assert check_argument(spelling, argument, end) == end
        is_whole = argument.kind in ("whole", "size")
        step = 1 if is_whole else 1e-6
        wrong = [
            argument.low - step,
            argument.high + step,
            float("nan"),
            float("inf"),
            10**400,
            True,
            "3",
            None,
            [],
            {},
        ]
        if is_whole:
            wrong.append(argument.low + 0.5)
        if argument.kind == "size":
            assert check_argument(spelling, argument, [argument.low, argument.high]) == (argument.low, argument.high)
            assert check_argument(spelling, argument, [2, 2]) == 2
            wrong += [[argument.low - 1, 2], [2, argument.high + 1], [2, 0.5], [2, 2, 2], ("same", 2)]
    for value in wrong:
        with pytest.raises(ArchitectureError, match=f"{argument.name} of {spelling} must"):
            check_argument(spelling, argument, value)


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (
            {"op": "relu"},
            {"op": "rleu"},
            "unknown op 'rleu'; an op of your own is loaded by --import FILE.py, in Python by explorer.load_extension",
        ),
        ({"op": "relu"}, {"op": ["relu"]}, "an op is a mapping"),
        ({"op": "relu"}, "relu", "an op is a mapping"),
        ({"op": "relu"}, {"op": "relu", "slope": 1}, "op 'relu' has no field 'slope'; it has: none"),
        ({"op": "conv", "kernel": 3, "out": 4}, {"op": "conv", "kernel": 3}, "op 'conv' lacks out"),
        (
            {"op": "conv", "kernel": 63, "out": 4},
            {"op": "conv", "kernel": 64, "out": 4},
            "kernel of conv must be in 1..63, found 64",
        ),
        (
            {"op": "conv", "kernel": 1, "out": 4},
            {"op": "conv", "kernel": 0, "out": 4},
            "kernel of conv must be in 1..63, found 0",
        ),
        (
            {"op": "conv", "kernel": 3, "out": 65_536},
            {"op": "conv", "kernel": 3, "out": 65_537},
            "out of conv must be in 1..65536",
        ),
        (
            {"op": "conv", "kernel": 3, "out": 4},
            {"op": "conv", "kernel": 3, "out": "4"},
            "out of conv must be a number",
        ),
        (
            {"op": "conv", "kernel": 3, "out": 4},
            {"op": "conv", "kernel": True, "out": 4},
            "kernel of conv must be a number",
        ),
        ({"op": "drop", "p": 0.5}, {"op": "drop", "p": float("nan")}, "p of drop must be finite"),
        ({"op": "drop", "p": 0.5}, {"op": "drop", "p": 10**400}, "p of drop must be in 0..0.999"),
        ({"op": "eca", "kernel": 3}, {"op": "eca", "kernel": 4}, "the kernel of eca is odd, found 4"),
        (
            {"op": "avgpool", "kernel": 3, "padding": 1},
            {"op": "avgpool", "kernel": 3, "padding": 2},
            "padding of avgpool is at most half",
        ),
        (
            {"op": "se", "squeeze": 4, "act": {"op": "silu"}},
            {"op": "se", "squeeze": 4, "act": {"op": "bn"}},
            "act of se must be an activation",
        ),
        ({"op": "se", "squeeze": 4}, {"op": "se", "squeeze": 4, "act": "silu"}, "act of se must be an activation"),
        ({"op": "se", "squeeze": 4}, {"op": "se", "squeeze": 0}, "width of se must be in 1..65536"),
    ],
)
def test_invalid_json_is_rejected(good, bad, message):
    """Unknown ops and fields, missing fields and values out of range are rejected, and the similar valid JSON is
    read."""
    assert registry.from_json(good).to_json()["op"] == good["op"]
    with pytest.raises(ArchitectureError, match=message.replace("(", r"\(")):
        registry.from_json(bad)


def test_ops_nested_in_ops_end_in_an_error():
    """JSON that nests ops a thousand levels deep is rejected like any other invalid JSON."""
    nested: dict = {"op": "silu"}
    for _ in range(300):
        nested = {"op": "se", "squeeze": 1, "act": nested}
    with pytest.raises(ArchitectureError, match="act of se must be an activation"):
        registry.from_json(nested)


def test_a_squeeze_has_a_limit():
    """A ratio far below one is limited to 65,536 channels."""
    assert bound("se", None, {"ratio": 0.001}, TensorShape(64, 1, 1)).squeeze in (63_999, 64_000)
    with pytest.raises(ArchitectureError, match=r"the squeeze of se has 12[78],[09]"):
        bound("se", None, {"ratio": 0.001}, TensorShape(128, 1, 1))


def test_groups_that_do_not_divide_give_the_nearest_divisors():
    """The error of a grouped convolution suggests the nearest divisors."""
    with pytest.raises(
        ArchitectureError, match=r"5 groups do not divide the 12 input channels.*nearest that fit: 4, 6"
    ):
        Conv(3, 20, groups=5).output_shape(TensorShape(12, 4, 4))
    assert Conv(3, 20, groups=4).output_shape(TensorShape(12, 4, 4)) == (20, 4, 4)


def test_kernel_sizes_up_to_63():
    """The largest kernel works on a small map."""
    assert Conv(MAX_KERNEL, 4).output_shape(TensorShape(2, 3, 3)) == (4, 3, 3)


def test_an_earlier_pickle_lacks_fields():
    """An op that an earlier version pickled, with fewer fields, has the defaults of the others."""
    op = Conv.__new__(Conv)
    op.__setstate__([3, 8, 2, 1, 1, 0])
    assert op == Conv(3, 8, 2) and op.padding is None
    assert pickle.loads(pickle.dumps(Conv((1, 7), 8, padding="same"))) == Conv((1, 7), 8, padding="same")
