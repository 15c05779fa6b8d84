"""The identity of a caller's function: its name and a digest of its code, the same in every run.

The digest covers the function's source as a syntax tree, so that comments, docstrings, formatting and the version of
Python do not count. It also covers all that the function refers to: default arguments, captured variables, constants
of its module, arguments of a ``functools.partial``, attributes of a callable object, and functions and classes of the
caller's own modules, recursively. If the source cannot be read, the digest covers the bytecode.

The digest leaves out three things:

- Variables that the code assigns, and the values of lists, dicts, sets and other objects, which are often state that a
  run changes, such as a counter or a cache. Only the values of numbers, text, tuples of these, dataclasses and
  namespaces (``argparse``) are compared. For other objects the statements that make them are compared, such as
  ``CONFIG = {"lr": 0.1}``.
- Values that such a statement reads from a file or a terminal.
- The code of installed packages, which are compared by name, so that a study can be resumed after their upgrades.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import dataclasses
import dis
import enum
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from explorer.former_names import former_name
from explorer.study.fingerprint.function_source import (
    assigned_attributes,
    bytecode_text,
    changes_name,
    definition_of,
    enclosing_functions,
    nested_codes,
    simple_statements,
    source_tree,
)
from explorer.system.source_text import tree_text

_CONSTANTS = (int, float, complex, bool, str, bytes, type(None))
_STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]
_EXPLORER = Path(__file__).parents[2]
_STORES = ("STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF")


def describe_function(function: Callable[..., Any]) -> dict[str, str]:
    """Return the identity of a function.

    Args:
        function: A function, lambda, partial, class or callable object.

    Returns:
        ``name``: module and qualified name; ``code``: how the code was read, "source" or "bytecode of Python 3.N", and
        a digest.
    """
    reader = _Reader()
    reader.read(function)
    form = "source" if reader.all_source else f"bytecode of Python {sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256("\n".join(reader.parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return {"name": function_name(function), "code": f"{form} {digest}"}


def function_name(function: Callable[..., Any]) -> str:
    """Return a function's module and qualified name, such as ``train_v2.evaluate``.

    The name is the same if the file is run as a script, with ``-m``, or imported.

    Args:
        function: A function, lambda, partial, class or callable object.
    """
    named = _named_object(function)
    module = getattr(named, "__module__", None) or ""
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name.removesuffix(".__main__") if spec is not None else Path(file).stem if file else module
    return f"{module.rpartition('.')[2]}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def short_name(function: Callable[..., Any]) -> str:
    """Return a function's name without its module and class; empty for a lambda.

    Args:
        function: A function, lambda, partial, class or callable object.
    """
    name = function_name(function).rpartition(".")[2]
    return "" if name == "<lambda>" else name


def _named_object(function: Any) -> Any:
    """Return the object that has the name: the function of a partial, the class of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__qualname__") else type(function)


