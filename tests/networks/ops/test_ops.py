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
from explorer.networks.build import instantiate
from explorer.networks.ops import registry
from explorer.networks.ops.activation import ReLU
from explorer.networks.ops.base import MAX_KERNEL, Context, Op, OpCost, TensorShape, check_argument
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.merge import MERGES, Add, Concatenate, Gate, merge_from_json
from explorer.networks.ops.norm import GroupNorm
from explorer.networks.ops.pool import AvgPool
from explorer.networks.ops.squeeze_excitation import EfficientChannelAttention, SqueezeExcitation, nearest_multiple
from explorer.space.language.expression import Parser
from explorer.space.language.names import Names
from tests.networks.ops.pairwise import all_pairs

UNSET = None  # the argument, or the kernel size, is omitted
RELU, SILU, PRELU, HARDSIGMOID = (registry.by_spelling[name]() for name in ("relu", "silu", "prelu", "hardsigmoid"))
# The values to test for each op's kernel size and arguments, by field; ops without either are not listed.
VALUES: dict[str, dict[str, list]] = {
    "conv": {
        "kernel": [1, 2, 3, 4, 5, 7],
        "out": [UNSET, 20, 24],
        "stride": [UNSET, 2, 3, 4],
        "dilation": [UNSET, 2, 3],
        "groups": [UNSET, 4, 12],
        "bias": [UNSET, 1],
    },
    "dwconv": {
        "kernel": [2, 3, 5, 7],
        "out": [UNSET, 24],
        "stride": [UNSET, 2],
        "dilation": [UNSET, 2],
        "bias": [UNSET, 1],
    },
    "gn": {"groups": [1, 4, 12]},
    "leaky_relu": {"slope": [UNSET, 0.2]},
    "se": {
        "ratio": [UNSET, 2, 5],
        "multiple": [UNSET, 8],
        "least": [UNSET, 0.9],
        "squeeze": [UNSET, 7],
        "act": [UNSET, SILU, PRELU],
        "gate": [UNSET, HARDSIGMOID],
    },
    "cbam": {"ratio": [UNSET, 3]},
    "mhsa": {"heads": [3, 4], "position": [UNSET, "none"]},
    "drop": {"p": [0.25, 0.5]},
    "droppath": {"p": [0.25, 0.5]},
    "scale": {"factor": [0.5, -2.0]},
    "layerscale": {"init": [UNSET, 0.1]},
    "shortcut_gate": {"bias": [UNSET, -6.0]},
    "maxpool": {"kernel": [1, 2, 3, 4, 5], "stride": [UNSET, 2, 3]},
    "avgpool": {"kernel": [UNSET, 1, 2, 3, 5, 7], "stride": [UNSET, 2, 3, 5]},
    "blurpool": {"kernel": [UNSET, 3], "stride": [UNSET, 2]},
    "subsample": {"stride": [UNSET, 2, 3], "out": [UNSET, 12, 20]},
    "shuffle": {"groups": [3, 4]},
    "zero": {"stride": [UNSET, 2, 3], "channels": [UNSET, 12, 20]},
    "fc": {"out": [UNSET, 7], "bias": [UNSET, 0]},
}
SHAPES = [TensorShape(12, 8, 8), TensorShape(24, 9, 7), TensorShape(12, 1, 1)]
MISFITS = ("does not fit", "divide", "only adds channels", "by itself")  # reasons to reject a shape, or an argument


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


def bound(spelling: str, kernel: int | None, given: dict, x: TensorShape) -> Op:
    return registry.by_spelling[spelling].bind(kernel, given, Context(x, 24, 2, 10))


def built(op: Op, x: TensorShape) -> nn.Module:
    torch.manual_seed(0)
    return instantiate(op.module(x)).eval()


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
    words |= {"K": getattr(op, "kernel", None), "S": getattr(op, "squeeze", None)}

    def number(formula: str) -> Fraction:
        return Parser(re.sub(r"[A-Za-z]+", lambda m: str(words[m[0]]), formula), Names(), "", "").sum().constant()

    return tuple(number(rule.get(key, "0")) for key in OpCost._fields)


