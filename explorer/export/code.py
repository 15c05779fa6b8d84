"""Architecture to the text of ``model.py``: a network written out in torch alone."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from explorer.architecture import Architecture
from explorer.costing.analytic import count_cost
from explorer.export.blocks import block_classes, parts_of, skeleton
from explorer.export.calls import Layer, Parameters, layers_of, write_layers
from explorer.export.printing import LINE_LENGTH, Written, docstring, lines_of, method, one_line, sequential
from explorer.ops.base import Call

REPEATED = 4  # from this many equal blocks on, a comprehension says it shorter
STAGE_INDENT = 16

LOAD = '''\
def load(path: str) -> Network:
    """The network with the weights of a safetensors file, ready for inference."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    dtypes = {"F32": torch.float32, "I64": torch.int64}
    weights = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = torch.frombuffer(data[start:end], dtype=dtypes[entry["dtype"]])
        weights[name] = values.view(entry["shape"])
    network = Network()
    network.load_state_dict(weights)
    return network.eval()
'''


class ModelCode(NamedTuple):
    """The text of a ``model.py``; ``verbatim``: those of its statements that are copies of this
    package's own source (the classes of ops, ``load``), as opposed to what was generated."""

    text: str
    verbatim: tuple[str, ...]


def write_code(architecture: Architecture) -> ModelCode:
    """The code of a network. The keys of its state dict are those of ``build_network``'s.

    Raises ExportError when a number of the architecture is not one.
    """
    placed = list(_blocks(architecture))
    stem = layers_of(architecture.stem, architecture.input)
    head = layers_of(architecture.head, architecture.stage_shapes()[-1])
    transitions = [layers_of(stage.transition, x) for stage, x in zip(architecture.stages, architecture.stage_shapes())]
    own = _own_classes([*stem, *chain(*transitions), *_layers_of_blocks(placed), *head])
    names = {name for source in own for name in source.names}
    classes = block_classes([(block, x) for _, block, x in placed], names | {"Stem", "Head", "Network"})

    stages = []
    for number, transition in enumerate(transitions, 1):
        calls = [classes[skeleton(parts_of(block, x))].call(block, x) for k, block, x in placed if k == number]
        stages.append([*_literal_layers(transition), *_collapsed(calls)])

    pieces = [source.text.splitlines() for source in own]
    pieces += [made.lines() for made in classes.values()]
    pieces += [_fixed("Stem", architecture.stem, stem), _fixed("Head", architecture.head, head)]
    pieces += [_network(architecture, stages), LOAD.splitlines()]
    text = "\n\n\n".join("\n".join(lines) for lines in pieces if lines)
    header = [*_about(architecture), "", "import json", "", *_imports(own)]
    return ModelCode("\n".join(header) + "\n\n\n" + text + "\n", (*(source.text for source in own), LOAD))


def _blocks(architecture: Architecture):
    """(stage number, block, arriving shape) of every block in order."""
    for number, (stage, x) in enumerate(zip(architecture.stages, architecture.stage_shapes()), 1):
        for op in stage.transition:
            x = op.output_shape(x)
        for block in stage.blocks:
            yield number, block, x
            x = block.output_shape(x)


def _layers_of_blocks(placed) -> Iterable[Layer]:
    for block, x in dict.fromkeys((block, x) for _, block, x in placed):
        parts = parts_of(block, x)
        yield from chain(
            parts.pre, parts.branch, parts.shortcut or (), [parts.merge] if parts.merge else (), parts.after
        )


def _literal_layers(layers: list[Layer]) -> list[Written]:
    """Layers that stand once in a network, all their numbers literal."""
    x = tuple(layer.x.channels for layer in layers[:1])
    parameters = Parameters(x, x)
    return write_layers([[layer] for layer in layers], parameters.arriving(), parameters)[0] if layers else []


def _collapsed(calls: list[Written]) -> list[Written | str]:
    """Runs of many equal calls as a comprehension."""
    out: list[Written | str] = []
    at = 0
    while at < len(calls):
        length = next((k for k, call in enumerate(calls[at:]) if call != calls[at]), len(calls) - at)
        short = f"*[{one_line(calls[at])} for _ in range({length})]"
        fits = len(short) < LINE_LENGTH - STAGE_INDENT
        out += [short] if length >= REPEATED and fits else calls[at : at + length]
        at += length
    return out


# What stands before the blocks and after them


def _about(architecture: Architecture) -> list[str]:
    cost = count_cost(architecture)
    summary = f"A residual network: {architecture.input} images to {architecture.classes} logits."
    counts = (
        f"{cost.params:,} parameters, {cost.macs:,} multiply-accumulates an image."
        f" Written by explorer from architecture {architecture.digest}."
    )
    lines = docstring(summary, counts, indent=0)[:-1]
    lines += ["", "Layers as the space language spells them, with their sources:", ""]
    known = {type(placed.op): placed.op for placed in architecture.layers()}
    for cls, op in known.items():
        about = f"{op.spelling}: {inspect.cleandoc(cls.__doc__).splitlines()[0]}"
        lines += textwrap.wrap(about, 96, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False)
    return [*lines, '"""']


def _fixed(name: str, ops: tuple, layers: list[Layer]) -> list[str]:
    """The class of a stem or a head, nothing when it has no layers."""
    if not layers:
        return []
    words = " ".join(str(op).split("(")[0] for op in ops)
    body = lines_of(sequential(_literal_layers(layers), "super().__init__"), 8)
    about = docstring(f"{words}: {layers[0].x} to {layers[-1].y}.")
    return [f"class {name}(nn.Sequential):", *about, "", *method("__init__", {}, "None", body)]


def _network(architecture: Architecture, stages: list[list[Written | str]]) -> list[str]:
    body = ["        super().__init__()"]
    if architecture.stem:
        body.append("        self.stem = Stem()")
    written: list[Written | str] = []
    for number, (blocks, shape) in enumerate(zip(stages, architecture.stage_shapes()[1:]), 1):
        written += [f"# stage {number}: {shape}", Written("nn.Sequential", tuple(blocks), spread=len(blocks) > 1)]
    body += lines_of(Written("nn.Sequential", tuple(written), spread=True), 8, "self.stages = ")
    logits = "self.stages(self.stem(x))" if architecture.stem else "self.stages(x)"
    if architecture.head:
        body.append("        self.head = Head()")
        logits = f"self.head({logits})"
    if not any(op.role == "linear" for op in architecture.head):
        logits = f"{logits}.flatten(1)"
    channels, height, width = architecture.input
    about = f"x: (N, {channels}, {height}, {width}) images to (N, {architecture.classes}) logits."
    return [
        "class Network(nn.Module):",
        *docstring(about),
        "",
        *method("__init__", {}, "None", body),
        "",
        *method("forward", {"x": "Tensor"}, "Tensor", [f"        return {logits}"]),
    ]


# The classes of our own ops


class OwnSource(NamedTuple):
    """What an op's class function holds: the statements but for imports, and the imports."""

    text: str
    names: tuple[str, ...]
    imports: tuple[tuple[str, str], ...]


def _own_classes(layers: Iterable[Layer]) -> list[OwnSource]:
    """The sources of the classes that are not torch's own, each once, in the order of first use."""
    functions: dict[Callable, None] = {}

    def collect(call: Call) -> None:
        if callable(call.torch_class):
            functions.setdefault(call.torch_class)
        for argument in (*call.args, *call.kwargs.values()):
            if isinstance(argument, Call):
                collect(argument)

    for layer in layers:
        collect(layer.call)
    return [_own_source(function) for function in functions]


def _own_source(function: Callable[[], type]) -> OwnSource:
    source = textwrap.dedent(inspect.getsource(function))
    lines = source.splitlines()
    classes = [node for node in ast.parse(source).body[0].body if isinstance(node, ast.ClassDef)]
    texts = [textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])) for node in classes]
    imports = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            imports += [(node.module, alias.name) for alias in node.names]
    return OwnSource("\n\n\n".join(texts), tuple(node.name for node in classes), tuple(imports))


def _imports(own: list[OwnSource]) -> list[str]:
    wanted = {("torch", "Tensor"), ("torch", "nn"), *(pair for source in own for pair in source.imports)}
    modules: dict[str, list[str]] = {}
    for module, name in sorted(wanted):
        modules.setdefault(module, []).append(name)
    return ["import torch", *(f"from {module} import {', '.join(names)}" for module, names in modules.items())]
