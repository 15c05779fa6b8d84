"""Every registered op has the shape, cost and JSON of its torch module."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from explorer.errors import ArchitectureError
from explorer.networks.ops import registry
from explorer.networks.ops.activation import Activation
from explorer.networks.ops.base import Context, Op, OpCost, TensorShape
from explorer.networks.ops.norm import Norm
from explorer.networks.ops.scale import Affine, SkipInit
from explorer.networks.ops.window import sides
from explorer.space.language.expression import Parser
from explorer.space.language.names import Names
from explorer.training.convolutions import replace_faulty_convolutions
from tests.networks.ops.modules import bound, built
from tests.networks.ops.pairwise import all_pairs

UNSET = None  # the argument, or the kernel size, is omitted
RELU, SILU, PRELU, HARDSIGMOID, SIGMOID = (
    registry.by_spelling[name]() for name in ("relu", "silu", "prelu", "hardsigmoid", "sigmoid")
)
# The values to test for each op's kernel size and arguments, by field; ops without either are not listed.
VALUES: dict[str, dict[str, list]] = {
    "conv": {
        "kernel": [1, 2, 3, 4, 5, 7, (1, 7), (5, 2)],
        "out": [UNSET, 20, 24],
        "stride": [UNSET, 2, 3, 4, (2, 1)],
        "dilation": [UNSET, 2, 3],
        "groups": [UNSET, 4, 12],
        "bias": [UNSET, 1],
        "padding": [UNSET, 0, 1, (0, 3), "same"],
    },
    "wsconv": {
        "kernel": [1, 2, 3, 4, 5],
        "out": [UNSET, 20, 24],
        "stride": [UNSET, 2, 3],
        "dilation": [UNSET, 2],
        "groups": [UNSET, 4, 12],
        "bias": [UNSET, 1],
        "padding": [UNSET, 0, "same"],
        "gain": [UNSET, 1],
        "gamma": [UNSET, 1.7],
        "eps": [UNSET, 1e-8],
    },
    "dwconv": {
        "kernel": [2, 3, 5, 7, (1, 3)],
        "out": [UNSET, 24],
        "stride": [UNSET, 2, (1, 2)],
        "dilation": [UNSET, 2],
        "bias": [UNSET, 1],
        "padding": [UNSET, 0, (1, 2), "same"],
    },
    "bn": {"eps": [UNSET, 1e-3]},
    "gn": {"groups": [1, 4, 12], "eps": [UNSET, 1e-3]},
    "part": {"number": [1, 2], "shares": [2, 3, 5]},
    "in_": {"eps": [UNSET, 1e-3]},
    "ln": {"eps": [UNSET, 1e-5]},
    "rmsnorm": {"eps": [UNSET, 1e-5]},
    "grn": {"eps": [UNSET, 1e-5]},
    "frn": {"eps": [UNSET, 1e-5]},
    "evonorm_b0": {"eps": [UNSET, 1e-5]},
    "evonorm_s0": {"groups": [1, 4, 12], "eps": [UNSET, 1e-3]},
    "star_relu": {"scale": [UNSET, 0.9], "bias": [UNSET, -0.4]},
    "skipinit": {"init": [UNSET, 0.2]},
    "leaky_relu": {"slope": [UNSET, 0.2]},
    "se": {
        "ratio": [UNSET, 2, 5],
        "multiple": [UNSET, 8],
        "least": [UNSET, 0.9],
        "squeeze": [UNSET, 7],
        "act": [UNSET, SILU, PRELU],
        "gate": [UNSET, HARDSIGMOID],
        "bias": [UNSET, 0],
        "norm": [UNSET, "bn"],
    },
    "ese": {"gate": [UNSET, SIGMOID]},
    "gc": {"ratio": [UNSET, 3], "multiple": [UNSET, 8], "squeeze": [UNSET, 5], "fuse": [UNSET, "scale"]},
    "coord_attn": {"ratio": [UNSET, 3], "multiple": [UNSET, 4], "squeeze": [UNSET, 5], "bias": [UNSET, 1]},
    "simam": {"epsilon": [UNSET, 1e-3]},
    "sk": {
        "kernel": [3, 5],
        "out": [UNSET, 12],
        "stride": [UNSET, 1],
        "dilation": [UNSET, 2],
        "groups": [UNSET, 4],
        "ratio": [UNSET, 2],
        "multiple": [UNSET, 4],
        "squeeze": [UNSET, 5],
        "split": [UNSET, 1],
    },
    "splat": {
        "kernel": [1, 3, 5],
        "out": [UNSET, 12],
        "stride": [UNSET, 1],
        "dilation": [UNSET, 2],
        "groups": [UNSET, 2],
        "radix": [UNSET, 1, 3],
        "ratio": [UNSET, 2],
        "squeeze": [UNSET, 6],
    },
    "cbam": {"ratio": [UNSET, 3]},
    "mhsa": {
        "heads": [3, 4],
        "position": [UNSET, "none", "bias"],
        "window": [UNSET, 2, 8],
        "grid": [UNSET, 4],
        "bias": [UNSET, 1],
        "proj": [UNSET, 1],
    },
    "halo": {
        "heads": [UNSET, 3, 4],
        "block": [2, 4],
        "halo": [0, 1, 3],
        "queries": [UNSET, 12],
        "stride": [UNSET, 2],
    },
    "bat": {
        "ratio": [UNSET, 2],
        "multiple": [UNSET, 4],
        "squeeze": [UNSET, 6],
        "block": [2, 4],
        "groups": [UNSET, 1],
        "drop": [UNSET, 0.2],
    },
    "affine": {"scale": [UNSET, 0.9], "bias": [UNSET, -0.4]},
    "linear_attn": {"heads": [3, 4], "scale": [UNSET, 3, 5]},
    "drop": {"p": [0.25, 0.5]},
    "droppath": {"p": [0.25, 0.5]},
    "scale": {"factor": [0.5, -2.0]},
    "layerscale": {"init": [UNSET, 0.1]},
    "shortcut_gate": {"bias": [UNSET, -6.0]},
    "maxpool": {
        "kernel": [1, 2, 3, 4, 5, (1, 2), (3, 1)],
        "stride": [UNSET, 2, 3, (2, 1)],
        "padding": [UNSET, 0, 1, (0, 1), "same"],
        "ceil": [UNSET, 1],
    },
    "avgpool": {
        "kernel": [UNSET, 1, 2, 3, 5, 7, (1, 8), (3, 2)],
        "stride": [UNSET, 2, 3, 5, (1, 2)],
        "padding": [UNSET, 0, 1, (1, 0), "same"],
        "ceil": [UNSET, 0, 1],
        "count_pad": [UNSET, 1],
    },
    "blurpool": {"kernel": [UNSET, 3], "stride": [UNSET, 2, (1, 2)], "padding": [UNSET, "zero"]},
    "space_to_depth": {"block": [UNSET, 2, 4]},
    "depth_to_space": {"block": [UNSET, 2]},
    "upsample": {"factor": [UNSET, 3], "mode": [UNSET, "bilinear"]},
    "slice": {"start": [0, 3, 6], "stop": [UNSET, 6, 9]},
    "sr_attn": {"heads": [3, 4], "reduction": [1, 2, 3], "bias": [UNSET, 0]},
    "token_mix": {"hidden": [UNSET, 5], "act": [UNSET, SILU, PRELU], "bias": [UNSET, 0]},
    "subsample": {"stride": [UNSET, 2, 3, (1, 2)], "out": [UNSET, 12, 20]},
    "shuffle": {"groups": [3, 4]},
    "zero": {"stride": [UNSET, 2, 3, (2, 1)], "channels": [UNSET, 12, 20]},
    "zeropad": {"padding": [1, (0, 2)]},
    "fc": {"out": [UNSET, 7], "bias": [UNSET, 0]},
}

SHAPES = [TensorShape(12, 8, 8), TensorShape(24, 9, 7), TensorShape(12, 1, 1), TensorShape(12, 1, 12)]

MISFITS = (
    "does not fit",
    "divide",
    "only adds channels",
    "by itself",
    "at most half its window",
)  # reasons to reject a shape, or an argument


class Case(NamedTuple):
    """An op with its arguments and its input shape."""

    spelling: str
    given: dict[str, Any]
    x: TensorShape

    @classmethod
    def of(cls, row: dict[str, Any]) -> Case:
        given = {name: value for name, value in row.items() if name in VALUES.get(row["op"], {}) and value is not UNSET}
        return cls(row["op"], given, row["shape"])

    @property
    def op(self) -> Op:
        """Return the op. Raises ArchitectureError if it does not fit the shape."""
        given = dict(self.given)
        op = bound(self.spelling, given.pop("kernel", None), given, self.x)
        op.output_shape(self.x)
        return op

    @property
    def fits(self) -> bool:
        try:
            return self.op is not None
        except ArchitectureError:
            return False

    def __str__(self) -> str:
        return "-".join([self.spelling, *(f"{name}={value}" for name, value in self.given.items()), str(self.x)])


@cache
def cases(checks: tuple[str, ...]) -> dict[str, list[Case]]:
    """Return the cases of each check: every pair of an op's arguments, every argument on every shape, and each argument
    in every check. Ops without arguments share one design."""
    bare = sorted(registry.by_spelling.keys() - VALUES.keys())
    found: dict[str, list[Case]] = {check: [] for check in checks}
    for ops in [bare, *([name] for name in VALUES)]:
        factors = {"op": ops, "shape": SHAPES, "check": checks, **VALUES.get(ops[0], {})}
        for row in all_pairs(factors, lambda row: Case.of(row).fits):
            if (case := Case.of(row)) not in found[row["check"]]:
                found[row["check"]].append(case)
    return found


def pytest_generate_tests(metafunc):
    """Parametrise every test that takes a ``case``, which is a check of the design."""
    if "case" in metafunc.fixturenames:
        tests = vars(metafunc.module).items()
        checks = tuple(name for name, test in tests if "case" in getattr(test, "__annotations__", ()))
        metafunc.parametrize("case", cases(checks)[metafunc.function.__name__], ids=str)


def macs_of(module: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """Return MACs and output elements of the convolutions, linear layers and matrix products that fvcore counts."""
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    counted = []
    for analysis in (FlopCountAnalysis(module, x), ActivationCountAnalysis(module, x)):
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = analysis.by_operator()
        counted.append(
            int(sum(by_operator.get(name, 0) for name in ("conv", "linear", "matmul", "addmm", "einsum", "bmm")))
        )
    return counted[0], counted[1]


def test_the_declared_shape_is_that_of_the_module(case: Case):
    """output_shape is the output shape of the torch module."""
    op, x = case.op, case.x
    y = op.output_shape(x)
    put_out = built(op, x)(torch.randn(2, *x))
    assert tuple(put_out.reshape(2, *y).shape[1:]) == y
    assert put_out.numel() == 2 * y.elements


def test_the_declared_cost_is_that_of_the_module(case: Case):
    """params are the module's trainable parameters, and macs and activations equal fvcore's counts."""
    op, x = case.op, case.x
    module = built(op, x)
    cost = op.cost(x)
    assert cost.params == sum(p.numel() for p in module.parameters() if p.requires_grad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert (cost.macs, cost.activations) == macs_of(module, torch.randn(1, *x))


def evaluated(rule: Mapping[str, str], op: Op, x: TensorShape) -> tuple[int, ...]:
    """Return the values of the formulas of a ``cost_rule``, evaluated as arithmetic of the space language."""
    y = op.output_shape(x)
    words = {"C": x.channels, "H": x.height, "W": x.width, "Ho": y.height, "Wo": y.width}
    words |= {argument.name: getattr(op, argument.field, None) for argument in op.arguments}
    kernel = getattr(op, "kernel", 1)
    words |= {"K": kernel, "K*K": "*".join(map(str, sides(kernel))), "S": getattr(op, "squeeze", None)}

    def number(formula: str) -> Fraction:
        return Parser(re.sub(r"K\*K|[A-Za-z]+", lambda m: str(words[m[0]]), formula), Names(), "", "").sum().constant()

    return tuple(number(rule.get(key, "0")) for key in OpCost._fields)


def test_the_formulas_in_the_docs_are_the_costs(case: Case):
    """cost_rule, which the reference page prints, has the value of cost()."""
    op, x = case.op, case.x
    if "prelu" in (getattr(getattr(op, "act", None), "spelling", ""), getattr(op, "position", "")):
        pytest.skip("the activation adds its own parameters")
    if getattr(op, "position", "relative") != "relative" or getattr(op, "scale", 0):
        pytest.skip("the formula includes distances, and no second scale")
    if getattr(op, "window", 0) or getattr(op, "grid", 0):
        pytest.skip("the formula is that of the whole map")
    if getattr(op, "reduction", 2) == 1 or getattr(op, "hidden", 1) == 0:
        pytest.skip("the formula is that of a smaller map, or of two layers")
    if getattr(op, "norm", "none") != "none":
        pytest.skip("the formula is that without norm")
    rule = registry.by_spelling[case.spelling].cost_rule
    assert evaluated(rule, op, x) == op.cost(x)


def test_values_stay_between_their_bounds(case: Case):
    """values() bounds the module's output in evaluation and in training, for inputs of any sign."""
    op, x = case.op, case.x
    module = built(op, x)
    for low, high in ((-2.0, 3.0), (0.0, 3.0), (0.25, 0.75), (-3.0, -1.0)):
        image = torch.rand(8, *x) * (high - low) + low
        least, most = op.values(low, high)
        assert least <= most
        for training in (False, True):
            if training and op.role == "norm" and x.positions == 1:
                continue  # with one value per channel and image there is no spread to learn
            put_out = module.train(training)(image)
            assert least - 1e-5 <= put_out.min() and put_out.max() <= most + 1e-5


