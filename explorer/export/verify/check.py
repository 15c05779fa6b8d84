"""Check of the generated code against an allow-list of syntax, names and calls."""

from __future__ import annotations

import ast
import re
from functools import cache

from torch import nn

from explorer.errors import ExportError
from explorer.export.model_py.code import ModelCode

ALLOWED_MODULES = ("torch", "torch.nn", "torch.nn.functional")
ALLOWED_NAMES = {
    *("nn", "Tensor", "self", "int", "float", "bool", "list", "tuple", "super", "range"),
    *("out_indices", "feature_info"),
}
LOCAL_NAME = re.compile(r"[xy_]|channels|stage\d+")
ALLOWED_STRING = re.compile(r"num_chs|reduction|module|stages\.\d+")  # the keys and modules of feature_info
ALLOWED_NODES = (
    *(ast.Module, ast.Import, ast.ImportFrom, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg),
    *(ast.Expr, ast.Assign, ast.Return, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.Name, ast.Constant),
    *(ast.Load, ast.Store, ast.Dict, ast.List, ast.Tuple, ast.Starred, ast.ListComp, ast.comprehension),
    *(ast.BinOp, ast.Add, ast.Mult, ast.FloorDiv, ast.BitOr, ast.UnaryOp, ast.USub),
)


def check_code(code: ModelCode) -> None:
    """Check that generated code contains only classes built from torch layers and numbers.

    Args:
        code: The code. Copies of this package's own source (``code.verbatim``) are not checked.

    Raises:
        ExportError: A statement contains syntax, a name, a call or a constant that is not on the allow-list.
    """
    own = {node for text in code.verbatim for node in _statements(text)}
    tree = ast.parse(code.text)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for statement in tree.body:
        if ast.dump(statement) not in own:
            _check_statement(statement, classes)


@cache
def _statements(text: str) -> frozenset[str]:
    """Parse source text into the dumps of its statements, which can be compared."""
    return frozenset(ast.dump(node) for node in ast.parse(text).body)


def _check_statement(statement: ast.stmt, classes: set[str]) -> None:
    """Check every node of a statement; ``classes`` are the classes that the file defines."""
    nodes = list(ast.walk(statement))
    known = ALLOWED_NAMES | classes | {node.arg for node in nodes if isinstance(node, ast.arg)}
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if not isinstance(node, ALLOWED_NODES):
            _refuse(node, "this kind of syntax")
        if isinstance(node, ast.Name) and node.id not in known and not LOCAL_NAME.fullmatch(node.id):
            _refuse(node, "a name that the file does not define")
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node) != "super().__init__":
            _refuse(node, "a private attribute")
        if isinstance(node, ast.Constant) and id(node) not in docstrings and not _is_allowed_constant(node.value):
            _refuse(node, "a constant that is not a number")
        if isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Call, ast.Constant)):
            _refuse(node, "an expression without effect")
        if isinstance(node, ast.Call) and not _is_allowed_call(node.func, classes):
            _refuse(node, "a call other than of a layer")
        if isinstance(node, ast.Import) and any(alias.name not in ALLOWED_MODULES for alias in node.names):
            _refuse(node, "an import")
        if isinstance(node, ast.ImportFrom) and (node.module not in ALLOWED_MODULES or node.level):
            _refuse(node, "an import")
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.decorator_list:
            _refuse(node, "a decorator")


def _is_allowed_constant(value: object) -> bool:
    """Return whether the value is a number, None, or a string of feature_info."""
    if isinstance(value, str):
        return ALLOWED_STRING.fullmatch(value) is not None
    return type(value) in (int, float, bool, type(None))


def _is_allowed_call(function: ast.expr, classes: set[str]) -> bool:
    """Return whether the called expression is a layer, a class of the file, a layer attribute or ``flatten``."""
    if isinstance(function, ast.Name):
        return function.id in classes | {"super", "range"}
    if isinstance(function, ast.Subscript):  # self.stages[0](x)
        return ast.unparse(function.value) == "self.stages" and isinstance(function.slice, ast.Constant)
    if not isinstance(function, ast.Attribute):
        return False
    if isinstance(function.value, ast.Name) and function.value.id == "nn":
        layer = getattr(nn, function.attr, None)
        return isinstance(layer, type) and issubclass(layer, nn.Module)
    own = isinstance(function.value, ast.Name) and function.value.id == "self"
    return own or function.attr == "flatten" or ast.unparse(function) == "super().__init__"


def _refuse(node: ast.AST, what: str) -> None:
    """Raise an ExportError that names the line and the text of a node."""
    text = ast.unparse(node)[:80]
    raise ExportError(f"model.py, line {getattr(node, 'lineno', 1)}: {what} is not allowed in exported code: {text!r}")
