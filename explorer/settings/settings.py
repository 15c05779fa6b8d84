"""Settings that describe themselves.

Each field of a ``Settings`` class carries its help, its kind (how it is read and checked), its command-line option and
whether it belongs to the fingerprint of a study. The command-line options, the signature and docstring of the Python
functions, the settings file and the reference table are made from these descriptions: a new setting is one field.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from explorer.errors import SettingError, did_you_mean
from explorer.settings.kinds import Flag, Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting and all that is made from it.

    Attributes:
        name: Its name in Python and in the settings file.
        kind: How a value is read, checked and written.
        help: What it does, for ``--help``, docstrings and the reference table.
        in_python: What else a caller from Python must know, for docstrings and the reference table.
        default: Its value if it is left out; None if the program chooses.
        command_default: Its default on the command line, where that differs.
        flag: Its command-line option; None if only Python code gives it.
        metavar: What stands for the value in ``--help``.
        envvar: The environment variable that gives the option's value; empty text for none.
        in_fingerprint: Whether runs with different values are different studies.
        annotation: Its type, as the source code spells it.
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

    @property
    def default_typed(self) -> str:
        """The default as a user types it on the command line; empty text if the program chooses."""
        value = self.default if self.command_default is None else self.command_default
        return "" if isinstance(self.kind, Flag) else self.kind.spell(value)

    @property
    def description(self) -> str:
        """The help for callers from Python."""
        return f"{self.help} {self.in_python}".rstrip()

    @property
    def optional(self) -> bool:
        """Whether None is a value."""
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
) -> Any:
    """Return a field of a ``Settings`` class. The arguments are the attributes of ``Setting``.

    ``flag`` is made from the field's name by default.
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
    }
    if isinstance(default, dict):  # a dataclass refuses a default that can be changed
        return field(default_factory=lambda: dict(default), metadata=described)
    return field(default=default, metadata=described)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of frozen settings: checks every field on construction.

    A field is made by ``setting``, or holds further settings: ``field(default_factory=OtherSettings)``.

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
        """Return all settings in the order of the fields, those of nested settings included."""
        nested = _nested(cls)
        own = {each.name: (each,) for each in _own(cls)}
        names = (each.name for each in dataclasses.fields(cls))
        return tuple(
            each for name in names for each in (nested[name].described() if name in nested else own.get(name, ()))
        )

    @classmethod
    def make(cls, given: Mapping[str, Any], base: Self | None = None) -> Self:
        """Return settings with these values, named flat: those of nested settings stand beside the own.

        Args:
            given: Values by name.
            base: The other values; the defaults if None.

        Raises:
            SettingError: A value has a wrong type or is out of range.
            TypeError: There is no setting of a name.
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
        """Return all values by name, flat."""
        nested = _nested(type(self))
        flat: dict[str, Any] = {}
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            flat |= value.values() if each.name in nested else {each.name: value}
        return flat


def _own(cls: type[Settings]) -> Iterator[Setting]:
    for each in dataclasses.fields(cls):
        if "kind" in each.metadata:
            flag = each.metadata["flag"]
            described = {**each.metadata, "flag": f"--{each.name.replace('_', '-')}" if flag == "" else flag}
            yield Setting(name=each.name, annotation=str(each.type), **described)


def _nested(cls: type[Settings]) -> dict[str, type[Settings]]:
    """Return the fields that hold further settings."""
    nested: dict[str, type[Settings]] = {}
    for each in dataclasses.fields(cls):
        kind = each.default_factory
        if isinstance(kind, type) and issubclass(kind, Settings):
            nested[each.name] = kind
    return nested


def takes_settings(cls: type[Settings]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator that makes each setting of ``cls`` a keyword argument of a function.

    The function has a parameter ``settings``, which callers may leave out: it is given the settings that the keywords
    say, or those of ``settings`` changed by the keywords. A parameter of the function's own that has the name of a
    setting stands in its place. The signature shows every setting; in the docstring, a line ``{settings}`` under
    ``Args:`` becomes one line for each.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        signature = inspect.signature(function)
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
        if call.__doc__ is not None:  # python -OO leaves none
            lines = "\n".join(f"    {each.name}: {each.description}" for each in described)
            call.__doc__ = inspect.cleandoc(call.__doc__).replace("    {settings}", lines)
        return call

    return decorate


def _with_settings(signature: inspect.Signature, described: list[Setting]) -> inspect.Signature:
    """Return the signature with a keyword for each setting, before the function's own keywords."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = dict(signature.parameters)
    own["settings"] = own["settings"].replace(default=None, annotation=f"{own['settings'].annotation} | None")
    made = [
        inspect.Parameter(each.name, keyword, default=each.default, annotation=each.annotation) for each in described
    ]
    before = [each for each in own.values() if each.kind is not keyword]
    after = [each for each in own.values() if each.kind is keyword]
    return signature.replace(parameters=[*before, *made, *after])
