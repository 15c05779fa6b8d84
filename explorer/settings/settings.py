"""Settings classes whose fields describe themselves.

Each field of a ``Settings`` class holds its help, its kind (how it is read and checked), its command-line option and
whether it belongs to the fingerprint of a study. The command-line options, the signatures and docstrings of the Python
functions, the settings file and the reference table are made from these descriptions. A new setting is one new field.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Self, TypeVar

from explorer.errors import SettingError, did_you_mean
from explorer.settings.kinds import Flag, Kind

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The description of one setting.

    Attributes:
        name: Name in Python and in the settings file.
        kind: How a value is read, checked and written.
        help: Description for ``--help``, docstrings and the reference table.
        in_python: Additional description for docstrings and the reference table.
        default: Default value; None if the program chooses.
        command_default: Default on the command line; None if it is ``default``.
        flag: Command-line option; None if only Python code can set it.
        metavar: Placeholder of the value in ``--help``.
        envvar: Environment variable that sets the option; empty text for none.
        in_fingerprint: Whether the value is part of a study's fingerprint: another value is another study.
        annotation: Type annotation, as in the source code.
        accepts: Type annotation of the values that a caller may give, which the kind converts.
    """

    name: str
    kind: Kind
    help: str
    in_python: str = ""
    default: Any = None
    command_default: Any = None
    flag: str | None = None
    metavar: str | None = None
    envvar: str = ""
    in_fingerprint: bool = False
    annotation: str = "Any"
    accepts: str = "Any"

    @property
    def options(self) -> tuple[str, ...]:
        """The command-line option, and for a flag the one that switches it off; empty if only Python can set it."""
        if self.flag is None:
            return ()
        return (self.flag, self.flag.replace("--", "--no-", 1)) if isinstance(self.kind, Flag) else (self.flag,)

    @property
    def default_typed(self) -> str:
        """The default as a user types it on the command line; empty text for a flag or if the program chooses."""
        value = self.default if self.command_default is None else self.command_default
        return "" if isinstance(self.kind, Flag) else self.kind.spell(value)

    @property
    def description(self) -> str:
        """The description for callers from Python."""
        return f"{self.help} {self.in_python}".rstrip()

    @property
    def optional(self) -> bool:
        """Whether None is a valid value."""
        return "None" in self.annotation


