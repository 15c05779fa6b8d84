"""The model card of an export: structure, costs, accuracy, origin, and how to load each file."""

from __future__ import annotations

import html
import itertools
import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from explorer.analysis.quantities import quantity_named
from explorer.export.hub import model_name
from explorer.export.transfer import Subject
from explorer.networks.drawing import Diagram, op_names, stage_diagrams
from explorer.networks.walk import OpRun

# Key of the provenance -> heading of its section; "" is the section of all other keys.
HEADINGS = {
    "accuracy": "Accuracy",
    "recipe": "Recipe",
    "data": "Data",
    "environment": "Environment",
    "": "Provenance",
}
MAX_TEXT = 200  # characters of one value in a table
UNTRAINED = "**Not trained**: the weights are an initialisation, from seed 0.\n"
FRESH_HEAD = (
    "**The classifier is not trained**: it was created for {classes} classes and initialised from seed 0. All other\n"
    "weights are unchanged; an accuracy below is that of the network with its former classifier.\n"
)
BACKBONE = """\
## Feature maps

The network ends with its stages: it has no head and returns a list of feature maps. `Network.out_indices` and
`Network.feature_info` name them as timm does: channels, input pixels between neighbours, module.

{table}"""

# Format -> (description, Python code to run in the folder).
LOADING = {
    "python": (
        "`model.py` with the weights (torch and safetensors)",
        """\
import torch
from safetensors.torch import load_file
from model import Network
network = Network()
network.load_state_dict(load_file("model.safetensors"))
{outputs} = network.eval()(torch.zeros(1, {shape}))""",
    ),
    "pt2": (
        "`model.pt2` (torch alone)",
        """\
import torch
network = torch.export.load("model.pt2").module()
{outputs} = network(torch.zeros(1, {shape}))""",
    ),
    "onnx": (
        "`model.onnx` (onnxruntime)",
        """\
import numpy
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
{outputs} = session.run(None, {{"images": numpy.zeros((1, {shape}), "float32")}}){first}""",
    ),
    "hub": (
        "`timm_model.py`, which registers the network in timm (timm)",
        """\
import sys
sys.path.insert(0, ".")
import timm
import timm_model
import torch
network = timm.create_model("{name}", pretrained=True).eval()
{outputs} = network(torch.zeros(1, {shape}))""",
    ),
    "yaml": (
        "`architecture.yaml`, a space with this one network, and the weights (explorer)",
        """\
import explorer
import torch
architecture = explorer.load_space("architecture.yaml").architecture(0)
network = explorer.load_weights(architecture, "model.safetensors")
{outputs} = network(torch.zeros(1, {shape}))""",
    ),
}
LICENCE = """\
## Licence

The explorer puts no licence on these files: they are yours, under whatever terms you choose.
"""


def model_card(
    subject: Subject,
    formats: Sequence[str],
    space: str,
    provenance: Mapping[str, Any],
    max_abs_diff: Mapping[str, float],
) -> str:
    """Write the model card.

    Args:
        subject: The exported network.
        formats: The formats that were written.
        space: The network in the space language; empty if it is not exported.
        provenance: The origin of the network, nested mappings; every value is shown as escaped text.
        max_abs_diff: Format -> largest difference between its outputs and the network's.

    Returns:
        The text of ``README.md``.
    """
    architecture = subject.architecture
    outputs = "feature maps" if subject.features else f"{architecture.classes} classes"
    parts = [
        f"# Residual network {architecture.digest}\n",
        f"{architecture.input} images (channels x height x width), {outputs}.\n",
        *([] if subject.trained else [UNTRAINED]),
        *([FRESH_HEAD.format(classes=subject.head_classes)] if subject.head_classes is not None else []),
        *_structure(subject),
    ]
    if subject.features:
        rows = {
            f"stage {f.stage}, {f.info['module']}": f"{f.shape}, every {f.reduction} pixels" for f in subject.features
        }
        parts.append(BACKBONE.format(table=_table(rows)))
    parts += [
        "## Costs\n",
        _table({quantity_named(name).description: f"{count:,}" for name, count in subject.costs.items()}),
    ]
    for key, heading in HEADINGS.items():
        known = {name: value for name, value in provenance.items() if (name if name in HEADINGS else "") == key}
        about = known.get(key, known)
        rows = {name: _text(value) for name, value in _flat(about, "" if isinstance(about, Mapping) else key)}
        if rows or key in ("accuracy", ""):
            parts += [f"## {heading}\n", _table(rows) if rows else "Nothing is recorded.\n"]
    if space:
        intro = "## The network in the space language\n\nThe ops before `+` are the residual branch, the ops after"
        whole = " The text describes the whole network, including its head." if subject.features else ""
        parts.append(f"{intro} it follow the merge.{whole}\n\n```yaml\n{space}```\n")
    parts += _loading(subject, formats)
    if max_abs_diff:
        parts.append(
            "Run at export in a fresh process with 1, 2 and 7 images, the outputs differed from the\n"
            "network's by at most "
            + ", ".join(f"{difference:g} ({name})" for name, difference in max_abs_diff.items())
            + ".\n"
        )
    parts.append("`manifest.json` lists the SHA-256 of every file; `explorer describe` compares them.\n")
    return "\n".join([*parts, LICENCE])


