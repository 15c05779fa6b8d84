"""The text of model.py: the same network in plain, readable torch code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from explorer.costs.analytic import count_cost
from explorer.errors import ExportError
from explorer.export.model_py.blocks import name_of
from explorer.export.model_py.code import ModelCode, write_code
from explorer.export.model_py.printing import LINE_LENGTH
from explorer.export.verify.check import check_code
from explorer.export.verify.comparison import fixed_input
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.build import Network, build_network
from explorer.networks.ops import registry
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.pool import GlobalAveragePool
from explorer.networks.ops.scale import Scale
from explorer.networks.resize import resized
from explorer.space.search_space import load_space, parse_space
from explorer.space.shipped import shipped_spaces
from tests.export.generated_code import imported
from tests.export.spaces import HEADER, SPACES, loaded, randomised

SMALL_SIDE = 64  # side of the input on which networks of shipped spaces run
LARGER_SIDE = {"published/mobilevit.yaml": 256}  # its grids divide no smaller map
MOST_PARAMS = 4_000_000  # most parameters of a network that runs


def test_logits_are_bit_identical(exported):
    """In a new process the code with its weights gives bit-identical logits, which differ between images."""
    for made in exported:
        with torch.inference_mode():
            expected = made.network(fixed_input(made.architecture.input, 2))
        assert torch.equal(made.logits, expected), made.label
        assert expected.std() > 0, made.label


def test_keys_and_training_equal_those_of_the_network(exported, tmp_path):
    """State-dict keys and shapes agree in order, and in training mode with one seed so do logits and gradients."""
    for made in exported:
        module = imported(made.code.text, tmp_path)
        own, network = module.Network(), made.network
        state = network.state_dict()
        assert {k: v.shape for k, v in own.state_dict().items()} == {k: v.shape for k, v in state.items()}, made.label
        own.load_state_dict(state)
        results = []
        for each in (own.train(), randomised_copy(made).train()):
            torch.manual_seed(5)
            logits = each(fixed_input(made.architecture.input, 2))
            logits.square().sum().backward()
            results.append((logits, {name: p.grad for name, p in each.named_parameters()}, each.state_dict()))
        (logits, gradients, after), (expected, expected_gradients, expected_after) = results
        assert torch.equal(logits, expected), made.label
        assert all(torch.equal(gradients[name], expected_gradients[name]) for name in expected_gradients), made.label
        assert all(torch.equal(after[name], expected_after[name]) for name in expected_after), made.label


def randomised_copy(made):
    """Return a second network with the weights of the first, which stays unchanged."""
    copy = randomised(made.architecture)
    copy.load_state_dict(made.network.state_dict())
    return copy


def test_code_is_formatted_and_passes_lint(exported, tmp_path):
    """ruff finds nothing to reformat, rename or remove, and no line is longer than 100 characters."""
    for number, made in enumerate(exported):
        (tmp_path / f"model_{number}.py").write_text(made.code.text)
    run = [sys.executable, "-m", "ruff"]
    form = subprocess.run(
        [*run, "format", "--isolated", "--line-length", "100", "--diff", str(tmp_path)], capture_output=True, text=True
    )
    assert form.returncode == 0, form.stdout[:2000]
    rules = ["--select", "E,F,W,I,ARG,B,SIM,RET,N"]
    lint = subprocess.run(
        [*run, "check", "--isolated", "--line-length", "100", *rules, str(tmp_path)], capture_output=True, text=True
    )
    assert lint.returncode == 0, lint.stdout[:2000]


def test_only_torch_is_imported(exported):
    """A file imports only torch and contains no unused class."""
    for made in exported:
        tree = ast.parse(made.code.text)
        modules = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert modules == {"torch"}, made.label
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name != "Network":
                uses = re.findall(rf"\b{node.name}\(", made.code.text)
                assert len(uses) >= 2, (made.label, node.name)


def test_generated_code_passes_its_check(exported):
    """Every generated file contains only the allowed syntax."""
    for made in exported:
        check_code(made.code)


DRAWN = 4  # networks of each shipped space


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_every_shipped_space_is_exported(name, tmp_path, monkeypatch):
    """Four random networks of each shipped space are code of the allowed syntax, which runs. The two smallest have
    gradients."""
    space = loaded(name)
    drawn = [space.architecture(derivation) for derivation in space.sample(DRAWN, seed=3)]
    drawn.sort(key=lambda architecture: count_cost(architecture).params)
    modules = []
    for architecture in drawn:
        code = write_code(architecture)
        check_code(code)
        modules.append(imported(code.text, tmp_path))
    with monkeypatch.context() as patched:
        for layer in (nn.Conv2d, nn.Linear):  # keys and shapes need no values
            patched.setattr(layer, "reset_parameters", lambda self: None)
        for architecture, module in list(zip(drawn, modules))[:2]:
            states = (each.state_dict() for each in (module.Network(), Network(architecture)))
            shapes, expected = ({key: value.shape for key, value in state.items()} for state in states)
            assert shapes == expected
    least = drawn[0]
    if count_cost(least).params > MOST_PARAMS:
        return
    side = min(LARGER_SIDE.get(name, SMALL_SIDE), least.input.height)
    least = resized(least, least.input._replace(height=side, width=side))
    network, own = build_network(least), imported(write_code(least).text, tmp_path).Network()
    own.load_state_dict(network.state_dict())
    results = []
    for each in (own.train(), network.train()):
        torch.manual_seed(5)
        logits = each(fixed_input(least.input, 2))
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in each.parameters())])
    assert all(torch.equal(left, right) for left, right in zip(*results, strict=True))


def test_every_op_can_be_exported():
    """Each registered op prints as a call of its class, with lines of at most 100 characters."""
    shape = load_space("preact_variants.yaml").input._replace(channels=8)
    for spelling, cls in registry.by_spelling.items():
        data = {"op": spelling, "kernel": 3, "out": 8, "groups": 2, "p": 0.1, "factor": 0.5, "squeeze": 2, "stride": 1}
        data |= {"channels": 8, "height": 32, "width": 32, "number": 1, "shares": 1}
        own = {"zeropad": {"padding": 1}, "bat": {"block": 8}, "halo": {"heads": 2, "queries": 2, "block": 8}}
        own |= {"upsample": {"factor": 2}, "slice": {"start": 0, "stop": 4}}
        data |= own.get(spelling, {})
        known = {"op", *cls.__dataclass_fields__}
        if spelling == "dwconv":  # bound to a conv immediately
            continue
        op = registry.from_json({key: value for key, value in data.items() if key in known})
        network = Architecture(shape, 8, (), (Stage((Block((op,), shortcut=None),)),), (GlobalAveragePool(), Linear(8)))
        code = write_code(network)
        check_code(code)
        assert max(map(len, code.text.splitlines())) <= LINE_LENGTH, spelling


def test_blocks_that_differ_only_in_numbers_share_a_class():
    """Three stages with other widths, strides, dilations and SE widths need only two block classes."""
    space = load_space("preact_variants.yaml")
    choices = {"order": "original", "depth": "3", "attn": "se(r=4)", "dil@stage2": "2"}
    text = write_code(space.architecture(space.named(choices))).text
    assert re.findall(r"class (\w+Block)\b", text) == ["SEBlock", "SEProjectionBlock"]
    assert "padding=dilation, dilation=dilation" in text
    assert "SEProjectionBlock(16, 32, dilation=2, squeeze=8)," in text


def test_constant_numbers_are_literals():
    """With one width the block class has no parameters."""
    text = HEADER + "stem: conv3x3(8)\nstages: {blocks: 3, width: 8}\nblock: conv3x3 bn relu +\nhead: gap fc\n"
    code = write_code(parse_space(text).architecture(0)).text
    assert "def __init__(self) -> None:" in code and "nn.Conv2d(8, 8, 3, padding=1, bias=False)" in code
    assert code.count("                Block(),\n") == 3


def test_many_equal_blocks_are_a_comprehension(tmp_path):
    """Nine equal blocks are written once and give nine modules."""
    text = HEADER + "stem: conv3x3(8)\nstages: {blocks: 9, width: 8}\nblock: conv3x3 bn relu +\nhead: gap fc\n"
    architecture = parse_space(text).architecture(0)
    code = write_code(architecture)
    check_code(code)
    assert "                *[Block() for _ in range(9)],\n" in code.text
    assert len(imported(code.text, tmp_path).Network().stages[0]) == 9


def test_a_network_without_weights_in_its_blocks():
    """A block with an empty branch adds its input to itself and needs no __init__."""
    block = Block(())
    network = Architecture((3, 8, 8), 3, (), (Stage((block,)),), (GlobalAveragePool(),))
    text = write_code(network).text
    assert "        return x + x\n" in text
    assert "        x = self.stages(x)\n        return self.head(x).flatten(1)\n" in text


@pytest.mark.parametrize(
    "label, name",
    [
        ("option A shortcuts", "SubsampleShortcutBlock"),
        ("dense layers with transitions", "DenseLayer"),
        (
            "inverted bottleneck, linear stochastic depth, no shortcut where the shape changes",
            "SEPlainBottleneck",
        ),
    ],
)
def test_class_names_describe_the_block(label, name):
    """The class name of a stage's first block contains attention, kind of shortcut and bottleneck."""
    architecture = parse_space(HEADER + SPACES[label]).architecture(0)
    assert name_of(architecture.stages[1].blocks[0]) == name


