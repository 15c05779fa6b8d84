"""The type of command-line options that take a whole number."""

from __future__ import annotations

from typing import Any

import click

from explorer.settings.amounts import parse_whole


class Whole(click.IntRange):
    """A whole number within a range: ``1000``, ``1,000``, ``1e3`` or ``1k``.

    Args:
        min: The smallest valid number; None for no limit.
        max: The largest valid number; None for no limit.
        auto: Whether ``auto`` is valid and means the default, None.
    """

    name = "whole number"

    def __init__(self, min: int | None = None, max: int | None = None, *, auto: bool = False) -> None:
        super().__init__(min, max)
        self._auto = auto

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            if self._auto and value.strip().lower() == "auto":
                return None
            try:
                value = parse_whole(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)
