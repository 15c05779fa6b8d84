"""Is exported code what it should be? By its syntax tree: nothing that makes no layer may stand in it."""

from __future__ import annotations

import ast
import re
from functools import cache

from torch import nn

from explorer.errors import ExportError
from explorer.export.model_py.code import ModelCode

MODULES = ("torch", "torch.nn", "torch.nn.functional")
NAMES = {"nn", "Tensor", "self", "int", "float", "bool", "list", "super", "range", "out_indices", "feature_info"}
LOCAL = re.compile(r"[xy_]|channels|stage\d+")
WORDS = re.compile(r"num_chs|reduction|module|stages\.\d+")  # what feature_info says
NODES = (
    *(ast.Module, ast.Import, ast.ImportFrom, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg),
    *(ast.Expr, ast.Assign, ast.Return, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.Name, ast.Constant),
    *(ast.Load, ast.Store, ast.Dict, ast.List, ast.Tuple, ast.Starred, ast.ListComp, ast.comprehension),
    *(ast.BinOp, ast.Add, ast.Mult, ast.FloorDiv, ast.UnaryOp, ast.USub),
)


def check_code(code: ModelCode) -> None:
    """Raises ExportError unless the generated statements hold nothing but classes of torch layers and numbers.

    Copies of this package's own source (``code.verbatim``) are recognised and pass.
    """
    own = {node for text in code.verbatim for node in _statements(text)}
    tree = ast.parse(code.text)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for statement in tree.body:
        if ast.dump(statement) not in own:
            _check_statement(statement, classes)


@cache
def _statements(text: str) -> frozenset[str]:
    """The statements of a piece of this package's own source, in a form that can be compared."""
    return frozenset(ast.dump(node) for node in ast.parse(text).body)


def _check_statement(statement: ast.stmt, classes: set[str]) -> None:
    nodes = list(ast.walk(statement))
    known = NAMES | classes | {node.arg for node in nodes if isinstance(node, ast.arg)}
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if not isinstance(node, NODES):
            _refuse(node, "this kind of syntax")
        if isinstance(node, ast.Name) and node.id not in known and not LOCAL.fullmatch(node.id):
            _refuse(node, "a name that is not the file's own")
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node) != "super().__init__":
            _refuse(node, "a private attribute")
        if isinstance(node, ast.Constant) and id(node) not in docstrings and not _plain(node.value):
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


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return WORDS.fullmatch(value) is not None
    return type(value) in (int, float, bool, type(None))


def _may_be_called(function: ast.expr, classes: set[str]) -> bool:
    if isinstance(function, ast.Name):
        return function.id in classes | {"super", "range"}
    if isinstance(function, ast.Subscript):  # self.stages[0](x)
        return ast.unparse(function.value) == "self.stages" and isinstance(function.slice, ast.Constant)
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