def setting(
    default: Any,
    help: str,
    kind: Kind,
    *,
    in_python: str = "",
    flag: str | None = "",
    metavar: str | None = None,
    envvar: str = "",
    command_default: Any = None,
    in_fingerprint: bool = False,
    accepts: str = "",
) -> Any:
    """Return a field of a ``Settings`` class.

    Args:
        default: Default value; a dict is copied for each instance.
        help: Description for ``--help``, docstrings and the reference table.
        kind: How a value is read, checked and written.
        in_python: Additional description for docstrings and the reference table.
        flag: Command-line option; empty text makes it from the field's name, None makes no option.
        metavar: Placeholder of the value in ``--help``.
        envvar: Environment variable that sets the option; empty text for none.
        command_default: Default on the command line; None if it is ``default``.
        in_fingerprint: Whether the value is part of a study's fingerprint.
        accepts: Type annotation of the values that a caller may give; that of the field by default.
    """
    described = {
        "default": default,
        "kind": kind,
        "help": help,
        "in_python": in_python,
        "flag": flag,
        "metavar": metavar,
        "envvar": envvar,
        "command_default": command_default,
        "in_fingerprint": in_fingerprint,
        "accepts": accepts,
    }
    if isinstance(default, dict):  # a dataclass rejects a mutable default
        return field(default_factory=lambda: dict(default), metadata=described)
    return field(default=default, metadata=described)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base class of frozen settings that checks every field on construction.

    A field is made by ``setting``, or holds nested settings: ``field(default_factory=OtherSettings)``.

    Raises:
        SettingError: A value has a wrong type or is out of range.
    """

    def __post_init__(self) -> None:
        for each in _own(type(self)):
            value = getattr(self, each.name)
            if value is not None or not each.optional:
                object.__setattr__(self, each.name, each.kind.check(each.name, value))

    @classmethod
    def described(cls) -> tuple[Setting, ...]:
        """Return the descriptions of all settings, nested ones included, in the order of the fields."""
        nested = _nested(cls)
        own = {each.name: (each,) for each in _own(cls)}
        names = (each.name for each in dataclasses.fields(cls))
        return tuple(
            each for name in names for each in (nested[name].described() if name in nested else own.get(name, ()))
        )

    @classmethod
    def make(cls, given: Mapping[str, Any], base: Self | None = None) -> Self:
        """Return settings with these values.

        Args:
            given: Values by name, in one flat mapping with those of nested settings.
            base: Settings that hold the other values; the defaults if None.

        Raises:
            SettingError: A value has a wrong type or is out of range.
            TypeError: A name is not that of a setting.
        """
        known = [each.name for each in cls.described()]
        if unknown := next((name for name in given if name not in known), None):
            raise TypeError(f"unknown setting {unknown!r}{did_you_mean(unknown, known)}")
        changes: dict[str, Any] = {each.name: given[each.name] for each in _own(cls) if each.name in given}
        for name, kind in _nested(cls).items():
            inner = {each.name: given[each.name] for each in kind.described() if each.name in given}
            changes[name] = kind.make(inner, None if base is None else getattr(base, name))
        return cls(**changes) if base is None else dataclasses.replace(base, **changes)

    def values(self) -> dict[str, Any]:
        """Return all values by name, those of nested settings in the same flat mapping."""
        nested = _nested(type(self))
        flat: dict[str, Any] = {}
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            flat |= value.values() if each.name in nested else {each.name: value}
        return flat


def _own(cls: type[Settings]) -> Iterator[Setting]:
    """Yield the descriptions of the fields made by ``setting``, without those of nested settings."""
    for each in dataclasses.fields(cls):
        if "kind" in each.metadata:
            flag = each.metadata["flag"]
            described = {**each.metadata, "flag": f"--{each.name.replace('_', '-')}" if flag == "" else flag}
            described["accepts"] = each.metadata["accepts"] or str(each.type)
            yield Setting(name=each.name, annotation=str(each.type), **described)


def _nested(cls: type[Settings]) -> dict[str, type[Settings]]:
    """Return the fields that hold nested settings, with their classes."""
    nested: dict[str, type[Settings]] = {}
    for each in dataclasses.fields(cls):
        kind = each.default_factory
        if isinstance(kind, type) and issubclass(kind, Settings):
            nested[each.name] = kind
    return nested


def takes_settings(cls: type[Settings]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that makes each setting of a class a keyword argument of a function.

    The function must have a parameter ``settings``, which is never None when it runs. For type checkers it also has
    ``**options``, which is empty when it runs. Callers pass settings, or keywords, or both: the keywords override the
    values of ``settings``, or else the defaults. A parameter of the function with the name of a setting replaces that
    keyword. The signature of the decorated function lists every setting, and a line ``{settings}`` under ``Args:`` in
    its docstring becomes one line per setting.

    Args:
        cls: The class of the settings.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        declared = inspect.signature(function)
        named = [each for each in declared.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        signature = declared.replace(parameters=named)
        own = signature.parameters
        described = [each for each in cls.described() if each.name not in own]
        names = {each.name for each in described}

        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> T:
            changes = {name: given.pop(name) for name in list(given) if name in names}
            if unknown := next((name for name in given if name not in own), None):
                near = did_you_mean(unknown, [*own, *names])
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {unknown!r}{near}")
            bound = signature.bind_partial(*args, **given)
            base = bound.arguments.get("settings")
            if base is not None and not isinstance(base, cls):
                raise SettingError(f"settings must be {cls.__name__}(...), found {base!r}")
            bound.arguments["settings"] = cls.make(changes, base)
            return function(*bound.args, **bound.kwargs)

        call.__signature__ = _with_settings(signature, described)  # type: ignore[attr-defined]
        if call.__doc__ is not None:  # python -OO removes docstrings
            lines = "\n".join(f"    {each.name}: {each.description}" for each in described)
            call.__doc__ = inspect.cleandoc(call.__doc__).replace("    {settings}", lines)
        return call

    return decorate


def _with_settings(signature: inspect.Signature, described: list[Setting]) -> inspect.Signature:
    """Return the signature with a keyword for each setting, placed before the function's own keywords."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = dict(signature.parameters)
    annotation = own["settings"].annotation.removesuffix(" | None")
    own["settings"] = own["settings"].replace(default=None, annotation=f"{annotation} | None")
    made = [inspect.Parameter(each.name, keyword, default=each.default, annotation=each.accepts) for each in described]
    before = [each for each in own.values() if each.kind is not keyword]
    after = [each for each in own.values() if each.kind is keyword]
    return signature.replace(parameters=[*before, *made, *after])