def test_the_canonical_form_computes_the_same(case: Case):
    """canonical() returns an op with the same effect, or None if the op changes nothing."""
    op, x = case.op, case.x
    simple = op.canonical(x)
    if simple is None:
        image = torch.randn(2, *x)
        assert torch.equal(built(op, x)(image).reshape(image.shape), image)
        return
    assert simple.output_shape(x) == op.output_shape(x)
    assert simple.cost(x) == op.cost(x)
    first, second = built(op, x), built(simple, x)
    second.load_state_dict(first.state_dict())
    image = torch.randn(2, *x)
    assert torch.allclose(first(image), second(image), rtol=1e-4, atol=1e-5)


def test_json_round_trip(case: Case):
    """An op is unchanged after conversion to JSON text and back."""
    assert registry.from_json(json.loads(json.dumps(case.op.to_json()))) == case.op


def test_ops_are_differentiable(case: Case):
    """Gradients reach the input and all parameters, also in training mode."""
    op, x = case.op, case.x
    module = built(op, x)
    image = torch.randn(2, *x, requires_grad=True)
    module(image).square().sum().backward()
    assert image.grad is not None
    assert all(p.grad is not None for p in module.parameters())


def test_mixed_precision_and_channels_last(case: Case):
    """In bfloat16 and channels last an op trains, and its outputs are near those in float32."""
    op, x = case.op, case.x
    module = built(op, x).train()
    image = torch.randn(4, *x)
    exact = module(image)
    with replace_faulty_convolutions(module):  # as in a training
        with torch.autocast("cpu", torch.bfloat16):
            fast = module(image.to(memory_format=torch.channels_last).requires_grad_())
        fast.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    is_random = op.role == "regulariser" or getattr(op, "drop", 0)
    if not is_random and not op.needs_several_images(x):  # a norm of four averages enlarges rounding errors
        assert (fast.float() - exact).norm() <= 0.1 * exact.norm() + 1e-3