@pytest.mark.parametrize("value", ["__import__('os')", float("nan"), float("inf"), None, 2 + 0j])
def test_only_finite_numbers_enter_the_code(value):
    """An op with an argument that is not a finite number is rejected, and the same op with 0.5 is exported."""

    def network(factor):
        stage = Stage((Block((Conv(3, 3), Scale(factor)), shortcut=()),))
        return Architecture((3, 8, 8), 3, (), (stage,), (GlobalAveragePool(),))

    assert "Scale(0.5)" in write_code(network(0.5)).text
    with pytest.raises(ExportError, match="only finite numbers"):
        write_code(network(value))


GOOD = """from torch import nn


class Stem(nn.Sequential):
    def __init__(self) -> None:
        super().__init__({})
"""


@pytest.mark.parametrize(
    "inserted",
    [
        "__import__('os').system('true')",
        "open('x')",
        "eval(1)",
        "nn.__dict__",
        "nn.init.constant_(1, 2)",
        "().__class__",
        "(lambda: 1)()",
        "'text'",
        "[c for c in nn.modules]",
        "nn.ReLU() if 1 else nn.GELU()",
        "getattr(nn, 1)",
        "exec",
    ],
)
def test_foreign_syntax_is_rejected(inserted):
    """Syntax that creates no layer is rejected, and nn.ReLU() in the same place is accepted."""
    check_code(ModelCode(GOOD.format("nn.ReLU()"), ()))
    with pytest.raises(ExportError, match=r"model\.py, line \d+: .* is not allowed in exported code"):
        check_code(ModelCode(GOOD.format(inserted), ()))


@pytest.mark.parametrize(
    "statement", ["import os", "from os import path", "from . import x", "x = 1\ndel x", "@nn.ReLU\ndef f(): pass"]
)
def test_foreign_statements_are_rejected(statement):
    """Other imports than torch, deletions and decorators are rejected, except in the explorer's own source."""
    text = f"import torch\n{statement}\n"
    with pytest.raises(ExportError, match="is not allowed"):
        check_code(ModelCode(text, ()))
    check_code(ModelCode(text, (statement,)))
