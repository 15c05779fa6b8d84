"""Load files of extensions, here and in other processes.

A file is named by ``--import FILE.py``, by the environment variable EXPLORER_IMPORT, or in Python by
``explorer.load_extension``. It is executed once per process, as a module of its own. Child processes and tasks of a
cluster execute the text that this process has read, so that an edited file changes nothing before the next run, and
other machines need no copy of it.
"""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from explorer.errors import ExtensionError, one_line
from explorer.extensions.registry import SESSION, Extension, forget_module, registered
from explorer.system.files import read_regular
from explorer.system.source_text import code_digest

VARIABLE = "EXPLORER_IMPORT"
MAX_BYTES = 16 << 20  # of a file of extensions
PREFIX = "explorer_extension_"  # of the names of modules


class Source(NamedTuple):
    """A file of extensions as it was read.

    Attributes:
        module: The name of its module.
        path: Its absolute path.
        text: Its code.
    """

    module: str
    path: str
    text: str


_sources: dict[str, Source] = {}  # path -> file
_variable_read = ""  # the value of the variable whose files are loaded


def load_extension(path: str | os.PathLike[str]) -> ModuleType:
    """Execute a file that registers extensions. Child processes that start later have them too.

    A file that was loaded before is executed again only if its text has changed.

    Args:
        path: The file; ``~`` is the home folder.

    Returns:
        Its module.

    Raises:
        ExtensionError: The file does not exist, raises an error, or registers a name that is taken.
    """
    module = _load(path, "")
    known = [each for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*known, module.__file__ or ""]))
    return module


def load_from_environment() -> None:
    """Load the files that EXPLORER_IMPORT names, separated by ``os.pathsep``, once."""
    global _variable_read
    before, value = _variable_read, os.environ.get(VARIABLE, "")
    if value == before:
        return
    _variable_read = value  # the files themselves may look for extensions
    try:
        _load_all(value)
    except BaseException:
        _variable_read = before
        raise


def _load_all(value: str) -> None:
    """Load the files of a value of EXPLORER_IMPORT."""
    global _variable_read
    files = [_load(each, f"{VARIABLE}: ").__file__ or "" for each in value.split(os.pathsep) if each]
    os.environ[VARIABLE] = _variable_read = os.pathsep.join(files)  # absolute, for processes of other folders


def _load(path: str | os.PathLike[str], where: str) -> ModuleType:
    """Read and execute a file. ``where``: what named it, for messages."""
    file = Path(path).expanduser()
    try:
        text = read_regular(file, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ExtensionError(f"{where}{path}: it is not Python code in UTF-8") from None
    except OSError as error:
        fix = "; name a Python file that registers extensions, as in --import ops.py"
        raise ExtensionError(f"{where}{path}: {error.strerror or error}{fix}") from error
    resolved = str(file.resolve())
    known = _sources.get(resolved)
    if known is not None and known.text == text:
        return sys.modules[known.module]
    return _execute(Source(known.module if known else _free_name(file.stem), resolved, text))


def _free_name(stem: str) -> str:
    """Return a name for a module: files of one name in two folders get different ones, in order of their loading."""
    taken, number = {each.module for each in _sources.values()}, 1
    while (name := f"{PREFIX}{stem}{'' if number == 1 else f'_{number}'}") in taken:
        number += 1
    return name


def _execute(source: Source) -> ModuleType:
    """Execute a file as a module. Raises ExtensionError with the line of an error."""
    module = ModuleType(source.module)
    module.__file__ = source.path
    lines = source.text.splitlines(keepends=True)
    # Without a time, the lines stay those that were executed, also if the file is edited: exported code has them.
    linecache.cache[source.path] = (len(source.text), None, lines, source.path)
    before = sys.modules.get(source.module)
    sys.modules[source.module] = module
    try:
        code = compile(source.text, source.path, "exec")
        module.__dict__["__code_digest__"] = code_digest(source.text)
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        forget_module(source.module)
        if before is None:
            del sys.modules[source.module]
        else:
            sys.modules[source.module] = before
        raise ExtensionError(_explain(source.path, error)) from error
    _sources[source.path] = source
    return module


def _explain(path: str, error: BaseException) -> str:
    """Return the message for an error of a file: its line, and what was raised."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path:
            line = frame.lineno
    where = f"{path}:{line}" if line else path
    if isinstance(error, ExtensionError):
        return f"{where}: {error}"
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = "; install it, or add the folder of a module of your own to PYTHONPATH"
    message = error.msg if isinstance(error, SyntaxError) else one_line(error)
    return f"{where}: the file cannot be imported: {type(error).__name__}: {message}{hint}"


class Shipped:
    """The extensions of this process, on their way to another one, which has them after it has unpickled this value."""

    def __reduce__(self) -> tuple[Any, ...]:
        modules = {each.origin.module for each in registered() if each.origin.module}
        own = {source.module for source in _sources.values()}
        return _receive, (tuple(_sources.values()), tuple(sorted(modules - own)))


def _receive(sources: Iterable[Source], modules: Iterable[str]) -> Shipped:
    """Load the extensions of the process that sent them."""
    for source in sources:
        known = _sources.get(source.path)
        if known is None or known.text != source.text:
            _execute(source)
    for module in modules:
        with suppress(ImportError):  # if its names are needed here, they are reported as unknown
            import_module(module)
    return Shipped()


def require_sendable(used: Iterable[Extension]) -> None:
    """Raise ExtensionError for an extension that other processes cannot get, because no module defines it.

    Args:
        used: The extensions that they need.
    """
    for each in used:
        if not each.origin.module:
            where = SESSION if each.origin.name == SESSION else f"the script {each.origin.name}"
            raise ExtensionError(
                f"{each.kind} {each.name!r} is defined in {where}, which the processes that train do not have; write it"
                " to a file of its own, and load that with explorer.load_extension('FILE.py')"
            )
