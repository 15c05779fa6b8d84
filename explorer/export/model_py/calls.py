"""Constructor calls of layers in generated code.

A number that is the same in all blocks of a class is a literal; a number that differs is a parameter of the class.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from itertools import count
from typing import Any, NamedTuple

from torch import nn

from explorer.export.model_py.printing import Written, literal, one_line, sequential
from explorer.networks.block import Step, steps
from explorer.networks.ops.base import Call, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.nested.fork import Product, Sum
from explorer.networks.ops.nested.nesting import Nested

Column = tuple[Any, ...]  # one value for each block of a class

# Names of the input channels in the constructors of torch's layers and of this package's ops.
INPUT_CHANNELS = ("in_channels", "num_features", "num_channels", "channels", "normalized_shape", "num_parameters")
# Parameter of a torch constructor -> its name in the generated class.
PARAMETER_NAMES = {"kernel_size": "kernel", "num_groups": "groups", "height": "map_height", "width": "map_width"}


class Layer(NamedTuple):
    """A torch module with its shapes.

    Attributes:
        call: The constructor call.
        x: Input shape.
        y: Output shape.
        keeps_channels: Whether the module always keeps the number of channels, and not only for these numbers.
        inner: The modules in it, for a fork those of each path.
    """

    call: Call
    x: TensorShape
    y: TensorShape
    keeps_channels: bool
    inner: tuple[tuple[Layer, ...], ...] = ()


def layers_of(given: Iterable[Step]) -> list[Layer]:
    """Return the torch modules of ops.

    Args:
        given: The ops with their shapes.
    """
    layers = []
    for op, x, y in given:
        if isinstance(op, Nested) and op.inner():
            inner = tuple(tuple(layers_of(steps(path, x)[0])) for path in op.inner())
            keeps = isinstance(op, (Sum, Product)) and all(layer.keeps_channels for path in inner for layer in path)
            layers.append(Layer(op.module(x), x, y, keeps, inner))
            continue
        chooses = isinstance(op, Conv) and not op.is_depthwise(x) and x.channels > 1
        layers.append(Layer(op.module(x), x, y, x.channels == y.channels and not chooses))
    return layers


def torch_class(call: Call) -> type:
    """Return the class that a call constructs.

    Args:
        call: The call.
    """
    return getattr(nn, call.torch_class) if isinstance(call.torch_class, str) else call.torch_class()


def class_name(call: Call) -> str:
    """Return the name of the constructed class in the generated file.

    Args:
        call: The call.
    """
    return f"nn.{call.torch_class}" if isinstance(call.torch_class, str) else call.torch_class().__name__


class Parameters:
    """The numbers in which the blocks of one class differ, each with one parameter name.

    The methods return code: a parameter name, or a literal if the number is the same in every block.

    Args:
        x: Input channels of each block.
        y: Output channels of each block.

    Attributes:
        widths: Parameter -> numbers of channels.
        others: Parameter -> other numbers.
        mentioned: Texts that the generated code contains.
    """

    def __init__(self, x: Column, y: Column):
        self.widths: dict[str, Column] = {"channels": y} if x == y else {"in_channels": x, "out_channels": y}
        self.others: dict[str, Column] = {}
        self.mentioned: set[str] = set()

    def in_channels(self) -> str:
        """Return the code for the input channels of the block."""
        name, column = next(iter(self.widths.items()))
        return _literal(column) or name

    def width(self, column: Column) -> str:
        """Return the code for the output channels of a layer: the block's output or an inner width.

        Args:
            column: The number in each block.
        """
        if _literal(column):
            return _literal(column)
        existing = (name for name in self.widths if name != "in_channels" and self.widths[name] == column)
        name = next(existing, "") or self._free("width")
        self.widths[name] = column
        return name

    def number(self, name: str, column: Column) -> str:
        """Return the code for any other number.

        Args:
            name: Name of the parameter that it gets.
            column: The number in each block.
        """
        if _literal(column):
            return _literal(column)
        numbered = re.compile(rf"{name}(_\d+)?")
        existing = (own for own in self.others if numbered.fullmatch(own) and self.others[own] == column)
        own = next(existing, "") or self._free(name)
        self.others[own] = column
        return own

    def _free(self, name: str) -> str:
        """Return ``name``, or ``name_2`` and so on if other numbers have this name."""
        names = (name if place == 1 else f"{name}_{place}" for place in count(1))
        return next(own for own in names if own not in self.widths and own not in self.others)

    def columns(self) -> dict[str, Column]:
        """Return the parameters that the generated code contains, widths first."""
        return {name: column for name, column in {**self.widths, **self.others}.items() if name in self.mentioned}


def _literal(column: Column) -> str:
    """Return the number of a column as code; empty if it has several."""
    return literal(column[0]) if len(set(column)) == 1 else ""


def write_layers(columns: list[list[Layer]], in_channels: str, parameters: Parameters) -> tuple[list[Written], str]:
    """Write the constructor calls of a sequence of layers.

    Args:
        columns: ``columns[k]`` is layer k in each block.
        in_channels: Code for the input channels.
        parameters: The parameters of the class; new ones are added.

    Returns:
        The calls, and the code for the output channels.
    """
    written = []
    for layers in columns:
        out_channels = in_channels
        if not all(layer.keeps_channels for layer in layers):
            out_channels = parameters.width(tuple(layer.y.channels for layer in layers))
        if layers[0].inner:
            written.append(_write_nested(layers, in_channels, parameters))
            in_channels = out_channels
            continue
        input_widths = tuple(layer.x.channels for layer in layers)
        calls = [layer.call for layer in layers]
        written.append(_write_call(calls, input_widths, in_channels, out_channels, parameters))
        in_channels = out_channels
    return written, in_channels


def _write_nested(layers: list[Layer], in_channels: str, parameters: Parameters) -> Written:
    """Write the constructor call of a module with others in it; a fork has one ``nn.Sequential`` for each path."""
    paths = []
    for same in zip(*(layer.inner for layer in layers)):
        columns = [list(column) for column in zip(*same)]
        paths.append(write_layers(columns, in_channels, parameters)[0])
    is_fork = isinstance(layers[0].call.args[0], Call) and layers[0].call.args[0].torch_class == "Sequential"
    arguments = tuple(map(sequential, paths)) if is_fork else tuple(paths[0])
    return Written(class_name(layers[0].call), arguments, spread=True)


def _write_call(
    calls: list[Call], input_widths: Column, in_channels: str, out_channels: str, parameters: Parameters
) -> Written:
    """Write the constructor call of one layer; ``input_widths`` are its input channels in each block."""
    if calls[0].torch_class == "Sequential":
        parts = [list(column) for column in zip(*(call.args for call in calls))]
        written = (_write_call(part, input_widths, in_channels, out_channels, parameters) for part in parts)
        return Written(class_name(calls[0]), tuple(written))
    constructor = inspect.signature(torch_class(calls[0]))  # blocks of one structure construct the same class here
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
            texts[name] = one_line(_write_call(list(column), input_widths, in_channels, out_channels, parameters))
        elif name in (*INPUT_CHANNELS, "groups") and column == input_widths:  # groups: a depthwise convolution
            texts[name] = in_channels
        elif name == "out_channels":
            texts[name] = out_channels
        elif name == "padding" and _is_centred(columns):
            pass  # written below from the code of kernel and dilation
        else:
            texts[name] = parameters.number(PARAMETER_NAMES.get(name, name), column)
    if "padding" in columns and "padding" not in texts:
        texts["padding"] = _padding(columns, texts)
    parameters.mentioned.update(texts.values())
    shown = [texts[name] for name in list(columns)[: len(calls[0].args)]]
    for name in list(columns)[len(calls[0].args) :]:
        if any(value != signature[name].default for value in columns[name]):
            shown.append(f"{name}={texts[name]}")
    return Written(class_name(calls[0]), tuple(shown))


def _is_centred(columns: dict[str, Column]) -> bool:
    """Return whether the padding keeps an odd kernel centred, in every block."""
    if "kernel_size" not in columns:
        return False  # a layer that only pads
    dilations = columns.get("dilation", (1,) * len(columns["padding"]))
    rows = list(zip(columns["kernel_size"], columns["padding"], dilations))
    are_square = all(type(number) is int for row in rows for number in row)
    return are_square and all(k % 2 and p == d * (k // 2) for k, p, d in rows)


def _padding(columns: dict[str, Column], texts: dict[str, str]) -> str:
    """Write the padding in terms of kernel and dilation, such as ``2 * dilation``; a literal if it is constant."""
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
