"""Command-line options made from settings, and their values merged with those of a settings file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from explorer.errors import ExplorerError
from explorer.settings.kinds import Flag
from explorer.settings.settings import Setting

F = TypeVar("F", bound=Callable[..., Any])


class SettingType(click.ParamType):  # type: ignore[type-arg]  # before click 8.2 it is not generic
    """The type of an option that takes the value of a setting.

    Args:
        setting: The setting.
    """

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
        setting: The setting; its name becomes the parameter's name.
        **changes: Arguments of ``click.option`` that override those made from the setting.
    """
    described: dict[str, Any] = {"help": setting.help}
    if isinstance(setting.kind, Flag):
        described |= {"is_flag": True, "default": setting.default}
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
    return click.option("/".join(setting.options), setting.name, **{**described, **changes})


def _read_all(setting: Setting) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """Return the callback that reads all values of a repeated option."""

    def read(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> Any:
        return setting.kind.read(setting.name, texts) if texts else setting.default

    return read


def setting_options(settings: Iterable[Setting]) -> Callable[[F], F]:
    """Return the decorator that adds the options of settings to a command.

    Args:
        settings: The settings, in the order of the options; those without an option are skipped.
    """

    def decorate(command: F) -> F:
        for each in reversed([each for each in settings if each.flag is not None]):
            command = setting_option(each)(command)
        return command

    return decorate


def effective_values(options: Mapping[str, Any], from_file: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the values of options with those of a settings file.

    A value typed on the command line comes first, then the settings files, then environment variable and default.

    Args:
        options: Values of the options by name.
        from_file: Values of the settings files by name.
    """
    ctx, values = click.get_current_context(), dict(options)
    for name, value in from_file.items():
        if ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            values[name] = value
            ctx.set_parameter_source(name, ParameterSource.COMMANDLINE)  # a suggested command must repeat it
    return values