def test_the_formulas_in_the_docs_are_the_costs(case: Case):
    """cost_rule, which the reference page prints, has the value of cost()."""
    op, x = case.op, case.x
    if "prelu" in (getattr(getattr(op, "act", None), "spelling", ""), getattr(op, "position", "")):
        pytest.skip("the activation adds its own parameters")
    if getattr(op, "position", "") == "none":
        pytest.skip("the formula includes distances")
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
        step = 1 if argument.kind == "whole" else 1e-6
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
        if argument.kind == "whole":
            wrong.append(argument.low + 0.5)
    for value in wrong:
        with pytest.raises(ArchitectureError, match=f"{argument.name} of {spelling} must"):
            check_argument(spelling, argument, value)


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ({"op": "relu"}, {"op": "rleu"}, "unknown op 'rleu'; known ops: "),
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


def test_dropout_and_stochastic_depth_act_only_in_training():
    """drop and droppath are the identity in evaluation, and in training droppath drops whole samples and rescales."""
    x = TensorShape(4, 3, 3)
    image = torch.ones(4_000, *x)
    for spelling in ("drop", "droppath"):
        module = built(bound(spelling, None, {"p": 0.25}, x), x)
        assert torch.equal(module(image), image)
        trained = module.train()(image)
        assert trained.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
        assert trained.mean().item() == pytest.approx(1, abs=0.05)
    assert {sample.unique().numel() for sample in trained} == {1}


@pytest.mark.parametrize(
    ("ratio", "extra", "squeeze"),
    [
        (16, {}, 4),
        (15, {}, 4),
        (17, {}, 3),
        (100, {}, 1),
        (16, {"multiple": 8}, 8),
        (5, {"multiple": 8}, 16),
        (6, {"multiple": 8}, 8),
        (4, {"squeeze": 5}, 5),
    ],
)
def test_the_squeeze_width(ratio, extra, squeeze):
    """The width is C/r rounded down and at least 1, with round=8 the nearest multiple and at least 8, with width that
    value."""
    x = TensorShape(64, 4, 4)
    assert bound("se", None, {"ratio": ratio, **extra}, x).squeeze == squeeze


def test_a_squeeze_has_a_limit():
    """A ratio far below one is limited to 65,536 channels."""
    assert bound("se", None, {"ratio": 0.001}, TensorShape(64, 1, 1)).squeeze in (63_999, 64_000)
    with pytest.raises(ArchitectureError, match=r"the squeeze of se has 12[78],[09]"):
        bound("se", None, {"ratio": 0.001}, TensorShape(128, 1, 1))


@pytest.mark.parametrize(
    ("value", "multiple", "nearest"), [(12, 8, 16), (11.9, 8, 8), (1, 8, 8), (20, 8, 24), (19, 8, 16), (2.5, 1, 3)]
)
def test_nearest_multiple(value, multiple, nearest):
    """Values are rounded to the nearest multiple, halves up, and to at least one multiple."""
    assert nearest_multiple(value, multiple) == nearest


