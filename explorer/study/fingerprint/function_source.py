"""The source of functions as syntax trees, and their bytecode, as text that can be compared between runs."""

from __future__ import annotations

import ast
import dis
import functools
import linecache
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from explorer.system.source_text import FUNCTIONS


def source_tree(file: str | None, names: Mapping[str, Any]) -> ast.Module | None:
    """Return a source file as a syntax tree.

    Args:
        file: The file of a module.
        names: The globals of the module.

    Returns:
        The tree; None if the file cannot be read or parsed.
    """
    if file is None:
        return None
    linecache.checkcache(file)
    return _parse("".join(linecache.getlines(file, dict(names))))


def definition_of(function: FunctionType) -> ast.AST | None:
    """Return a function's definition in its source file.

    Args:
        function: A function or lambda.

    Returns:
        The definition; None if the file cannot be read or does not contain it.
    """
    code = function.__code__
    tree = source_tree(code.co_filename, function.__globals__)
    if tree is None:
        return None
    if code.co_name == "<lambda>":
        positions = [
            (line, end_line, column, end_column)
            for line, end_line, column, end_column in code.co_positions()
            if line is not None and end_line is not None and column is not None and end_column  # 0 in the prologue
        ]
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and _contains(node.body, positions)]
        return min(found, key=_length, default=None)
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and node.name == code.co_name:
            begins = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if begins == code.co_firstlineno:
                return node
    return None


def enclosing_functions(tree: ast.AST, definition: ast.AST | None) -> list[ast.AST]:
    """Return the functions of a tree that contain a definition.

    Args:
        tree: A module.
        definition: A node of the tree, or None.
    """
    if definition is None:
        return []
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS) and node is not definition and definition in ast.walk(node)
    ]


def simple_statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a module or function that contain no other statements.

    Statements of functions and classes inside are left out.

    Args:
        scope: The module or function.
    """
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.expr)):
            continue
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            yield node
        else:
            yield from simple_statements(node)


def changes_name(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement assigns to a variable or a part of it, or calls one of its methods.

    Args:
        statement: A statement such as ``CONFIG = {}`` or ``CONFIG.update(lr=0.1)``.
        name: The variable.
    """
    if isinstance(statement, ast.Expr):
        called = statement.value.func if isinstance(statement.value, ast.Call) else None
        targets = [called.value] if isinstance(called, ast.Attribute) else []
    else:
        targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return any(
        isinstance(node, ast.Name) and node.id == name for each in filter(None, targets) for node in ast.walk(each)
    )


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those of the functions inside it.

    Args:
        code: Code of a function.
    """
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested_codes(constant)


def assigned_attributes(function: FunctionType) -> set[str]:
    """Return the names of the attributes that a function assigns or deletes, of any object.

    Args:
        function: The function.
    """
    return {
        instruction.argval
        for code in nested_codes(function.__code__)
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("STORE_ATTR", "DELETE_ATTR")
    }


def bytecode_text(code: CodeType) -> str:
    """Return a code object's instructions, constants and names as text, equal within one version of Python.

    Args:
        code: Code of a function.
    """
    constants = [bytecode_text(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames))


@functools.lru_cache(maxsize=8)
def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _length(node: ast.Lambda) -> tuple[int, int]:
    """Return the lines that a lambda takes, and the column where it ends: the innermost of several has least."""
    end_line, end_column = _end(node)
    return end_line - node.lineno, end_column


def _contains(body: ast.expr, positions: list[tuple[int, int, int, int]]) -> bool:
    """Return whether all positions (line, end line, column, end column) are within an expression."""
    first, last = (body.lineno, body.col_offset), _end(body)
    return bool(positions) and all(
        first <= (line, column) and (end_line, end_column) <= last for line, end_line, column, end_column in positions
    )


def _end(node: ast.expr) -> tuple[int, int]:
    """Return the line and column where a parsed expression ends."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset
