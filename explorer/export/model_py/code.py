"""Generation of ``model.py``: a network as Python code that needs only torch."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, takewhile
from typing import NamedTuple

from explorer.export.model_py.blocks import block_classes, calls_of, distinct_blocks, structure_of
from explorer.export.model_py.calls import Layer, Parameters, layers_of, write_layers
from explorer.export.model_py.printing import LINE_LENGTH, Written, docstring, lines_of, method, one_line, sequential
from explorer.export.model_py.sources import OwnSource, own_source
from explorer.export.transfer import FeatureMap, Subject
from explorer.networks.architecture import Architecture
from explorer.networks.drawing import op_name
from explorer.networks.ops.base import Call, Op
from explorer.networks.walk import OpRun, PlacedBlock

REPEATED = 4  # this many equal blocks or more are written as a comprehension, which is then shorter
STAGE_INDENT = 16  # of a block in ``Network.__init__``, in spaces


class ModelCode(NamedTuple):
    """The code of a network.

    Attributes:
        text: The text of ``model.py``.
        verbatim: The parts of the text that are copies of this package's source (classes of ops), not generated.
    """

    text: str
    verbatim: tuple[str, ...]


def write_code(architecture: Architecture, features: tuple[FeatureMap, ...] = ()) -> ModelCode:
    """Generate the code of a network.

    The keys of its state dict are those of ``build_network``.

    Args:
        architecture: The network.
        features: Feature maps that a backbone returns; empty for the whole network.

    Returns:
        The code.

    Raises:
        ExportError: A number of the architecture is not a finite number.
    """
    subject = Subject(architecture, features)
    blocks = [segment for segment in subject.segments() if isinstance(segment, PlacedBlock)]
    runs = {run.path: layers_of(run.steps) for run in subject.segments() if isinstance(run, OpRun)}
    stem, head = runs.pop("stem"), runs.pop("head", [])
    transitions = list(runs.values())
    own = _own_classes([*stem, *chain(*transitions), *_layers_of_blocks(blocks), *head])
    names = {name for source in own for name in source.names}
    classes = block_classes(blocks, names | {"Stem", "Stage", "Head", "Network"})

    written = []
    for number, transition in enumerate(transitions, 1):
        placed = (block for block in blocks if block.stage == number)
        calls = [classes[structure_of(calls_of(block.parts))].call(block) for block in placed]
        written.append(Written("Stage", (*_literal_layers(transition), *_collapsed(calls)), spread=True))

    pieces = [source.text.splitlines() for source in own]
    pieces += [_fixed("Stem", architecture.stem, stem), *(block_class.lines() for block_class in classes.values())]
    pieces += [_stage(any(transitions)), _fixed("Head", architecture.head, head)]
    pieces += [_network(architecture, written, features)]
    text = "\n\n\n".join("\n".join(lines) for lines in pieces if lines)
    header = [*_about(subject), "", *_imports(own, text)]
    return ModelCode("\n".join(header) + "\n\n\n" + text + "\n", tuple(source.text for source in own))


def _layers_of_blocks(blocks: Iterable[PlacedBlock]) -> Iterator[Layer]:
    """Yield the layers of all distinct blocks."""
    for placed in distinct_blocks(blocks):
        calls = calls_of(placed.parts)
        merge = [calls.merge] if calls.merge else []
        yield from chain(calls.pre, calls.branch, calls.shortcut or (), merge, calls.after)


def _literal_layers(layers: list[Layer]) -> list[Written]:
    """Write layers that occur once in a network: all numbers are literals."""
    x = tuple(layer.x.channels for layer in layers[:1])
    parameters = Parameters(x, x)
    return write_layers([[layer] for layer in layers], parameters.in_channels(), parameters)[0] if layers else []


def _collapsed(calls: list[Written]) -> list[Written | str]:
    """Write runs of equal calls, or of calls whose one number grows by a constant step, as comprehensions."""
    out: list[Written | str] = []
    at = 0
    while at < len(calls):
        short, length = max((_equal(calls[at:]), _growing(calls[at:])), key=lambda run: run[1])
        fits = len(short) < LINE_LENGTH - STAGE_INDENT
        out += [short] if length >= REPEATED and fits else calls[at : at + length]
        at += length
    return out


def _equal(calls: list[Written]) -> tuple[str, int]:
    """Return the comprehension for the equal calls at the start, and their number."""
    length = next((k for k, call in enumerate(calls) if call != calls[0]), len(calls))
    return f"*[{one_line(calls[0])} for _ in range({length})]", length


def _growing(calls: list[Written]) -> tuple[str, int]:
    """Return the same for calls with one whole number that grows by a constant step, as in dense layers."""
    counting = takewhile(lambda call: _counts(call, calls[0]), calls)
    numbers = [int(str(call.arguments[0])) for call in counting]
    length = 1
    while length < len(numbers):
        step = numbers[1] - numbers[0]
        if step <= 0 or numbers[length] - numbers[length - 1] != step:
            break
        length += 1
    if length < REPEATED:
        return "", 1
    name, first = calls[0].name, numbers[0]
    return f"*[{name}(channels) for channels in range({first}, {first + length * step}, {step})]", length


def _counts(call: Written, first: Written) -> bool:
    """Return whether a call is of the first call's class and has one argument, a whole number."""
    return call.name == first.name and len(call.arguments) == 1 and str(call.arguments[0]).isdigit()