@pytest.mark.parametrize(
    ("channels", "kernel"),
    [(1, 3), (16, 3), (63, 3), (64, 3), (128, 5), (255, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_the_kernel_size_of_eca(channels, kernel):
    """The size is odd, from log2(C)/2 + 1/2, and at least 3 (Wang et al. 2020): 5, 5, 5, 7 for ResNet-50's stages."""
    assert bound("eca", None, {}, TensorShape(channels, 4, 4)) == EfficientChannelAttention(kernel)


@pytest.mark.parametrize("merge", [Add(), Concatenate(), Gate(), Gate(-6.0)])
def test_merges(merge):
    """A merge has the shape and cost of its module, and survives JSON."""
    x = TensorShape(6, 4, 4)
    y = merge.output_shape(x, x)
    call = merge.module(x)
    branch, shortcut = torch.randn(2, 2, *x)
    module = instantiate(call) if call else None
    merged = module(branch, shortcut) if module else branch + shortcut
    assert tuple(merged.shape[1:]) == y == ((12, 4, 4) if merge.spelling == "cat" else x)
    assert merge.cost(x).params == sum(p.numel() for p in module.parameters()) if module else merge.cost(x).params == 0
    assert merge_from_json(json.loads(json.dumps(merge.to_json()))) == merge


def test_the_exclusive_gate():
    """g = sigmoid(conv1x1(x) + b), out = g F(x) + (1 - g) x; shortcut-only gating: (1 - g) x (He 2016, Table 1)."""
    x = TensorShape(3, 2, 2)
    gate, only = instantiate(Gate(-6.0).module(x)), built(bound("shortcut_gate", None, {"bias": -6.0}, x), x)
    only.conv.load_state_dict(gate.conv.state_dict())
    assert gate.conv.bias.tolist() == [-6.0] * 3 and gate.conv.weight.shape == (3, 3, 1, 1)
    branch, shortcut = torch.randn(2, 2, *x)
    g = torch.sigmoid(torch.einsum("oi,nihw->nohw", gate.conv.weight[:, :, 0, 0], shortcut) - 6)
    assert torch.allclose(gate(branch, shortcut), g * branch + (1 - g) * shortcut)
    assert torch.allclose(only(shortcut), (1 - g) * shortcut)
    assert Gate().cost(x) == bound("shortcut_gate", None, {}, x).cost(x) == (12, 9 * 4, 12)


@pytest.mark.parametrize(
    "bad",
    [
        {"op": "plus"},
        {"op": []},
        [],
        None,
        {"op": "+", "bias": 1},
        {"op": "gate", "bias": 101},
        {"op": "gate", "bias": "0"},
    ],
)
def test_invalid_json_of_a_merge_is_rejected(bad):
    """JSON that is no merge is rejected."""
    assert set(MERGES) == {"+", "cat", "gate"}
    with pytest.raises(ArchitectureError):
        merge_from_json(bad)


def test_concatenation_puts_the_shortcut_first():
    """cat gives the shortcut's channels first, then the branch's, as in DenseNet."""
    module = instantiate(Concatenate().module(TensorShape(1, 1, 1)))
    assert module(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)).flatten().tolist() == [0.0, 1.0]


def test_groups_that_do_not_divide_give_the_nearest_divisors():
    """The error of a grouped convolution suggests the nearest divisors."""
    with pytest.raises(
        ArchitectureError, match=r"5 groups do not divide the 12 input channels.*nearest that fit: 4, 6"
    ):
        Conv(3, 20, groups=5).output_shape(TensorShape(12, 4, 4))
    assert Conv(3, 20, groups=4).output_shape(TensorShape(12, 4, 4)) == (20, 4, 4)


def test_average_pooling_rounds_up_and_ignores_padding():
    """avgpool rounds up and does not count padding, and without a size it pools by the given stride."""
    op = registry.by_spelling["avgpool"].bind(None, {}, Context(TensorShape(1, 3, 3), 1, 2, 1))
    assert op == AvgPool(2, 2)
    pooled = built(op, TensorShape(1, 3, 3))(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert pooled.flatten().tolist() == [2.0, 3.5, 6.5, 8.0]
    ones = torch.ones(1, 1, 5, 5)
    assert torch.equal(built(AvgPool(3, 1, 1), TensorShape(1, 5, 5))(ones), ones)


def test_subsampling_is_option_a():
    """subsample takes every stride-th pixel and fills missing channels with zeros (He 2015, option A)."""
    op = bound("subsample", None, {"stride": 2, "out": 3}, TensorShape(2, 4, 4))
    image = torch.arange(32.0).reshape(1, 2, 4, 4)
    out = built(op, TensorShape(2, 4, 4))(image)
    assert out[0, 0].tolist() == [[0, 2], [8, 10]] and out[0, 2].abs().sum() == 0
    with pytest.raises(ArchitectureError, match="subsample only adds channels: found 2 input and 1 output channels"):
        bound("subsample", None, {"stride": 2, "out": 1}, TensorShape(2, 4, 4)).output_shape(TensorShape(2, 4, 4))


def test_squeeze_and_excitation_equals_the_paper():
    """se scales channel c by sigmoid(W2 relu(W1 mean(x))) (Hu et al. 2018, eq. 2 and 3)."""
    x = TensorShape(4, 3, 3)
    module = built(SqueezeExcitation(2), x)
    image = torch.randn(2, *x)
    z = image.mean((2, 3))
    s = torch.relu(z @ module.reduce.weight[:, :, 0, 0].T + module.reduce.bias)
    g = torch.sigmoid(s @ module.expand.weight[:, :, 0, 0].T + module.expand.bias)
    assert torch.allclose(module(image), image * g[:, :, None, None], atol=1e-6)


def test_layer_norm_normalises_channels_at_each_position():
    """ln normalises the channels of each position."""
    out = built(bound("ln", None, {}, TensorShape(8, 3, 3)), TensorShape(8, 3, 3))(torch.randn(2, 8, 3, 3) * 5 + 2)
    assert torch.allclose(out.mean(1), torch.zeros(2, 3, 3), atol=1e-5)
    assert torch.allclose(out.var(1, unbiased=False), torch.ones(2, 3, 3), atol=1e-3)


def test_kernel_sizes_up_to_63():
    """The largest kernel works on a small map."""
    assert Conv(MAX_KERNEL, 4).output_shape(TensorShape(2, 3, 3)) == (4, 3, 3)
