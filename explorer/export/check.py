"""Is exported code what it should be? By its syntax tree, and by running it in a process of its own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from explorer.errors import ExportError
from explorer.export.code import ModelCode

TOLERANCE = 1e-5
BATCH = 2
TIMEOUT_SECONDS = 600
RUNNER = Path(__file__).with_name("fresh_process.py")

MODULES = ("json", "torch", "torch.nn", "torch.nn.functional")
NAMES = {"nn", "Tensor", "self", "x", "_", "int", "float", "bool", "super", "range"}
NODES = (
    *(ast.Module, ast.Import, ast.ImportFrom, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg),
    *(
        ast.Expr,
        ast.Assign,
        ast.Return,
        ast.Call,
        ast.keyword,
        ast.Attribute,
        ast.Name,
        ast.Constant,
        ast.Load,
        ast.Store,
    ),
    *(ast.BinOp, ast.Add, ast.Mult, ast.FloorDiv, ast.UnaryOp, ast.USub, ast.Starred, ast.ListComp, ast.comprehension),
)


def check_code(code: ModelCode) -> None:
    """Raises ExportError unless the generated statements hold nothing but classes of torch layers and numbers.

    Copies of this package's own source (``code.verbatim``) are recognised and pass.
    """
    own = {ast.dump(node) for text in code.verbatim for node in ast.parse(text).body}
    tree = ast.parse(code.text)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for statement in tree.body:
        if ast.dump(statement) not in own:
            _check_statement(statement, classes)


def _check_statement(statement: ast.stmt, classes: set[str]) -> None:
    nodes = list(ast.walk(statement))
    known = NAMES | classes | {node.arg for node in nodes if isinstance(node, ast.arg)}
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if not isinstance(node, NODES):
            _refuse(node, "this kind of syntax")
        if isinstance(node, ast.Name) and node.id not in known:
            _refuse(node, "a name that is not the file's own")
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node) != "super().__init__":
            _refuse(node, "a private attribute")
        if (
            isinstance(node, ast.Constant)
            and type(node.value) not in (int, float, bool, type(None))
            and id(node) not in docstrings
        ):
            _refuse(node, "a constant that is not a number")
        if isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Call, ast.Constant)):
            _refuse(node, "an expression without effect")
        if isinstance(node, ast.Call) and not _may_be_called(node.func, classes):
            _refuse(node, "a call that makes no layer")
        if isinstance(node, ast.Import) and any(alias.name not in MODULES for alias in node.names):
            _refuse(node, "an import")
        if isinstance(node, ast.ImportFrom) and (node.module not in MODULES or node.level):
            _refuse(node, "an import")
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.decorator_list:
            _refuse(node, "a decorator")


def _may_be_called(function: ast.expr, classes: set[str]) -> bool:
    if isinstance(function, ast.Name):
        return function.id in classes | {"super", "range"}
    if not isinstance(function, ast.Attribute):
        return False
    if isinstance(function.value, ast.Name) and function.value.id == "nn":
        made = getattr(nn, function.attr, None)
        return isinstance(made, type) and issubclass(made, nn.Module)
    own = isinstance(function.value, ast.Name) and function.value.id == "self"
    return own or function.attr == "flatten" or ast.unparse(function) == "super().__init__"


def _refuse(node: ast.AST, what: str) -> None:
    text = ast.unparse(node)[:80]
    raise ExportError(f"model.py, line {getattr(node, 'lineno', 1)}: {what} may not stand in exported code: {text!r}")


def fixed_input(shape: Sequence[int]) -> torch.Tensor:
    """The images on which logits are compared, (2, C, H, W); ``fresh_process.py`` makes the same."""
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(0))


def fresh_logits(folders: Mapping[Path, Sequence[int]]) -> list[torch.Tensor]:
    """The logits of exported folders (folder -> input shape) for ``fixed_input``, computed in one new
    process that loads ``model.py`` and ``model.safetensors`` and nothing of this package.

    Raises ExportError when the process fails.
    """
    request = {
        "threads": torch.get_num_threads(),  # the order of sums depends on it, and so the last bit
        "models": [[str(folder.resolve()), list(shape)] for folder, shape in folders.items()],
        "batch": BATCH,
    }
    command = [sys.executable, "-P", "-B", str(RUNNER)]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"model.py did not give its logits within {TIMEOUT_SECONDS} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ExportError(f"model.py fails in a fresh process: {last[0][:300]}")
    return [torch.tensor(json.loads(line)) for line in done.stdout.splitlines()]


def max_abs_difference(logits: torch.Tensor, network: nn.Module, shape: Sequence[int]) -> float:
    """The largest difference between ``logits`` and the network's own for ``fixed_input``.

    Raises ExportError when it is above 1e-5, or not a number.
    """
    with torch.inference_mode():
        expected = network.eval()(fixed_input(shape))
    difference = (logits - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise ExportError(
            f"model.py gives other logits than the network: they differ by {difference:g}, at most {TOLERANCE:g} may be"
        )
    return difference