class _Reader:
    """Collects the text that a function's digest covers.

    Attributes:
        parts: The text, in parts.
        all_source: Whether the source of all functions could be read.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.all_source = True
        self._seen: set[int] = set()
        self._statements_read: set[tuple[int, str]] = set()  # (id of a module's globals, name of a variable)
        self._kept: list[Any] = []  # the values whose ids are in _seen: an id is unique while its value exists

    def read(self, value: Any) -> None:
        """Add a value and all that it refers to.

        Args:
            value: A function or another value; objects that cannot be called are left out.
        """
        if _is_plain(value):
            self.parts.append(_text(value))
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._kept.append(value)
        if isinstance(value, functools.partial):
            self._read_partial(value)
        elif isinstance(value, MethodType):
            self._read_object(value.__self__)
            self.read(value.__func__)
        elif isinstance(value, FunctionType):
            self._read_function(value)
        elif isinstance(value, type):
            self._read_class(value)
        elif hasattr(value, "__wrapped__"):  # such as the result of functools.cache
            self.read(value.__wrapped__)
        elif isinstance(value, BuiltinFunctionType):
            self.parts.append(_installed_name(value))
        elif callable(value):
            self._read_object(value)

    def _read_partial(self, partial: functools.partial[Any]) -> None:
        """Add a partial's function and arguments."""
        self.read(partial.func)
        for name, value in [*enumerate(partial.args), *sorted(partial.keywords.items())]:
            self.parts.append(f"argument {name}")
            self._read_argument(value)

    def _read_argument(self, value: Any) -> None:
        """Add a value that the caller gave; also the items of a list or dict, since no run has changed them."""
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            self.parts.append("[")
            for each in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value:
                self._read_argument((each, value[each]) if isinstance(value, dict) else each)
            self.parts.append("]")
        else:
            self.read(value)

    def _read_object(self, owner: Any) -> None:
        """Add an object's class, and the attributes that its methods other than ``__init__`` do not assign."""
        if isinstance(owner, (type, ModuleType)):
            self.read(owner)
            return
        kind = type(owner)
        self.read(kind)
        if not _is_own(kind):
            return
        methods = [member for member in vars(kind).values() if isinstance(member, FunctionType)]
        changed = {name for method in methods if method.__name__ != "__init__" for name in assigned_attributes(method)}
        for name, value in sorted(getattr(owner, "__dict__", {}).items()):
            if name not in changed:
                self._read_named(name, value)

    def _read_class(self, kind: type) -> None:
        """Add a class: its bases, methods, properties and plain class variables."""
        if not _is_own(kind):
            self.parts.append(_installed_name(kind))
            return
        self.parts.append(f"class {kind.__qualname__}")
        for base in kind.__bases__:
            self.read(base)
        for name, member in sorted(vars(kind).items()):
            member = getattr(member, "__func__", getattr(member, "fget", member))  # of a static method or a property
            if isinstance(member, FunctionType) or (_is_plain(member) and not name.startswith("__")):
                self._read_named(name, member)

    def _read_function(self, function: FunctionType) -> None:
        """Add a function's source or bytecode, its default arguments and what it refers to."""
        if not _is_own(function):
            self.parts.append(_installed_name(function))
            return
        try:
            definition = definition_of(function)
            source = None if definition is None else tree_text(definition)
        except RecursionError:
            source = None
        if source is None:
            self.all_source = False
            self.parts.append(bytecode_text(function.__code__))
        else:
            self.parts.append(source)
        for value in [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]:
            self.read(value)
        self._read_references(function)

    def _read_references(self, function: FunctionType) -> None:
        """Add the captured variables and the globals that the code names."""
        codes = list(nested_codes(function.__code__))
        assigned = {ins.argval for code in codes for ins in dis.get_instructions(code) if ins.opname in _STORES}
        changed = assigned_attributes(function)
        tree = source_tree(function.__code__.co_filename, function.__globals__)
        scopes = enclosing_functions(tree, definition_of(function)) if function.__closure__ and tree is not None else []
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            if name not in assigned and not self._read_named(name, _content(cell), changed):
                self._read_statements(name, scopes, function.__globals__)
        names = {name for code in codes for name in code.co_names} - assigned
        for name in sorted(names & set(function.__globals__)):
            value = function.__globals__[name]
            if isinstance(value, ModuleType):
                self._read_module(value, names)
            elif getattr(builtins, name, None) is not value and not self._read_named(name, value, changed):
                self._read_statements(name, [tree], function.__globals__)

    def _read_module(self, module: ModuleType, names: set[str]) -> None:
        """Add what the code names of another module of the caller's, as in ``losses.focal``."""
        if id(module) in self._seen or not _is_own(module):
            return
        self._seen.add(id(module))
        for name in sorted(names & set(vars(module))):
            value = vars(module)[name]
            if isinstance(value, ModuleType):
                self._read_module(value, names)
            elif not self._read_named(name, value):
                self._read_statements(name, [source_tree(module.__file__, vars(module))], vars(module))

    def _read_named(self, name: str, value: Any, changed: Iterable[str] = ()) -> bool:
        """Add the value of a variable or attribute, and return True; return False if its value is not compared.

        Args:
            name: Name of the variable.
            value: Its value.
            changed: Attributes that the code assigns, which are left out.
        """
        fields = _fields(value)
        if fields is None and not (_is_plain(value) or callable(value)):
            return False
        self.parts.append(f"{name} =")
        if fields is None:
            self.read(value)
        else:
            self._read_argument({field: each for field, each in sorted(fields.items()) if field not in changed})
        return True

    def _read_statements(self, name: str, scopes: Sequence[ast.AST | None], names: Mapping[str, Any]) -> None:
        """Add the statements that make or change an object, and what these refer to.

        Args:
            name: Name of the object.
            scopes: The module or functions with the statements.
            names: The globals of their module.
        """
        if (id(names), name) in self._statements_read:
            return
        self._statements_read.add((id(names), name))
        for scope in filter(None, scopes):
            for statement in simple_statements(scope):
                if changes_name(statement, name):
                    self.parts.append(tree_text(statement))
                    for used in sorted({node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}):
                        value = names.get(used)
                        if isinstance(value, ModuleType) or used == name or getattr(builtins, used, None) is value:
                            continue
                        if not self._read_named(used, value):
                            self._read_statements(used, scopes, names)
                elif isinstance(statement, ast.ImportFrom):
                    self._read_imported(name, statement, names)

    def _read_imported(self, name: str, statement: ast.ImportFrom, names: Mapping[str, Any]) -> None:
        """Add the statements that make ``name`` in the caller's module that an import statement takes it from."""
        package = names.get("__package__") or ""
        parent = package.rsplit(".", statement.level - 1)[0] if statement.level else ""
        module = sys.modules.get(".".join(filter(None, (parent, statement.module))))
        if module is None or not _is_own(module):
            return
        for alias in statement.names:
            if name == (alias.asname or alias.name):
                self._read_statements(alias.name, [source_tree(module.__file__, vars(module))], vars(module))


def _is_plain(value: Any) -> bool:
    """Return whether a value is immutable and has one representation."""
    if type(value) in (tuple, frozenset):
        return all(map(_is_plain, value))
    return type(value) in _CONSTANTS or isinstance(value, (PurePath, enum.Enum))


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a dataclass instance or a namespace; None for other values."""
    if isinstance(value, (argparse.Namespace, SimpleNamespace)):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not callable(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return None


def _text(value: Any) -> str:
    """Return a plain value as text, with the items of a frozenset in order."""
    return "{" + ", ".join(sorted(map(_text, value))) + "}" if type(value) is frozenset else repr(value)


def _content(cell: Any) -> Any:
    """Return the value of a captured variable; None if it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _is_own(value: Any) -> bool:
    """Return whether a function, class or module is the caller's own, not an installed package's or the explorer's."""
    file: str | None
    if isinstance(value, FunctionType):
        file = value.__code__.co_filename
    elif isinstance(value, ModuleType):
        file = getattr(value, "__file__", None)
    else:
        module = sys.modules.get(value.__module__)
        file = getattr(module, "__file__", None) if value.__module__ != "__main__" else "__main__"
    if file is None:  # built-in, or a namespace package
        return False
    path = Path(file)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not (file.startswith("<frozen") or path.is_relative_to(_STANDARD_LIBRARY) or path.is_relative_to(_EXPLORER))


def _installed_name(value: Any) -> str:
    """Return the name that represents a function or class of an installed package or the explorer."""
    return former_name(f"{value.__module__}.{value.__qualname__}")
