"""Python code as text that can be compared between versions of a file."""

from __future__ import annotations

import ast
import hashlib
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def tree_text(node: Any) -> str:
    """Return a syntax tree as text.

    Positions, docstrings and empty fields are left out: versions of Python differ in them, or they do not count.

    Args:
        node: A node of a tree, a list of nodes, or a value of a field.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(tree_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    fields.pop("kind", None)
    fields.pop("type_comment", None)
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    shown = [f"{name}={tree_text(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({', '.join(shown)})"


def code_digest(text: str) -> str:
    """Return a digest of Python code without comments, docstrings and formatting; of the text if it is not Python."""
    try:
        text = tree_text(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        pass
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