def _structure(subject: Subject) -> list[str]:
    """Write a table of stem, stages and head, in which letters denote blocks, and the diagram of each block."""
    architecture, shapes = subject.architecture, subject.architecture.stage_shapes()
    stages = stage_diagrams(architecture.blocks())[: subject.features[-1].stage if subject.features else None]
    words = {run.path: op_names(run.steps) for run in architecture.segments if isinstance(run, OpRun)}
    letters: dict[Diagram, str] = {}
    names = (
        "".join(pair).strip() for pair in itertools.product((" ", *string.ascii_uppercase), string.ascii_uppercase)
    )
    rows = {"stem": f"{' '.join(words['stem']) or 'none'}, to {shapes[0]}"}
    for number, (kinds, shape) in enumerate(zip(stages, shapes[1:]), 1):
        transition = words[f"stage{number}.transition"]
        for kind in kinds:
            if kind not in letters:
                letters[kind] = next(names)
        runs = [(letter, len(list(run))) for letter, run in itertools.groupby(letters[kind] for kind in kinds)]
        blocks = ", ".join(f"{count} x {letter}" if count > 1 else letter for letter, count in runs)
        rows[f"stage {number}"] = f"{' '.join([*transition, 'then', blocks] if transition else [blocks])}, to {shape}"
    if not subject.features:
        rows["head"] = f"{' '.join(words['head'])}, to {architecture.classes} logits"
    drawings = (f"Block {letter}:\n\n```text\n{kind}\n```\n" for kind, letter in letters.items())
    return ["## Structure\n", _table(rows), *drawings]


def _loading(subject: Subject, formats: Sequence[str]) -> list[str]:
    """Write how each exported format is loaded, for images of the network's input shape."""
    shape = ", ".join(map(str, subject.architecture.input))
    outputs, first = ("features", "") if subject.features else ("logits", "[0]")
    loadable = {"pt2", "onnx", "hub", *(("python",) if "safetensors" in formats else ())}
    name = model_name(subject.architecture.digest)
    if "safetensors" in formats and not subject.features:
        loadable.add("yaml")  # the space language has no networks without a head; the weights do not fit
    parts = []
    for kind in (each for each in LOADING if each in formats and each in loadable):
        about, code = LOADING[kind]
        lines = code.format(outputs=outputs, first=first, shape=shape, name=name)
        parts.append(f"{about}:\n\n```python\n{lines}\n```\n")
    return ["## Loading\n", "In this folder, for any number of images:\n", *parts] if parts else []


def _table(rows: Mapping[str, str]) -> str:
    """Format rows, name -> Markdown, as a table of two columns."""
    return "".join(["| | |\n|---|---|\n", *(f"| {_text(name)} | {text} |\n" for name, text in rows.items())])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) for every entry of nested mappings."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{name}.{key}" if name else str(key))


def _text(value: Any) -> str:
    """Escape a value as one line of Markdown that shows it literally."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    printable = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:MAX_TEXT])
    escaped = re.sub(r"[\\`*_{}\[\]#!|~$]", r"\\\g<0>", html.escape(printable, quote=False))
    # Many renderers turn bare addresses into links; an HTML entity prevents this.
    escaped = re.sub(r":(?=//)|(?<=www)\.|@", lambda found: f"&#{ord(found[0])};", escaped)
    return escaped + ("..." if len(text) > MAX_TEXT else "")
