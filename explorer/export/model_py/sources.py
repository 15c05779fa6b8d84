"""The source of the torch classes of ops, which is copied into exported code."""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from explorer.errors import ExportError

TORCH = "import torch\nfrom torch import Tensor, nn\n"  # what exported code imports in any case


class OwnSource(NamedTuple):
    """The source of an op's classes.

    Attributes:
        text: The class definitions.
        names: Names of the classes.
        imports: (module, name) pairs that they import.
    """

    text: str
    names: tuple[str, ...]
    imports: tuple[tuple[str, str], ...]


@cache
def own_source(function: Callable[[], type]) -> OwnSource:
    """Read the source of the function that defines an op's classes.

    Args:
        function: The ``torch_class`` of a ``Call``.

    Raises:
        ExportError: It is of an extension, and its classes depend on more than they can be copied with.
    """
    try:
        source = textwrap.dedent(inspect.getsource(function))
        definition = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise _refusal(function, f"its source cannot be read ({error})") from error
    if not isinstance(definition, ast.FunctionDef):
        raise _refusal(function, "it is not a function written with 'def'")
    lines = source.splitlines()
    classes = [node for node in definition.body if isinstance(node, ast.ClassDef)]
    texts = [textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])) for node in classes]
    imports = []
    for node in ast.walk(definition):
        if isinstance(node, ast.ImportFrom) and node.module:
            imports += [(node.module, alias.asname or alias.name) for alias in node.names]
    found = OwnSource("\n\n\n".join(texts), tuple(node.name for node in classes), tuple(imports))
    if not function.__module__.startswith("explorer."):
        _check(function, definition, found)
    return found


def _check(function: Callable[[], type], definition: ast.FunctionDef, found: OwnSource) -> None:
    """Raise ExportError if the classes of an extension need more than torch and Python's library."""
    if not found.names:
        raise _refusal(function, "it defines no class inside")
    for node in ast.walk(definition):
        if isinstance(node, ast.ImportFrom) and any(alias.asname for alias in node.names):
            raise _refusal(function, f"it renames an import: {ast.unparse(node)}")
    for module, _ in found.imports:
        top = module.partition(".")[0]
        if top != "torch" and top not in sys.stdlib_module_names:
            raise _refusal(function, f"it imports {module}, and exported code has only torch and Python's library")
    imported = "".join(f"from {module} import {name}\n" for module, name in found.imports)
    if missing := undefined_names(f"{TORCH}{imported}{found.text}"):
        raise _refusal(
            function,
            f"its classes use {', '.join(missing)}, defined outside of them; define these names inside a class, or"
            " import them inside the function, as in 'from torch import nn'",
        )


def _refusal(function: Callable[[], type], why: str) -> ExportError:
    name = getattr(function, "__name__", "a function")
    file = Path(getattr(getattr(function, "__code__", None), "co_filename", "") or "an extension").name
    return ExportError(
        f"{name} of {file} cannot be written as code: {why}; or leave out the format python, as in --formats onnx,pt2"
    )


def undefined_names(text: str) -> list[str]:
    """Return the global names that a module uses and does not define, without Python's built-in ones.

    Args:
        text: The source of the module.
    """
    module = symtable.symtable(text, "op", "exec")
    known = {each.get_name() for each in module.get_symbols() if each.is_assigned() or each.is_imported()}
    known |= {each.get_name() for each in module.get_symbols() if each.is_namespace()} | set(dir(builtins))
    known |= {"__class__", "__name__"}
    found: dict[str, None] = {}

    def visit(table: symtable.SymbolTable) -> None:
        for each in table.get_symbols():
            is_free = each.is_global() or (table is module and each.is_referenced())
            if is_free and each.is_referenced() and each.get_name() not in known:
                found[each.get_name()] = None
        for child in table.get_children():
            visit(child)

    visit(module)
    return list(found)
