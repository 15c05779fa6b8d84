"""Where a caller's function ``evaluate`` runs: in a child process, whose crash fails one trial, or in this process.

A child finds the function by its module and name, so it has to be a plain function of a module or a script.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import FunctionType
from typing import Any

from explorer.study.workers.jobs import Evaluate

COLLECTING = {"append", "add", "extend", "insert"}  # methods by which functions collect values
SCRIPT = b"__main__"  # in a pickle that needs the caller's script


def why_in_process(evaluate: Evaluate) -> str:
    """Return why a function cannot run in a child process; empty if it can.

    Args:
        evaluate: The function.
    """
    function: Any = evaluate
    while isinstance(function, partial):
        function = function.func
    if not isinstance(function, FunctionType):
        return f"it is an object of the class {type(evaluate).__name__}, whose changes this process would not see"
    if function.__name__ == "<lambda>":
        return "it is a lambda"
    if "<locals>" in function.__qualname__:
        return f"it is defined inside the function {function.__qualname__.split('.')[0]}"
    if _changes_globals(function):
        return "it changes global variables, which this process would not see"
    if function.__module__ == "__main__" and (why := _why_no_script()):
        return why
    try:
        ForkingPickler.dumps(evaluate)
    except Exception as error:
        return f"it cannot be pickled ({error})"
    return ""


def needs_script(evaluate: Evaluate) -> bool:
    """Return whether a child has to import the caller's script to find a picklable function."""
    return SCRIPT in bytes(ForkingPickler.dumps(evaluate))


def importable_script() -> bool:
    """Return whether child processes can import the script that this process runs."""
    main = sys.modules["__main__"]
    script, spec = Path(getattr(main, "__file__", None) or ""), main.__spec__
    return script.is_file() if spec is None else not spec.name.endswith("__main__")


def _why_no_script() -> str:
    """Return why child processes cannot import this process's script without effects; empty if they can."""
    if not importable_script():
        return "it is defined in an interactive session or a __main__.py"
    file = getattr(sys.modules["__main__"], "__file__", None) or ""
    try:
        body = ast.parse(Path(file).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return "its script cannot be read"
    guarded = any(isinstance(each, ast.If) and "__name__" in ast.unparse(each.test) for each in body)
    return "" if guarded else "its script does not guard its main code with if __name__ == '__main__'"


def _changes_globals(function: Callable[..., Any]) -> bool:
    """Return whether a function assigns global variables, or collects values in a global list or set."""
    code, values = function.__code__, function.__globals__
    if any(each.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") for each in dis.get_instructions(code)):
        return True
    collections = (values.get(name) for name in code.co_names)
    return not COLLECTING.isdisjoint(code.co_names) and any(
        isinstance(value, (list, set, deque)) for value in collections
    )
