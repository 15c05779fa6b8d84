"""What a caller's function is, in a form that can be compared between runs: its name and a digest of its code.

The digest covers the function's source as a syntax tree, so that comments, docstrings, formatting and the version of
Python do not count, and all that the function takes from its surroundings: default arguments, captured variables,
constants of its module, arguments of a ``functools.partial``, attributes of a callable object, and the functions and
classes of the caller's own modules that it refers to, in turn. Where no source can be read, bytecode stands in.

Two things are left out on purpose. Lists, dicts, sets and other objects are often state that a run changes (a counter,
a cache), so only the values of numbers, text, tuples of these, dataclasses and namespaces (``argparse``) are compared,
and no variable that the code itself assigns. Of another object the statements that make it are compared instead, as
``CONFIG = {"lr": 0.1}``; what such a statement reads from a file or a terminal is not.
Installed packages are compared by name alone: a study outlives their upgrades.
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
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from explorer.study.former_names import former_name

_PLAIN = (int, float, complex, bool, str, bytes, type(None))
_STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]
_EXPLORER = Path(__file__).parents[1]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_STORES = ("STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF")


def describe_function(function: Callable[..., Any]) -> dict[str, str]:
    """``name``: module and qualified name; ``code``: how the code was read ("source", or the bytecode of a version of
    Python), and a digest."""
    reader = _Reader()
    reader.read(function)
    form = "source" if reader.all_source else f"bytecode of Python {sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256("\n".join(reader.parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return {"name": function_name(function), "code": f"{form} {digest}"}


def function_name(function: Callable[..., Any]) -> str:
    """``train_v2.evaluate``: the same whether its file is run as a script, with -m, or imported."""
    named = _named(function)
    module = getattr(named, "__module__", None) or ""
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name.removesuffix(".__main__") if spec is not None else Path(file).stem if file else module
    return f"{module.rpartition('.')[2]}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def short_name(function: Callable[..., Any]) -> str:
    """The function's own name; empty for a lambda."""
    name = function_name(function).rpartition(".")[2]
    return "" if name == "<lambda>" else name


def _named(function: Any) -> Any:
    """What carries the name: the function within a partial, the class of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__qualname__") else type(function)


class _Reader:
    """Collects what a function's digest is taken of."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.all_source = True
        self._seen: set[int] = set()
        self._stated: set[tuple[int, str]] = set()  # names whose statements were read, by their module
        self._kept: list[Any] = []  # so that no id in _seen is given twice

    def read(self, value: Any) -> None:
        """Adds a value and all that it refers to."""
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
        elif hasattr(value, "__wrapped__"):  # what functools.cache makes, for one
            self.read(value.__wrapped__)
        elif isinstance(value, BuiltinFunctionType):
            self.parts.append(_installed_name(value))
        elif callable(value):
            self._read_object(value)

    def _read_partial(self, partial: functools.partial) -> None:
        self.read(partial.func)
        for name, value in [*enumerate(partial.args), *sorted(partial.keywords.items())]:
            self.parts.append(f"argument {name}")
            self._read_argument(value)

    def _read_argument(self, value: Any) -> None:
        """A value that the caller gave: also lists and dicts, which nothing has changed yet."""
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            self.parts.append("[")
            for each in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value:
                self._read_argument((each, value[each]) if isinstance(value, dict) else each)
            self.parts.append("]")
        else:
            self.read(value)

    def _read_object(self, owner: Any) -> None:
        """An object by its class, and by the attributes that its methods do not assign."""
        if isinstance(owner, (type, ModuleType)):
            self.read(owner)
            return
        kind = type(owner)
        self.read(kind)
        if not _is_own(kind):
            return
        methods = [member for member in vars(kind).values() if isinstance(member, FunctionType)]
        changed = {name for method in methods if method.__name__ != "__init__" for name in _attributes_set(method)}
        for name, value in sorted(getattr(owner, "__dict__", {}).items()):
            if name not in changed:
                self._read_named(name, value)

    def _read_class(self, kind: type) -> None:
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
        if not _is_own(function):
            self.parts.append(_installed_name(function))
            return
        code = function.__code__
        try:
            definition = _definition(function)
            tree = None if definition is None else _tree_text(definition)
        except RecursionError:
            tree = None
        if tree is None:
            self.all_source = False
            self.parts.append(_bytecode(code))
        else:
            self.parts.append(tree)
        for value in [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]:
            self.read(value)
        self._read_surroundings(function)

    def _read_surroundings(self, function: FunctionType) -> None:
        """Captured variables, and the globals that the code names."""
        codes = list(_nested(function.__code__))
        assigned = {ins.argval for code in codes for ins in dis.get_instructions(code) if ins.opname in _STORES}
        changed = _attributes_set(function)
        tree = _source_tree(function.__code__.co_filename, function.__globals__)
        scopes = _enclosing(tree, _definition(function)) if function.__closure__ and tree is not None else []
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
        """What the code may use of another module of the caller's: ``helpers.score`` names both."""
        if id(module) in self._seen or not _is_own(module):
            return
        self._seen.add(id(module))
        for name in sorted(names & set(vars(module))):
            value = vars(module)[name]
            if isinstance(value, ModuleType):
                self._read_module(value, names)
            elif not self._read_named(name, value):
                self._read_statements(name, [_source_tree(module.__file__, vars(module))], vars(module))

    def _read_named(self, name: str, value: Any, changed: Iterable[str] = ()) -> bool:
        """Adds a value of a name; False for an object whose value is not compared. ``changed``: attributes that the
        code assigns."""
        fields = _settings(value)
        if fields is None and not (_is_plain(value) or callable(value)):
            return False
        self.parts.append(f"{name} =")
        if fields is None:
            self.read(value)
        else:
            self._read_argument({field: each for field, each in sorted(fields.items()) if field not in changed})
        return True

    def _read_statements(self, name: str, scopes: list[ast.AST | None], names: Mapping[str, Any]) -> None:
        """Adds the statements that make the object called ``name``, and what these refer to. ``names``: the globals of
        their module."""
        if (id(names), name) in self._stated:
            return
        self._stated.add((id(names), name))
        for scope in filter(None, scopes):
            for statement in _statements(scope):
                if _makes(statement, name):
                    self.parts.append(_tree_text(statement))
                    for used in sorted({node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}):
                        value = names.get(used)
                        if isinstance(value, ModuleType) or used == name or getattr(builtins, used, None) is value:
                            continue
                        if not self._read_named(used, value):
                            self._read_statements(used, scopes, names)
                elif isinstance(statement, ast.ImportFrom):
                    self._read_imported(name, statement, names)

    def _read_imported(self, name: str, statement: ast.ImportFrom, names: Mapping[str, Any]) -> None:
        """Adds the statements that make ``name`` in the caller's own module that it is imported from."""
        package = names.get("__package__") or ""
        parent = package.rsplit(".", statement.level - 1)[0] if statement.level else ""
        module = sys.modules.get(".".join(filter(None, (parent, statement.module))))
        if module is None or not _is_own(module):
            return
        for alias in statement.names:
            if name == (alias.asname or alias.name):
                self._read_statements(alias.name, [_source_tree(module.__file__, vars(module))], vars(module))