# The docstring, stem, head and network


def _about(subject: Subject) -> list[str]:
    """Write the docstring of the file."""
    architecture, costs = subject.architecture, subject.costs
    what = "feature maps" if subject.features else f"{architecture.classes} logits"
    summary = f"A residual network: {architecture.input} images to {what}."
    counts = (
        f"{costs['params']:,} parameters, {costs['macs']:,} multiply-accumulates an image."
        f" Written by explorer from architecture {architecture.digest}."
    )
    lines = docstring(summary, counts, indent=0)[:-1]
    lines += ["", "Layers as the space language spells them, with their sources:", ""]
    known = {type(layer.op): layer.op for layer in subject.layers()}
    for cls, op in known.items():
        first_line = inspect.cleandoc(cls.__doc__ or "").splitlines()[:1]  # python -OO removes docstrings
        about = ": ".join([op.spelling, *first_line])
        lines += textwrap.wrap(about, 96, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False)
    return [*lines, '"""']


def _fixed(name: str, ops: tuple[Op, ...], layers: list[Layer]) -> list[str]:
    """Write the class of a stem or a head; nothing if it has no layers."""
    if not layers:
        return []
    words = " ".join(map(op_name, ops))
    body = lines_of(sequential(_literal_layers(layers), "super().__init__"), 8)
    about = docstring(f"{words}: {layers[0].x} to {layers[-1].y}.")
    return [f"class {name}(nn.Sequential):", *about, "", *method("__init__", {}, "None", body)]


def _stage(transitions: bool) -> list[str]:
    """Write the class ``Stage``."""
    about = "A transition, then blocks" if transitions else "Blocks"
    return ["class Stage(nn.Sequential):", *docstring(f"{about} of one resolution, one after the other.")]


def _network(architecture: Architecture, stages: list[Written], features: Sequence[FeatureMap]) -> list[str]:
    """Write the class ``Network``."""
    channels, height, width = architecture.input
    images = f"x: (N, {channels}, {height}, {width}) images to"
    body = ["        super().__init__()"]
    if architecture.stem:
        body.append("        self.stem = Stem()")
    written: list[Written | str] = []
    for stage, shape in zip(stages, architecture.stage_shapes()[1:]):
        written += [f"# {shape}", stage]
    body += lines_of(Written("nn.Sequential", tuple(written), spread=True), 8, "self.stages = ")
    forward = ["        x = self.stem(x)"] if architecture.stem else []
    if features:
        attributes = ["", *_feature_attributes(features)]
        about, result = f"{images} feature maps.", "list[Tensor]"
        forward += _feature_steps(features)
    else:
        attributes = []
        about, result = f"{images} (N, {architecture.classes}) logits.", "Tensor"
        forward.append("        x = self.stages(x)")
        body += ["        self.head = Head()"] if architecture.head else []
        logits = "self.head(x)" if architecture.head else "x"
        flat = any(op.role == "linear" for op in architecture.head)
        forward.append(f"        return {logits}" if flat else f"        return {logits}.flatten(1)")
    return [
        "class Network(nn.Module):",
        *docstring(about),
        *attributes,
        "",
        *method("__init__", {}, "None", body),
        "",
        *method("forward", {"x": "Tensor"}, result, forward),
    ]


def _feature_attributes(features: Sequence[FeatureMap]) -> list[str]:
    """Write ``out_indices`` and ``feature_info``, with timm's names; the index of a stage is its number."""
    entries = [json.dumps(feature.info) for feature in features]
    if len(features) == 1:
        return [f"    out_indices = ({features[0].stage},)", f"    feature_info = ({entries[0]},)"]
    indices = ", ".join(str(feature.stage) for feature in features)
    return [
        f"    out_indices = ({indices})",
        "    feature_info = (",
        *(f"        {entry}," for entry in entries),
        "    )",
    ]


def _feature_steps(features: Sequence[FeatureMap]) -> list[str]:
    """Write one line of ``forward`` for each stage; a map that is returned gets its own variable."""
    names = {feature.stage: f"stage{feature.stage}" for feature in features}
    lines, source = [], "x"
    for number in range(1, features[-1].stage + 1):
        target = names.get(number, "x")
        lines.append(f"        {target} = self.stages[{number - 1}]({source})")
        source = target
    return [*lines, f"        return [{', '.join(names.values())}]"]


# The classes of ops


def _own_classes(layers: Iterable[Layer]) -> list[OwnSource]:
    """Return the sources of the classes that are not part of torch, each once, in the order of first use."""
    functions: dict[Callable[[], type], None] = {}

    def collect(call: Call) -> None:
        if callable(call.torch_class):
            functions.setdefault(call.torch_class)
        for argument in (*call.args, *call.kwargs.values()):
            if isinstance(argument, Call):
                collect(argument)

    for layer in layers:
        collect(layer.call)
    return [own_source(function) for function in functions]


def _imports(own: list[OwnSource], text: str) -> list[str]:
    """Write the import statements of the file."""
    names = {("torch", "Tensor"), ("torch", "nn"), *(pair for source in own for pair in source.imports)}
    modules: dict[str, list[str]] = {}
    for module, name in sorted(names):
        modules.setdefault(module, []).append(name)
    whole = ["import torch"] if re.search(r"\btorch\.", text) else []
    return [*whole, *(f"from {module} import {', '.join(names)}" for module, names in modules.items())]