def test_norms_and_trained_factors_are_vectors():
    """Parameters of norms, activations and factors have at most one dimension, so ``decay_vectors`` applies to them."""
    x = TensorShape(32, 4, 4)
    classes = [cls for cls in registry.by_spelling.values() if issubclass(cls, (Norm, Activation, SkipInit, Affine))]
    for op in [cls() for cls in classes]:
        assert all(parameter.ndim <= 1 for parameter in built(op, x).parameters()), op
    assert built(bound("wsconv", 3, {"gain": 1}, x), x).get_parameter("gain").ndim == 1


def test_str_is_read_back(case: Case):
    """str(op) is valid in the language and is read back as the same op."""
    from explorer.space.derive.layers import Program, Resolver
    from explorer.space.language.expression import Parser
    from explorer.space.language.names import Names

    op, x = case.op, case.x
    if op.spelling == "cbam":
        pytest.skip("cbam's squeeze can only be written as a ratio")
    tree = Parser(str(op), Names(), "r", "network").structure_rule()
    (layer,) = Resolver(Program({}), lambda point: 0, {}).layers(tree)
    assert layer.bind(Context(x, 24, 1, 10)) == op


@pytest.mark.parametrize("spelling", VALUES)
def test_misfits_give_a_reason(spelling):
    """Any combination of arguments and shape is an op or gives an error with the reason."""
    factors = {"op": [spelling], "shape": SHAPES, **VALUES[spelling]}
    for values in product(*factors.values()):
        try:
            assert Case.of(dict(zip(factors, values))).op.role == registry.by_spelling[spelling].role
        except ArchitectureError as error:
            assert any(reason in str(error) for reason in MISFITS), error


def test_every_op_is_tested():
    """Ops with a size or a required argument are listed above with all of their arguments."""
    ops = registry.by_spelling
    assert {name for name, op in ops.items() if op.sized is True or op.lacking(())} <= VALUES.keys() <= ops.keys()
    for name, values in VALUES.items():
        fields = {argument.field for argument in ops[name].arguments}
        assert values.keys() == fields | ({"kernel"} if ops[name].sized is not False else set()), name