def _is_plain(value: Any) -> bool:
    """Whether a value cannot change and has one spelling."""
    if type(value) in (tuple, frozenset):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN or isinstance(value, (PurePath, enum.Enum))


def _settings(value: Any) -> dict[str, Any] | None:
    """The fields of an instance of a dataclass and of a namespace; None for other values."""
    if isinstance(value, (argparse.Namespace, SimpleNamespace)):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not callable(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return None


def _text(value: Any) -> str:
    return "{" + ", ".join(sorted(map(_text, value))) + "}" if type(value) is frozenset else repr(value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _is_own(value: Any) -> bool:
    """Whether a function, class or module is the caller's own, not of an installed package nor of the explorer."""
    if isinstance(value, FunctionType):
        file = value.__code__.co_filename
    elif isinstance(value, ModuleType):
        file = getattr(value, "__file__", None)
    else:
        module = sys.modules.get(value.__module__)
        file = getattr(module, "__file__", None) if value.__module__ != "__main__" else "__main__"
    if file is None:  # built in, or a namespace
        return False
    path = Path(file)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not (file.startswith("<frozen") or path.is_relative_to(_STANDARD_LIBRARY) or path.is_relative_to(_EXPLORER))


def _installed_name(value: Any) -> str:
    """What stands for a function or class of an installed package or of the explorer."""
    return former_name(f"{value.__module__}.{value.__qualname__}")


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _attributes_set(function: FunctionType) -> set[str]:
    return {
        ins.argval
        for code in _nested(function.__code__)
        for ins in dis.get_instructions(code)
        if ins.opname in ("STORE_ATTR", "DELETE_ATTR")
    }


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames))


def _definition(function: FunctionType) -> ast.AST | None:
    """The function's definition in its file; None where the file cannot be read or does not hold it."""
    code = function.__code__
    tree = _source_tree(code.co_filename, function.__globals__)
    if tree is None:
        return None
    if code.co_name == "<lambda>":
        places = [place for place in code.co_positions() if None not in place and place[3]]  # not the prologue's
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and _holds(node.body, places)]
        return min(found, key=lambda node: (node.end_lineno - node.lineno, node.end_col_offset), default=None)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            begins = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if begins == code.co_firstlineno:
                return node
    return None


def _source_tree(file: str, names: Mapping[str, Any]) -> ast.Module | None:
    """The file as a syntax tree; None where it cannot be read. ``names``: the globals of its module."""
    linecache.checkcache(file)
    return _parsed("".join(linecache.getlines(file, dict(names))))


def _enclosing(tree: ast.AST, definition: ast.AST | None) -> list[ast.AST]:
    """The functions that hold a definition."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, _FUNCTIONS) and node is not definition and definition in ast.walk(node)
    ]


def _statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a module or function that hold no others, without those of functions and classes inside."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.expr)):
            continue
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            yield node
        else:
            yield from _statements(node)


def _makes(statement: ast.stmt, name: str) -> bool:
    """Whether a statement assigns to ``name`` or a part of it, or calls one of its methods, as in CONFIG.update()."""
    if isinstance(statement, ast.Expr):
        called = statement.value.func if isinstance(statement.value, ast.Call) else None
        targets = [called.value] if isinstance(called, ast.Attribute) else []
    else:
        targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return any(
        isinstance(node, ast.Name) and node.id == name for each in filter(None, targets) for node in ast.walk(each)
    )


@functools.lru_cache(maxsize=8)
def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _holds(body: ast.expr, places: list[tuple[int, int, int, int]]) -> bool:
    """Whether all positions (line, end line, column, end column) lie within an expression."""
    first, last = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return bool(places) and all(first <= (line, start) and (end, stop) <= last for line, end, start, stop in places)


def _tree_text(node: Any) -> str:
    """A syntax tree as text: no positions, no docstrings, no empty fields, which versions of Python differ in."""
    if isinstance(node, list):
        return f"[{', '.join(map(_tree_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    fields.pop("kind", None)
    fields.pop("type_comment", None)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    told = [f"{name}={_tree_text(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({', '.join(told)})"
