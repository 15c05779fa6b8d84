"""Layers as constructor calls in code: what is the same everywhere is literal, what differs is a parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from itertools import count
from typing import Any, NamedTuple

from torch import nn

from explorer.export.model_py.printing import Written, literal, one_line
from explorer.networks.block import Step
from explorer.networks.ops.base import Call, TensorShape
from explorer.networks.ops.conv import Conv

Column = tuple[Any, ...]  # one value for each block of a class

# What torch and our own classes call the channels that arrive at a layer.
ARRIVING = ("in_channels", "num_features", "num_channels", "channels", "normalized_shape", "num_parameters")
SPELLED = {"kernel_size": "kernel", "num_groups": "groups", "height": "map_height", "width": "map_width"}


class Layer(NamedTuple):
    """A torch module in its place. ``keeps``: its output channels are its input channels by nature,
    not because the numbers happen to agree."""

    call: Call
    x: TensorShape
    y: TensorShape
    keeps: bool


def layers_of(steps: Iterable[Step]) -> list[Layer]:
    """The layers that ops are in their place."""
    layers = []
    for op, x, y in steps:
        chooses = isinstance(op, Conv) and not op.is_depthwise(x) and x.channels > 1
        layers.append(Layer(op.module(x), x, y, x.channels == y.channels and not chooses))
    return layers


def torch_class(call: Call) -> type:
    return getattr(nn, call.torch_class) if isinstance(call.torch_class, str) else call.torch_class()


def class_name(call: Call) -> str:
    """The name of the called class as the exported file spells it."""
    return f"nn.{call.torch_class}" if isinstance(call.torch_class, str) else call.torch_class().__name__


class Parameters:
    """The numbers in which the blocks of one class differ, each under one name. ``x`` and ``y``: the
    channels that arrive at each block and leave it. Each method gives a text: a name, or a literal
    where the number is the same in every block."""

    def __init__(self, x: Column, y: Column):
        self.widths: dict[str, Column] = {"channels": y} if x == y else {"in_channels": x, "out_channels": y}
        self.others: dict[str, Column] = {}
        self.mentioned: set[str] = set()  # the texts that the code holds

    def arriving(self) -> str:
        name, column = next(iter(self.widths.items()))
        return _literal(column) or name

    def width(self, column: Column) -> str:
        """A number of channels that a layer chooses: the block's output, or an inner width."""
        if _literal(column):
            return _literal(column)
        known = (name for name in self.widths if name != "in_channels" and self.widths[name] == column)
        name = next(known, "") or self._free("width")
        self.widths[name] = column
        return name

    def number(self, name: str, column: Column) -> str:
        """Any other number; ``name`` is what it is called in the constructor."""
        if _literal(column):
            return _literal(column)
        alike = re.compile(rf"{name}(_\d+)?")
        known = (own for own in self.others if alike.fullmatch(own) and self.others[own] == column)
        own = next(known, "") or self._free(name)
        self.others[own] = column
        return own

    def _free(self, name: str) -> str:
        """``name``, or ``name_2`` and so on where other numbers have it already."""
        names = (name if place == 1 else f"{name}_{place}" for place in count(1))
        return next(own for own in names if own not in self.widths and own not in self.others)

    def columns(self) -> dict[str, Column]:
        """The parameters that the code mentions, widths first."""
        return {name: column for name, column in {**self.widths, **self.others}.items() if name in self.mentioned}


def _literal(column: Column) -> str:
    """The one number of a column, empty where there are several."""
    return literal(column[0]) if len(set(column)) == 1 else ""


def write_layers(columns: list[list[Layer]], arriving: str, parameters: Parameters) -> tuple[list[Written], str]:
    """A run of layers, ``columns[k]`` being layer k of each block; and the name of the channels that leave."""
    written = []
    for layers in columns:
        leaving = arriving
        if not all(layer.keeps for layer in layers):
            leaving = parameters.width(tuple(layer.y.channels for layer in layers))
        channels = tuple(layer.x.channels for layer in layers)
        written.append(_write_call([layer.call for layer in layers], channels, arriving, leaving, parameters))
        arriving = leaving
    return written, arriving


def _write_call(calls: list[Call], channels: Column, arriving: str, leaving: str, parameters: Parameters) -> Written:
    constructor = inspect.signature(torch_class(calls[0]))  # blocks of one skeleton call the same class here
    signature = constructor.parameters
    bound = [constructor.bind(*call.args, **call.kwargs).arguments for call in calls]
    columns = {
        name: tuple(arguments.get(name, parameter.default) for arguments in bound)
        for name, parameter in signature.items()
        if any(name in arguments for arguments in bound)
    }
    texts = {}
    for name, column in columns.items():
        if isinstance(column[0], Call):
            texts[name] = one_line(_write_call(list(column), channels, arriving, leaving, parameters))
        elif name in (*ARRIVING, "groups") and column == channels:  # groups: a depthwise convolution
            texts[name] = arriving
        elif name == "out_channels":
            texts[name] = leaving
        elif name == "padding" and _follows(columns):
            pass  # below, when the kernel and the dilation have their texts
        else:
            texts[name] = parameters.number(SPELLED.get(name, name), column)
    if "padding" in columns and "padding" not in texts:
        texts["padding"] = _padding(columns, texts)
    parameters.mentioned.update(texts.values())
    shown = [texts[name] for name in list(columns)[: len(calls[0].args)]]
    for name in list(columns)[len(calls[0].args) :]:
        if any(value != signature[name].default for value in columns[name]):
            shown.append(f"{name}={texts[name]}")
    return Written(class_name(calls[0]), tuple(shown))


def _follows(columns: dict[str, Column]) -> bool:
    """Whether the padding is what keeps an odd kernel centred, in every block."""
    dilations = columns.get("dilation", (1,) * len(columns["padding"]))
    return all(k % 2 and p == d * (k // 2) for k, p, d in zip(columns["kernel_size"], columns["padding"], dilations))


def _padding(columns: dict[str, Column], texts: dict[str, str]) -> str:
    """``2 * dilation`` and its kin; a plain number where nothing varies."""
    if len(set(columns["padding"])) == 1:
        return literal(columns["padding"][0])
    kernels = set(columns["kernel_size"])
    half = literal(kernels.pop() // 2) if len(kernels) == 1 else f"{texts['kernel_size']} // 2"
    dilation = texts.get("dilation", "1")
    if dilation == "1":
        return half
    if half == "1":
        return dilation
    return f"{half} * {dilation}" if "/" not in half else f"({half}) * {dilation}"
