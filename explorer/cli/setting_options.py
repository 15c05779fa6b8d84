"""Command-line options made from settings, and the values that hold: the command line's, else the settings file's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from explorer.errors import ExplorerError
from explorer.settings.kinds import Flag
from explorer.settings.settings import Setting

F = TypeVar("F", bound=Callable[..., Any])


class SettingType(click.ParamType):  # type: ignore[type-arg]  # before click 8.2 it takes no argument
    """The text of an option as the value of its setting."""

    def __init__(self, setting: Setting) -> None:
        self.name = setting.name
        self._setting = setting

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._setting.kind.read(self._setting.name, value)
        except (ValueError, ExplorerError) as error:
            self.fail(str(error), param, ctx)


def setting_option(setting: Setting, **changes: Any) -> Callable[[F], F]:
    """Return the decorator that adds the option of a setting to a command.

    Args:
        setting: The setting; its name is the parameter's.
        **changes: Arguments of ``click.option`` that replace those made from the setting.
    """
    described: dict[str, Any] = {"help": setting.help}
    if isinstance(setting.kind, Flag):
        described |= {"is_flag": True}
    else:
        if setting.kind.range:
            described["help"] += f"  [{setting.kind.range}]"
        described |= {"metavar": setting.metavar, "envvar": setting.envvar or None}
        typed = setting.default_typed
        described |= {"default": typed or setting.default, "show_default": bool(typed)}
        if setting.kind.repeated:
            described |= {"multiple": True, "default": None, "callback": _read_all(setting)}
        else:
            described |= {"type": SettingType(setting)}
    assert setting.flag is not None
    return click.option(setting.flag, setting.name, **{**described, **changes})


def _read_all(setting: Setting) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    def read(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> Any:
        return setting.kind.read(setting.name, texts) if texts else setting.default

    return read


def setting_options(settings: Iterable[Setting]) -> Callable[[F], F]:
    """Return the decorator that adds the options of those settings that have one, in their order."""

    def decorate(command: F) -> F:
        for each in reversed([each for each in settings if each.flag is not None]):
            command = setting_option(each)(command)
        return command

    return decorate


def values_in_force(options: Mapping[str, Any], from_file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options' values: those typed, else those of the settings file, else environment and defaults."""
    ctx, values = click.get_current_context(), dict(options)
    for name, value in from_file.items():
        if ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            values[name] = value
            ctx.set_parameter_source(name, ParameterSource.COMMANDLINE)  # a command to run next must be told it too
    return values
