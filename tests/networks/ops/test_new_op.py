"""A new op is one class that every other part finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

OP = '''
from dataclasses import dataclass

from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape
from explorer.networks.ops.registry import registry


def channel_bias() -> type:
    import torch
    from torch import Tensor, nn

    class ChannelBias(nn.Module):
        """x + b, b trained for each channel, ``start`` before training."""

        def __init__(self, channels: int, start: float):
            super().__init__()
            self.bias = nn.Parameter(torch.full((channels, 1, 1), start))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.bias

    return ChannelBias


@registry.add
@dataclass(frozen=True, slots=True)
class ChannelBias(Op):
    """A trained offset a channel."""

    spelling = "offset"
    role = "scale"
    arguments = (Argument("b", "start", "number", "the offset before training", -10, 10),)
    cost_rule = {"params": "C"}

    start: float = 0.0

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(channel_bias, (x.channels, self.start))
'''

PROGRAM = '''
import importlib.util
import json
import sys
from pathlib import Path

import torch

import offset  # the one line
import explorer
from docs.generate import ops_page
from explorer.costs.reference import check_cost
from explorer.errors import SpaceError
from explorer.export.model_py.code import write_code
from explorer.space.json_schema import schema
from explorer.space.search_space import parse_space

text = """
input: 3x8x8
classes: 4
stem: conv3x3(8)
stages: {blocks: 1, width: 8}
block: conv3x3 tail +
head: gap fc
grammar: {tail: bn | offset(b=0.5)}
"""
try:
    parse_space(text.replace("offset", "ofset"))
except SpaceError as error:
    near = str(error)
space = parse_space(text)
bare, arch = parse_space(text.replace("bn | ", "none | ")).architecture(0), space.architecture(1)
network = explorer.build(arch).eval()
code = Path(sys.argv[1], "model.py")
code.write_text(write_code(arch).text)
spec = importlib.util.spec_from_file_location("model", code)
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
exported = model.Network().eval()
exported.load_state_dict(network.state_dict())
image = torch.randn(2, 3, 8, 8)
print(json.dumps({
    "params": explorer.cost(arch).params - explorer.cost(bare).params,
    "differences": check_cost(arch).differences,
    "json": explorer.Architecture.from_json(arch.to_json()).digest == arch.digest,
    "exported": torch.equal(network(image), exported(image)),
    "copied": "import explorer" not in code.read_text(),
    "near": near,
    "docs": [line for line in ops_page().splitlines() if line.startswith("| `offset`")],
    "free": "offset" not in schema()["properties"]["grammar"]["propertyNames"]["not"]["enum"],
}))
'''


def test_a_new_op_is_one_file_and_one_line(tmp_path):
    """An op in its own file, once imported, works in space, cost, code, errors, docs and schema."""
    (tmp_path / "offset.py").write_text(OP)
    child = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr[-2_000:]
    assert json.loads(child.stdout) == {
        "params": 8,
        "differences": [],
        "json": True,
        "exported": True,
        "copied": True,
        "near": "<space>:8:22: unknown name 'ofset' in ofset(b=0.5); did you mean 'offset'?"
        " write `grammar: {tail: bn | offset(b=0.5)}`",
        "docs": [
            "| `offset` | A trained offset a channel. | [`b=0.0`] the offset before training (-10 to 10) | C x H x W |"
            " params: C |"
        ],
        "free": True,  # earlier files may have rules of this name
    }
